//! The command line.

mod ips;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand};
pub(crate) use ips::*;
use std::ffi::OsString;
use std::path::PathBuf;

const EXIT_CODES: &str = "Exit status: 0 done, 1 failed, 2 wrong usage, 3 a template is wrong, 4 an image is damaged or images differ, \
     78 this user may not work in the workspace, 128 and the number of a signal: ended by that signal.";

/// Builds bootable images from templates, on any host and without root.
#[derive(Debug, Parser)]
#[command(name = "image-builder", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Build a template, and first what it needs of others.
    Build(Build),
    /// Say what `build` would do, and change nothing.
    Plan(Plan),
    /// Find everything that is wrong with the templates, without building.
    Check(Check),
    /// Print a template as it is understood: after includes, guards, features and expansion.
    Show(Show),
    /// Make the workspace and say where it is.
    Workspace(WorkspaceArguments),
    /// Read all of an image and check it: partition table, every checksum, every file of its pool.
    Verify(Verify),
    /// List what is in an image: partitions, the pool with its features and datasets, or files.
    Ls(Ls),
    /// Write a file of an image to standard output.
    Cat(Cat),
    /// Say what differs between two images.
    Diff(Diff),
    /// Look at IPS packages in a repository, or in the archive of a root file system.
    Ips(Ips),
    /// Remove from the cache what the newest builds are not made of.
    Gc(Gc),
    /// Remove the cache; images, archives and package files stay.
    Clean(Clean),
    /// Print the JSON Schema of templates, for editors.
    Schema,
    /// Print completions for a shell.
    Completions(Completions),
    /// Print the manual page, or write one for each verb.
    Man(Man),
}

