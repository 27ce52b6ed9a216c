//! The step types: one struct with its field table each, and the table of all of them.

mod boot;
mod ensure_file;
mod files;
mod packages;
mod services;

use serde::Serialize;

pub use boot::{CreateBe, CreateDataset, Devfsadm, MakeBootable, SystemdBoot};
pub use ensure_file::{Abi, EnsureFile, FileSource};
pub use files::{
    AssembleFiles, Digest, DigestAlgorithm, EnsureDir, EnsurePerms, EnsureSymlink, Gzip, PackTar, RemoveFiles,
    RemoveWhat, RequirePath, Shadow, UnpackTar,
};
pub use packages::{
    DebBootstrap, Onu, PkgApproveCaCert, PkgChangeFacet, PkgChangeVariant, PkgImageCreate, PkgInstall, PkgPurgeHistory,
    PkgSetProperty, PkgSetPublisher, PkgUninstall, PublisherOrigin, SignaturePolicy,
};
pub use services::{Profile, SeedSmf};

use crate::field::{FieldSet, FieldSpec, Fields, HOST_PATH, INCLUDE_NAME, Kind, field_set};
use ensure_file::EnsureFileFields;
use files::RemoveFilesFields;
use packages::{PkgApproveCaCertFields, PkgImageCreateFields, PkgSetP5pPublisherFields, PkgSetPublisherFields};
use services::SeedSmfFields;

/// One thing to do to the image, expanded and typed.
///
/// It serializes to canonical JSON with the step's word as `t`; two steps that would do the same serialize
/// alike on every host, which is why host paths of looked-up files are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "t", rename_all = "snake_case")]
#[expect(missing_docs, reason = "each variant is the step type of the same name, which is documented")]
pub enum Step {
    CreateBe(CreateBe),
    CreateDataset(CreateDataset),
    MakeBootable(MakeBootable),
    Devfsadm(Devfsadm),
    SystemdBoot(SystemdBoot),
    EnsureFile(EnsureFile),
    EnsureDir(EnsureDir),
    EnsureSymlink(EnsureSymlink),
    EnsurePerms(EnsurePerms),
    RemoveFiles(RemoveFiles),
    RequirePath(RequirePath),
    AssembleFiles(AssembleFiles),
    Shadow(Shadow),
    Gzip(Gzip),
    Digest(Digest),
    PackTar(PackTar),
    UnpackTar(UnpackTar),
    DebBootstrap(DebBootstrap),
    PkgImageCreate(PkgImageCreate),
    PkgSetPublisher(PkgSetPublisher),
    PkgApproveCaCert(PkgApproveCaCert),
    PkgSetProperty(PkgSetProperty),
    PkgInstall(PkgInstall),
    PkgUninstall(PkgUninstall),
    PkgChangeVariant(PkgChangeVariant),
    PkgChangeFacet(PkgChangeFacet),
    PkgPurgeHistory(PkgPurgeHistory),
    Onu(Onu),
    SeedSmf(SeedSmf),
}

impl Step {
    /// The word that stands as `t` in a template; of two spellings, the shorter.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreateBe(_) => "create_be",
            Self::CreateDataset(_) => "create_dataset",
            Self::MakeBootable(_) => "make_bootable",
            Self::Devfsadm(_) => "devfsadm",
            Self::SystemdBoot(_) => "systemd_boot",
            Self::EnsureFile(_) => "ensure_file",
            Self::EnsureDir(_) => "ensure_dir",
            Self::EnsureSymlink(_) => "ensure_symlink",
            Self::EnsurePerms(_) => "ensure_perms",
            Self::RemoveFiles(_) => "remove_files",
            Self::RequirePath(_) => "require_path",
            Self::AssembleFiles(_) => "assemble_files",
            Self::Shadow(_) => "shadow",
            Self::Gzip(_) => "gzip",
            Self::Digest(_) => "digest",
            Self::PackTar(_) => "pack_tar",
            Self::UnpackTar(_) => "unpack_tar",
            Self::DebBootstrap(_) => "deb_bootstrap",
            Self::PkgImageCreate(_) => "pkg_image_create",
            Self::PkgSetPublisher(_) => "pkg_set_publisher",
            Self::PkgApproveCaCert(_) => "pkg_approve_ca_cert",
            Self::PkgSetProperty(_) => "pkg_set_property",
            Self::PkgInstall(_) => "pkg_install",
            Self::PkgUninstall(_) => "pkg_uninstall",
            Self::PkgChangeVariant(_) => "pkg_change_variant",
            Self::PkgChangeFacet(_) => "pkg_change_facet",
            Self::PkgPurgeHistory(_) => "pkg_purge_history",
            Self::Onu(_) => "onu",
            Self::SeedSmf(_) => "seed_smf",
        }
    }
}

field_set! {
    /// The arguments of `include`, which the loader itself carries out.
    pub(crate) struct Include {
        /// The template to splice in, looked up below the template root; needed beside `file`, too.
        name: String = INCLUDE_NAME.required();
        /// An absolute path on the host to splice in instead.
        file: Option<String> = HOST_PATH.expanded().optional();
    }
}

