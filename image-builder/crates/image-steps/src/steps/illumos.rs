//! Steps of illumos images: what a running system would do, as data.
//!
//! Facts: illumos-gate's SUNWcsd (the `/dev` and `/devices` skeleton), svc.configd (the seed
//! repository is not used unless it is copied), libbe (properties of boot environments).

mod boot_archive;
mod cpio;
mod pool;
mod required;
mod svccfg;

pub(crate) use boot_archive::update as update_boot_archive;
pub(crate) use pool::{CONTAINER, note as note_in_pool};
pub use required::{DISK_DRIVERS, REQUIRED, Wanted, missing_disk_modules};
pub(crate) use required::{check as check_bootable, hidden_by};

use super::StepError;
use super::error::tree;
use super::files::{put, tree_content};
use crate::context::Context;
use crate::state::{ImageState, written};
use image_tree::{Follow, ImagePath, Node};
use template::{MakeBootable, Profile, SeedSmf, Step};

/// Checks that the image can boot, makes the boot archive, and notes that the pool writer sets `bootfs` and writes
/// the boot loader.
pub(super) fn make_bootable(state: &mut ImageState, context: &Context<'_>) -> Result<(), StepError> {
    pool::note(&Step::MakeBootable(MakeBootable {}), &mut state.pool)?;
    check_bootable(&state.root)?;
    let archive = update_boot_archive(state, context)?;
    context.progress.message(&format!(
        "boot archive: {} entries, {} KiB, {} KiB packed",
        archive.entries,
        archive.bytes.div_ceil(1024),
        archive.packed_bytes.div_ceil(1024)
    ));
    Ok(())
}

/// The directories and links that `devfsadm -r` leaves in `/dev` whatever the host's devices are.
///
/// Nothing else is needed: the devfs and `/dev` file systems make the nodes at run time. Templates remove the directories
/// that the original fills with links to the host's devices, `/dev/sensors` among them, so that all of these are there.
pub(super) fn devfsadm(state: &mut ImageState) -> Result<(), StepError> {
    const DIRECTORIES: [&str; 10] = [
        "/dev",
        "/devices",
        "/dev/cfg",
        "/dev/dsk",
        "/dev/rdsk",
        "/dev/usb",
        "/dev/sensors",
        "/dev/fd",
        "/dev/pts",
        "/dev/term",
    ];
    const LINKS: [(&str, &str); 3] = [("/dev/stdin", "./fd/0"), ("/dev/stdout", "./fd/1"), ("/dev/stderr", "./fd/2")];
    for directory in DIRECTORIES {
        let at = ImagePath::new(directory).expect("a constant path");
        let metadata = written(0, 3, 0o755);
        state.root.create_dir(&at, metadata.clone(), &metadata).map_err(tree("make", directory))?;
    }
    for (link, target) in LINKS {
        put(&mut state.root, link, Node::symlink(target, written(0, 0, 0o777)))?;
    }
    Ok(())
}

/// Puts the seed repository in place; the first boot imports the manifests and applies the profiles.
///
/// Only svccfg of an illumos system could do that here, and does where the user names one. What it means without is
/// told: a service that a profile disables may run for a moment at the first boot, which takes longer.
pub(super) fn seed_smf(step: &SeedSmf, state: &mut ImageState, context: &Context<'_>) -> Result<(), StepError> {
    if let Some(program) = context.svccfg {
        return svccfg::seed(step, program, state, context);
    }
    let Some(seed) = &step.seed else {
        return Err(StepError::Unsupported { step: "seed_smf with skip_seed" });
    };
    if step.debug {
        return Err(StepError::Unsupported { step: "seed_smf with debug" });
    }
    let path = format!("/lib/svc/seed/{seed}.db");
    let content = tree_content(&state.root, &path)?;
    put(&mut state.root, "/etc/svc/repository.db", Node::regular(content, written(0, 0, 0o600)))?;
    context.progress.message(&format!(
        "SMF: {path} is the repository as it stands; manifests and profiles were not imported here, the first boot does it"
    ));
    for profile in &step.profiles {
        let (profile, found) = arrange_profile(*profile, state)?;
        context.progress.message(&format!("SMF: the first boot applies profile {profile}, {found}"));
    }
    warn_without_generic(state, context);
    Ok(())
}

/// Sees to it that the first boot finds a profile; answers its name and where it is.
fn arrange_profile(profile: Profile, state: &mut ImageState) -> Result<(&'static str, &'static str), StepError> {
    const GENERIC: &str = "/etc/svc/profile/generic.xml";
    const SITE: &str = "/var/svc/profile/site.xml";
    const SITE_LINK: &str = "/etc/svc/profile/site/site.xml";
    match profile {
        Profile::Generic => tree_content(&state.root, GENERIC).map(|_| ("generic", GENERIC)),
        Profile::Platform => Ok(("platform", "which it links for the machine that it runs on")),
        Profile::Site => {
            tree_content(&state.root, SITE)?;
            let directory = ImagePath::new("/etc/svc/profile/site").expect("a constant path");
            let metadata = written(0, 3, 0o755);
            state.root.create_dir(&directory, metadata.clone(), &metadata).map_err(tree("make", SITE_LINK))?;
            let link = Node::symlink("../../../../var/svc/profile/site.xml", written(0, 0, 0o777));
            put(&mut state.root, SITE_LINK, link)?;
            Ok(("site", SITE_LINK))
        }
    }
}

fn warn_without_generic(state: &ImageState, context: &Context<'_>) {
    let generic = ImagePath::new("/etc/svc/profile/generic.xml").expect("a constant path");
    if state.root.lookup(&generic, Follow::Yes).is_err() {
        context.progress.message(
            "SMF: /etc/svc/profile/generic.xml leads nowhere, so no service is enabled by it; \
             make it a link to generic_limited_net.xml or generic_open.xml",
        );
    }
}
