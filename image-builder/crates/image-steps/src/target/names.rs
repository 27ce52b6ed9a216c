//! What the files of an image are called.

use template::Target;

pub(super) const RAW: &str = "raw";
pub(super) const QCOW2: &str = "qcow2";
/// What the name of the file with the pool's partition alone ends in.
pub(super) const PARTITION_EXTENSION: &str = "partonly";
/// How the names of images end.
pub(crate) const EXTENSIONS: [&str; 6] = [RAW, QCOW2, PARTITION_EXTENSION, "ufs", "pcfs", "iso"];

/// The names of the files that a target becomes, for an output called `output_name`.
pub(crate) fn file_names(target: &Target, output_name: &str) -> Vec<String> {
    let mut extensions = Vec::new();
    let formats = match target {
        Target::Dataset(_) => &[],
        Target::Pool(pool) => {
            extensions.push(RAW);
            // Without a partition table there is no partition to be written alone.
            extensions.extend((pool.label && pool.partition_only).then_some(PARTITION_EXTENSION));
            pool.formats.as_slice()
        }
        Target::Disk(disk) => {
            extensions.push(RAW);
            disk.formats.as_slice()
        }
        Target::Ufs(_) | Target::Pcfs(_) | Target::Iso(_) => {
            extensions.push(target.name());
            &[]
        }
    };
    extensions.extend(formats.iter().map(String::as_str));
    extensions.dedup();
    extensions.into_iter().map(|extension| format!("{output_name}.{extension}")).collect()
}
