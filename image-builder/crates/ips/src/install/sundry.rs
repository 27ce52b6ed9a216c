//! Licences, and the entries of SVR4 packages.

use image_tree::ImagePath;

use super::execute::Run;
use super::objects::Delivered;
use crate::fmri::PackageId;
use crate::manifest::{Action, AttributeError};
use crate::text::quote_component;

/// Where an image keeps a licence of a package: quoted names of package and licence.
///
/// # Errors
/// The licence has no name, or a longer one than a file can have.
pub fn license_path(package: &PackageId, action: &Action) -> Result<ImagePath, AttributeError> {
    let name = action.required("license")?;
    let path = format!("var/pkg/license/{}/license.{}", quote_component(package.stem.as_str()), quote_component(name));
    ImagePath::from_relative(path).map_err(|source| AttributeError::Path { kind: action.kind(), source })
}

/// The directory of a SVR4 package.
pub(super) fn legacy_dir(name: &str) -> String {
    format!("var/sadm/pkg/{name}")
}

/// The text of a `pkginfo` file: what the action says, else what follows from the package; the arguments are the
/// architecture and the time of installation.
pub(super) fn pkginfo(delivered: Delivered<'_>, run: &Run<'_>, arch: &str) -> String {
    const SUMMARY_CHARS_MAX: usize = 256;
    /// What stands for the summary of a package that has none.
    const NO_SUMMARY: &str = "none provided";
    let action = delivered.action;
    let summary: String =
        delivered.package.manifest.summary().unwrap_or(NO_SUMMARY).chars().take(SUMMARY_CHARS_MAX).collect();
    let version = delivered.package.id.version.to_string();
    let name = action.get("pkg").unwrap_or_default();
    let lines = [
        ("arch", arch),
        ("basedir", "/"),
        ("category", "system"),
        ("desc", ""),
        ("hotline", ""),
        ("name", &summary),
        ("pkg", name),
        ("pkginst", name),
        ("pstamp", ""),
        ("sunw_prodvers", ""),
        ("vendor", ""),
        ("version", &version),
    ];
    let mut text = String::new();
    for (attribute, default) in lines {
        let value = action.get(attribute).unwrap_or(default);
        if !value.is_empty() {
            text += &format!("{}={value}\n", attribute.to_uppercase());
        }
    }
    text + &format!("INSTDATE={}\n", run.time().svr4())
}