impl Verb {
    /// Whether a machine reads what is said.
    pub(crate) fn is_json(&self) -> bool {
        match self {
            Self::Build(build) => build.json,
            Self::Plan(plan) => plan.json,
            Self::Check(check) => check.json,
            Self::Show(show) => show.json,
            Self::Workspace(workspace) => workspace.json,
            Self::Verify(verify) => verify.json,
            Self::Ls(ls) => ls.json,
            Self::Diff(diff) => diff.json,
            Self::Ips(ips) => ips.verb.is_json(),
            Self::Gc(gc) => gc.json,
            Self::Clean(clean) => clean.json,
            Self::Cat(_) | Self::Schema | Self::Completions(_) | Self::Man(_) => false,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    pub(crate) template: TemplateArguments,
    /// Print it as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Gc {
    #[command(flatten)]
    pub(crate) location: LocationArguments,
    /// Print what was done as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Clean {
    #[command(flatten)]
    pub(crate) location: LocationArguments,
    /// Print what was freed as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write a page for the program and for each verb into this directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// A raw or qcow2 image, with a partition table or as a bare pool, or a tar archive.
    #[arg(value_name = "IMAGE")]
    pub(crate) image: PathBuf,
    /// Print the findings as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// The image or tar archive, and the dataset that PATH is in [default: the one that boots].
    #[arg(value_name = "IMAGE[:DATASET[@SNAPSHOT]]")]
    pub(crate) image: OsString,
    /// A file or directory in the dataset; without one, and without DATASET, partitions and datasets are listed.
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<OsString>,
    /// List everything below PATH.
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
    /// Print the list as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Cat {
    /// The image or tar archive, and the dataset that PATH is in [default: the one that boots].
    #[arg(value_name = "IMAGE[:DATASET[@SNAPSHOT]]")]
    pub(crate) image: OsString,
    /// A regular file in the dataset; links are followed inside it.
    #[arg(value_name = "PATH")]
    pub(crate) path: OsString,
}

#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The image before; with DATASET only this one is compared.
    #[arg(value_name = "IMAGE[:DATASET[@SNAPSHOT]]")]
    pub(crate) first: OsString,
    /// The image after.
    #[arg(value_name = "IMAGE[:DATASET[@SNAPSHOT]]")]
    pub(crate) second: OsString,
    /// Print the differences as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which template, with which features.
#[derive(Debug, Args)]
pub(crate) struct TemplateArguments {
    /// Template group: the directory below the template root.
    #[arg(short, long)]
    pub(crate) group: String,
    /// Template name: the file in the group's directory, without `.json`.
    #[arg(short, long)]
    pub(crate) name: String,
    /// Name of the output, when it is to be another than the template's: a part of a file name.
    #[arg(short = 'N', long, value_parser = part_of_file_name)]
    pub(crate) output_name: Option<String>,
    #[command(flatten)]
    pub(crate) places: PlaceArguments,
}

/// Where templates and what they name are found.
#[derive(Debug, Args)]
pub(crate) struct PlaceArguments {
    /// Template root [default: ./templates, then this repository's sysconfig/image/templates].
    #[arg(short = 'T', long, value_name = "DIR")]
    pub(crate) templates: Option<PathBuf>,
    /// Directory with the files of `extsrc`; repeatable [default: this repository's sysconfig/target/release].
    #[arg(short = 'E', long = "external-src", value_name = "DIR")]
    pub(crate) external: Vec<PathBuf>,
    /// Define (NAME, NAME=VALUE), extend (NAME+=VALUE), reduce (NAME-=VALUE) or remove (^NAME) a feature; repeatable.
    #[arg(short = 'F', long = "feature", value_name = "FEATURE", allow_hyphen_values = true)]
    pub(crate) features: Vec<String>,
    /// Let `seed_smf` make service repositories with this `svccfg` of an illumos system, or leave them to the first boot (`none`)
    /// [default: /usr/sbin/svccfg on illumos, else none].
    #[arg(short = 'S', long, value_name = "PROGRAM")]
    pub(crate) svccfg: Option<PathBuf>,
    /// Take unknown keys of old templates as warnings.
    #[arg(long)]
    pub(crate) lenient: bool,
}

/// What is done again although its result is known.
#[derive(Debug, Args)]
pub(crate) struct RedoArguments {
    /// Do the steps of this template again, from its input snapshot on.
    #[arg(short = 'r', long)]
    pub(crate) reset: bool,
    /// Do all templates of the same dataset again, from the first one on.
    #[arg(short = 'x', long)]
    pub(crate) fullreset: bool,
}

/// Where everything is kept.
#[derive(Debug, Args)]
pub(crate) struct LocationArguments {
    /// Workspace: a directory when it begins with `/`, `./` or `../`, else a ZFS dataset.
    #[arg(short, long = "dataset", value_name = "WHERE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) dataset: String,
}

#[derive(Debug, Args)]
pub(crate) struct Build {
    #[command(flatten)]
    pub(crate) location: LocationArguments,
    #[command(flatten)]
    pub(crate) template: TemplateArguments,
    /// Take what other templates make as it is, instead of building it first.
    #[arg(long)]
    pub(crate) no_deps: bool,
    /// Lock the newest package versions, and ask publishers what there is.
    #[arg(long)]
    pub(crate) refresh: bool,
    #[command(flatten)]
    pub(crate) redo: RedoArguments,
    #[command(flatten)]
    pub(crate) client_keys: ClientKeyArguments,
    /// Wait as long as another process works in the workspace, and say which.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Write no checksums, manifest and the like beside the outputs.
    #[arg(long)]
    pub(crate) no_evidence: bool,
    /// Write one HTML page that shows what was built, what was cached, and what took how long.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Print nothing on standard output but the path of the image.
    #[arg(long)]
    pub(crate) print_path: bool,
    /// Print the result as JSON.
    #[arg(long, conflicts_with = "print_path")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) location: LocationArguments,
    #[command(flatten)]
    pub(crate) template: TemplateArguments,
    #[command(flatten)]
    pub(crate) redo: RedoArguments,
    /// Take what other templates make as it is, as `build --no-deps` does.
    #[arg(long)]
    pub(crate) no_deps: bool,
    /// Ask the publishers of IPS packages for the catalogs and manifests that are not in the workspace yet, and say which
    /// packages a first build brings and how much it fetches. The workspace keeps what they answer.
    #[arg(long)]
    pub(crate) ask_publishers: bool,
    #[command(flatten)]
    pub(crate) client_keys: ClientKeyArguments,
    /// Print the plan as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Only this group.
    #[arg(short, long)]
    pub(crate) group: Option<String>,
    /// Only this template of the group.
    #[arg(short, long, requires = "group")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) places: PlaceArguments,
    /// Print the findings as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WorkspaceArguments {
    #[command(flatten)]
    pub(crate) location: LocationArguments,
    /// Print the directory of finished images instead of the workspace's own.
    #[arg(long)]
    pub(crate) output: bool,
    /// Print what each part of the workspace occupies on the disk, and make nothing.
    #[arg(long, conflicts_with = "output")]
    pub(crate) disk_use: bool,
    /// Print the disk use as JSON, in bytes.
    #[arg(long, requires = "disk_use")]
    pub(crate) json: bool,
}

/// Group, name and extension come to it, and `.tmp` while it is written: 255 bytes is what file systems take.
const NAME_LIMIT: usize = 128;

fn part_of_file_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > NAME_LIMIT {
        return Err(format!("it has to have 1 to {NAME_LIMIT} bytes"));
    }
    match text.chars().find(|character| *character == '/' || character.is_control()) {
        Some(character) => Err(format!("it is a part of a file name, which cannot hold {character:?}")),
        None => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An unset variable of a script was taken for a ZFS dataset without a name.
    #[test]
    fn an_empty_workspace_is_wrong_usage() {
        for (place, is_good) in [("", false), ("./x", true)] {
            let parsed = Arguments::try_parse_from(["image-builder", "gc", "-d", place]);
            assert_eq!(parsed.is_ok(), is_good, "{place}");
        }
    }

    /// It was refused after all steps were done, because the image could not be created.
    #[test]
    fn an_output_name_is_a_part_of_a_file_name() {
        let parse = |name: &str| {
            let words = ["image-builder", "build", "-d", "./x", "-g", "g", "-n", "n", "-N", name];
            Arguments::try_parse_from(words).map(|_| ()).map_err(|error| error.to_string())
        };
        for name in ["x", "my image-2.1", "..", "ä"] {
            parse(name).expect(name);
        }
        for name in ["", "a/b", "../../x", "/x", "a\nb", &"a".repeat(129)] {
            let error = parse(name).expect_err(name);
            assert!(error.contains("--output-name"), "{error}");
        }
    }
}