/// A step type, for documentation and schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepDescription {
    /// The word that stands as `t`.
    pub name: &'static str,
    /// Another spelling of it.
    pub alias: Option<&'static str>,
    /// The target it needs, if it needs a particular one.
    pub target: Option<&'static str>,
    /// Its arguments, without `t`, `with` and `without`.
    pub fields: Vec<FieldSpec>,
}

/// Every step type with its fields, `include` among them.
#[must_use]
pub fn step_types() -> Vec<StepDescription> {
    let describe = |step: &StepType| StepDescription {
        name: step.name,
        alias: step.alias,
        target: step.target,
        fields: (step.specs)(),
    };
    STEPS.iter().map(describe).collect()
}

/// How the loader treats a step type.
#[derive(Clone, Copy)]
pub(crate) enum Reader {
    /// It becomes a step.
    Step(fn(&mut Fields<'_, '_, '_>) -> Option<Step>),
    /// Another file's steps are spliced in.
    Include,
}

/// One step type for the loader.
pub(crate) struct StepType {
    pub(crate) name: &'static str,
    pub(crate) alias: Option<&'static str>,
    pub(crate) target: Option<&'static str>,
    pub(crate) keys: fn() -> Vec<&'static str>,
    pub(crate) specs: fn() -> Vec<FieldSpec>,
    pub(crate) reader: Reader,
}

impl StepType {
    const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    const fn only_in(mut self, target: &'static str) -> Self {
        self.target = Some(target);
        self
    }

    /// The step type that `t` names.
    pub(crate) fn find(word: &str) -> Option<&'static Self> {
        STEPS.iter().find(|step| step.name == word || step.alias == Some(word))
    }

    /// Every word that `t` may be.
    pub(crate) fn words() -> impl Iterator<Item = &'static str> {
        STEPS.iter().flat_map(|step| std::iter::once(step.name).chain(step.alias))
    }
}

macro_rules! step_type {
    // The struct is the field table itself.
    ($name:literal, $type:ident) => {
        step_type!($name, $type, |fields| <$type as FieldSet>::read(fields).map(Step::$type))
    };
    // The step is made of the fields by a function, because some of them depend on each other.
    ($name:literal, $table:ident, $read:expr) => {
        StepType {
            name: $name,
            alias: None,
            target: None,
            keys: <$table as FieldSet>::keys,
            specs: <$table as FieldSet>::specs,
            reader: Reader::Step($read),
        }
    };
}

/// Every step type, in the order of the documentation.
const STEPS: &[StepType] = &[
    StepType {
        name: "include",
        alias: None,
        target: None,
        keys: Include::keys,
        specs: Include::specs,
        reader: Reader::Include,
    },
    step_type!("create_be", CreateBe).only_in("pool"),
    step_type!("create_dataset", CreateDataset).only_in("pool"),
    step_type!("make_bootable", MakeBootable).only_in("pool"),
    step_type!("devfsadm", Devfsadm),
    step_type!("systemd_boot", SystemdBoot),
    step_type!("ensure_file", EnsureFileFields, |fields| ensure_file::read(fields).map(Step::EnsureFile)),
    step_type!("ensure_dir", EnsureDir).alias("ensure_directory"),
    step_type!("ensure_symlink", EnsureSymlink),
    step_type!("ensure_perms", EnsurePerms),
    step_type!("remove_files", RemoveFilesFields, |fields| files::read_remove_files(fields).map(Step::RemoveFiles)),
    step_type!("require_path", RequirePath),
    step_type!("assemble_files", AssembleFiles),
    step_type!("shadow", Shadow),
    step_type!("gzip", Gzip),
    step_type!("digest", Digest),
    step_type!("pack_tar", PackTar),
    step_type!("unpack_tar", UnpackTar),
    step_type!("deb_bootstrap", DebBootstrap),
    step_type!("pkg_image_create", PkgImageCreateFields, |fields| {
        packages::read_image_create(fields).map(Step::PkgImageCreate)
    }),
    step_type!("pkg_set_publisher", PkgSetPublisherFields, |fields| {
        packages::read_set_publisher(fields).map(Step::PkgSetPublisher)
    }),
    step_type!("pkg_set_p5p_publisher", PkgSetP5pPublisherFields, |fields| {
        packages::read_set_p5p_publisher(fields).map(Step::PkgSetPublisher)
    }),
    step_type!("pkg_approve_ca_cert", PkgApproveCaCertFields, |fields| {
        packages::read_approve_ca_cert(fields).map(Step::PkgApproveCaCert)
    }),
    step_type!("pkg_set_property", PkgSetProperty),
    step_type!("pkg_install", PkgInstall),
    step_type!("pkg_uninstall", PkgUninstall),
    step_type!("pkg_change_variant", PkgChangeVariant),
    step_type!("pkg_change_facet", PkgChangeFacet),
    step_type!("pkg_purge_history", PkgPurgeHistory),
    step_type!("onu", Onu),
    step_type!("seed_smf", SeedSmfFields, |fields| services::read_seed_smf(fields).map(Step::SeedSmf)),
];
