//! Names of one device: as it is written, as links lead to it, and as the tables of the system show it.

use crate::{Host, System, files};
use std::borrow::Cow;

/// The name under which the mount table shows a device: [`node`], and a loop device is the file behind it.
#[must_use]
pub fn identity(host: &Host, device: &str) -> String {
    let node = node(host, device);
    match node.strip_prefix("/dev/loop").filter(|_| host.system() == System::Linux) {
        Some(number) => backing_file(host, &format!("loop{number}")).unwrap_or(node),
        None => node,
    }
}

/// The name of a device itself, as the list of swap areas has it: links are followed, and `UUID=` and the like are looked up.
/// What cannot be found stays as it is written.
#[must_use]
pub fn node(host: &Host, device: &str) -> String {
    if host.system() == System::Illumos {
        // Its table shows what was given.
        return device.to_owned();
    }
    let path = spelled_out(device);
    match path.starts_with('/').then(|| host.root.exists(&*path)) {
        Some(Ok(true)) => host.root.resolve(&*path).map_or(path.into_owned(), |path| path.display().to_string()),
        _ => device.to_owned(),
    }
}

/// Linux: the path by which udev shows what `UUID=` and the like name; anything else as it is.
#[must_use]
pub fn spelled_out(device: &str) -> Cow<'_, str> {
    match device.split_once('=') {
        Some((tag @ ("UUID" | "LABEL" | "PARTUUID" | "PARTLABEL"), value)) => {
            let value = value.trim_matches('"');
            Cow::Owned(format!("/dev/disk/by-{}/{}", tag.to_ascii_lowercase(), udev_escape(value)))
        }
        _ => Cow::Borrowed(device),
    }
}

/// udev's names of links write everything but letters, digits and a few marks as `\x20`.
fn udev_escape(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"#+-.:=@_".contains(&byte) || byte >= 0x80;
    let mut escaped = Vec::new();
    for byte in value.bytes() {
        match plain(byte) {
            true => escaped.push(byte),
            false => escaped.extend(format!("\\x{byte:02x}").into_bytes()),
        }
    }
    String::from_utf8_lossy(&escaped).into_owned()
}

/// The file behind a loop device of Linux.
pub(crate) fn backing_file(host: &Host, name: &str) -> Option<String> {
    let file = files::read_text(&host.root, format!("/sys/block/{name}/loop/backing_file")).ok().flatten()?;
    Some(file.trim_end_matches('\n').to_owned())
}
