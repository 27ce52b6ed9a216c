//! A block pointer in one line.

use std::fmt::Write;

use zfs_format::block::BlockPointer;

/// The pointer in the order and with the abbreviations of `zdb`: `L` is logical, `P` physical bytes, hexadecimal.
#[must_use]
pub fn pointer(pointer: &BlockPointer) -> String {
    match pointer {
        BlockPointer::Hole(hole) if hole.logical_bytes == 0 => "hole".to_owned(),
        BlockPointer::Hole(hole) => {
            format!("hole L{} [{}] {:x}L birth={}", hole.level, hole.kind, hole.logical_bytes, hole.birth)
        }
        BlockPointer::Embedded(embedded) => {
            let mut text = format!(
                "embedded L{} [{}] {} {:x}L/{:x}P birth={} ",
                embedded.level,
                embedded.kind,
                embedded.compression,
                embedded.logical_bytes,
                embedded.physical_bytes,
                embedded.birth
            );
            embedded.payload().iter().for_each(|byte| push(&mut text, format_args!("{byte:02x}")));
            text
        }
        BlockPointer::Data(block) => {
            let mut text = format!(
                "L{} [{}] {} {} {:x}L/{:x}P birth={}",
                block.level,
                block.kind,
                block.checksum.name(),
                block.compression,
                block.logical_bytes,
                block.physical_bytes,
                block.birth
            );
            if block.physical_birth != 0 && block.physical_birth != block.birth {
                push(&mut text, format_args!("/{}", block.physical_birth));
            }
            push(&mut text, format_args!(" fill={}", block.fill));
            for dva in block.dvas.iter().filter(|dva| !dva.is_empty()) {
                let gang = if dva.gang { " gang" } else { "" };
                push(&mut text, format_args!(" {}:{:x}:{:x}{gang}", dva.vdev, dva.offset, dva.asize));
            }
            for (set, word) in [(block.dedup, " dedup"), (block.encrypted, " encrypted")] {
                text.push_str(if set { word } else { "" });
            }
            let [a, b, c, d] = block.digest;
            push(&mut text, format_args!(" cksum={a:x}:{b:x}:{c:x}:{d:x}"));
            text
        }
    }
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // A string takes everything.
    let _ = text.write_fmt(arguments);
}
