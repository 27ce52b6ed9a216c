//! A list as text, one pair a line, nested lists indented.

use std::fmt;

use super::{NvList, NvValue};

impl fmt::Display for NvList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(self, 0, formatter)
    }
}

fn print(list: &NvList, indent: usize, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (name, value) in list.pairs() {
        write!(out, "{:indent$}{name}", "")?;
        match value {
            NvValue::Flag => writeln!(out)?,
            NvValue::Boolean(value) => writeln!(out, ": {value}")?,
            NvValue::Byte(value) => writeln!(out, ": {value:#04x}")?,
            NvValue::I32(value) => writeln!(out, ": {value}")?,
            NvValue::U32(value) => writeln!(out, ": {value}")?,
            NvValue::I64(value) => writeln!(out, ": {value}")?,
            NvValue::U64(value) => writeln!(out, ": {value}")?,
            NvValue::String(value) => writeln!(out, ": {value:?}")?,
            NvValue::Bytes(values) => writeln!(out, ": {values:02x?}")?,
            NvValue::I64Array(values) => writeln!(out, ": {values:?}")?,
            NvValue::U64Array(values) => writeln!(out, ": {values:?}")?,
            NvValue::StringArray(values) => writeln!(out, ": {values:?}")?,
            NvValue::List(list) => {
                writeln!(out, ":")?;
                print(list, indent + 4, out)?;
            }
            NvValue::ListArray(lists) => {
                writeln!(out, ": {} lists", lists.len())?;
                for (index, list) in lists.iter().enumerate() {
                    writeln!(out, "{:indent$}{name}[{index}]:", "")?;
                    print(list, indent + 4, out)?;
                }
            }
        }
    }
    Ok(())
}
