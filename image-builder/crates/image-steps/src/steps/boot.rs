//! Booting a Linux guest: systemd-boot, kernel and initial file system on the EFI system partition.
//!
//! Facts: the Boot Loader Specification (type 1 entries) and systemd-boot(7).

use super::StepError;
use super::error::{store, tree};
use super::files::{put, tree_content};
use crate::context::Context;
use crate::state::{ImageState, written};
use disk_image::{Guid, partition_guid};
use image_tree::{Content, ImagePath, Node, Tree};
use template::SystemdBoot;

/// The role of the root partition, which its identifier is made from.
pub(crate) const ROOT_ROLE: &str = "root";

/// The identifier of the root partition of the disk that is being built.
pub(crate) fn root_partition(context: &Context<'_>) -> Guid {
    partition_guid(&context.seed, ROOT_ROLE)
}

/// The loader's name in the image, and the one that firmware looks for.
const LOADERS: [(&str, &str); 2] = [
    ("/usr/lib/systemd/boot/efi/systemd-bootx64.efi", "/EFI/BOOT/BOOTX64.EFI"),
    ("/usr/lib/systemd/boot/efi/systemd-bootaa64.efi", "/EFI/BOOT/BOOTAA64.EFI"),
];

/// Puts what firmware and boot loader read onto the EFI system partition.
pub(super) fn systemd_boot(step: &SystemdBoot, state: &mut ImageState, context: &Context<'_>) -> Result<(), StepError> {
    let (removable, loader) = find_loader(&state.root)?;
    let (version, kernel) = newest_kernel(&state.root)?;
    let initrd = tree_content(&state.root, &format!("/boot/initrd.img-{version}"))?;
    let root = root_partition(context).to_string().to_lowercase();
    let (entry, configuration) = (entry(step, &version, &root), configuration(step));
    put_esp(&mut state.esp, removable, loader)?;
    put_esp(&mut state.esp, "/linux", kernel)?;
    put_esp(&mut state.esp, "/initrd", initrd)?;
    for (path, text) in [("/loader/loader.conf", configuration), ("/loader/entries/linux.conf", entry)] {
        let content = context.store.put_bytes(text.as_bytes()).map_err(store("store", path))?;
        put_esp(&mut state.esp, path, content)?;
    }
    Ok(())
}

/// The menu entry of a kernel, whose root partition has this identifier.
fn entry(step: &SystemdBoot, version: &str, root: &str) -> String {
    let options = format!("root=PARTUUID={root} rw {}", step.options);
    let (title, options) = (&step.title, options.trim_end());
    format!("title {title}\nversion {version}\nlinux /linux\ninitrd /initrd\noptions {options}\n")
}

fn configuration(step: &SystemdBoot) -> String {
    format!("default linux.conf\ntimeout {}\neditor yes\n", step.timeout)
}

fn put_esp(esp: &mut Tree, text: &str, content: Content) -> Result<(), StepError> {
    let at = ImagePath::new(text).expect("the paths of this module are absolute");
    if let Some(parent) = at.parent() {
        let metadata = written(0, 0, 0o755);
        esp.create_dir(&parent, metadata.clone(), &metadata).map_err(tree("make", text))?;
    }
    put(esp, text, Node::regular(content, written(0, 0, 0o644)))
}

fn find_loader(root: &Tree) -> Result<(&'static str, Content), StepError> {
    let found = LOADERS.iter().find_map(|(path, removable)| Some((*removable, tree_content(root, path).ok()?)));
    found.ok_or_else(|| StepError::Boot {
        what: LOADERS.map(|(path, _)| path).join(" or "),
        help: "add the package systemd-boot-efi to the base",
    })
}

/// The kernel with the highest version, compared number by number.
fn newest_kernel(root: &Tree) -> Result<(String, Content), StepError> {
    let boot = ImagePath::new("/boot").expect("a constant path");
    let mut versions: Vec<String> = root
        .read_dir(&boot)
        .into_iter()
        .flatten()
        .filter_map(|(name, _)| std::str::from_utf8(name).ok()?.strip_prefix("vmlinuz-").map(str::to_owned))
        .collect();
    versions.sort_by_key(|version| numbers(version));
    let missing =
        StepError::Boot { what: "kernel at /boot/vmlinuz-*".to_owned(), help: "add a kernel package to the base" };
    let version = versions.pop().ok_or(missing)?;
    let kernel = tree_content(root, &format!("/boot/vmlinuz-{version}"))?;
    Ok((version, kernel))
}

fn numbers(version: &str) -> Vec<u64> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::{SystemdBoot, configuration, entry, numbers};

    #[test]
    fn options_and_timeout_are_where_the_boot_loader_reads_them() {
        let mut step =
            SystemdBoot { title: "Debian".to_owned(), options: "quiet console=ttyS0".to_owned(), timeout: 7 };
        let head = "title Debian\nversion 6.1\nlinux /linux\ninitrd /initrd\n";
        let options = |text: &str| format!("{head}options root=PARTUUID=12-34 rw{text}\n");
        assert_eq!(entry(&step, "6.1", "12-34"), options(" quiet console=ttyS0"));
        assert_eq!(configuration(&step), "default linux.conf\ntimeout 7\neditor yes\n");
        step.options.clear();
        assert_eq!(entry(&step, "6.1", "12-34"), options(""));
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(numbers("6.1.0-56-amd64") > numbers("6.1.0-9-amd64"));
        assert!(numbers("6.12.1") > numbers("6.1.99"));
    }
}
