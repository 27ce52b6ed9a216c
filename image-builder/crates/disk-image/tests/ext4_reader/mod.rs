//! Reads an ext4 image back with `debugfs`, file by file.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use process_runner::Command;

/// What an inode says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inode {
    pub(crate) number: u64,
    pub(crate) kind: String,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) links: u64,
    pub(crate) blocks_of_512: u64,
    /// Seconds and nanoseconds, computed from the raw fields.
    pub(crate) mtime: (i64, u32),
    /// Major and minor number.
    pub(crate) device: Option<(u32, u32)>,
}

/// Runs a command of `debugfs` for each path; answers what it printed about each.
fn ask(image: &Path, commands: &[String]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("commands");
    std::fs::write(&script, commands.join("\n") + "\n").unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("debugfs")
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .args(["-f", script.to_str().unwrap(), image.to_str().unwrap()])
        .deadline(Duration::from_secs(60))
        .run()
        .unwrap();
    let said = output.stderr_text();
    assert_eq!(said.lines().count(), 1, "{said}");
    let printed = output.stdout_text();
    let answers: Vec<String> =
        printed.split("debugfs: ").skip(1).map(|answer| answer.split_once('\n').unwrap().1.to_owned()).collect();
    assert_eq!(answers.len(), commands.len(), "{printed}");
    answers
}

fn quote(path: &str) -> String {
    format!("\"{}\"", path.replace('"', "\"\""))
}

pub(crate) fn stat(image: &Path, paths: &[&str]) -> BTreeMap<String, Inode> {
    let commands: Vec<String> = paths.iter().map(|path| format!("stat {}", quote(path))).collect();
    let answers = ask(image, &commands);
    paths.iter().zip(answers).map(|(path, answer)| ((*path).to_owned(), parse(&answer))).collect()
}

/// The bytes of a file, or of a symbolic link whose target has blocks of its own.
pub(crate) fn content(image: &Path, path: &str) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy");
    ask(image, &[format!("dump {} {}", quote(path), copy.to_str().unwrap())]);
    std::fs::read(copy).unwrap()
}

/// The target of a symbolic link.
pub(crate) fn target(image: &Path, path: &str) -> Vec<u8> {
    let answer = ask(image, &[format!("stat {}", quote(path))]).remove(0);
    match answer.split_once("Fast link dest: \"") {
        Some((_, rest)) => rest.trim_end().strip_suffix('"').unwrap().as_bytes().to_vec(),
        None => content(image, path),
    }
}

/// The extended attributes with their values in hexadecimal.
pub(crate) fn attribute(image: &Path, path: &str, name: &str) -> String {
    let answer = ask(image, &[format!("ea_get -x {} {name}", quote(path))]).remove(0);
    answer.split_once(" = ").expect("the attribute is there").1.trim().to_owned()
}

fn parse(answer: &str) -> Inode {
    let field = |name: &str| -> &str {
        let at = answer.find(name).unwrap_or_else(|| panic!("no {name} in:\n{answer}"));
        let rest = answer[at + name.len()..].trim_start();
        rest.split("  ").next().unwrap().lines().next().unwrap().trim()
    };
    // Ids are printed as if they were signed.
    let number = |name: &str| {
        let word = field(name).split_whitespace().next().unwrap();
        word.parse::<i64>().unwrap_or_else(|_| panic!("{name} {word} in:\n{answer}"))
    };
    let device = answer.split_once("Device major/minor number: ").map(|(_, rest)| {
        let pair = rest.split_whitespace().next().unwrap().split_once(':').unwrap();
        (pair.0.parse().unwrap(), pair.1.parse().unwrap())
    });
    Inode {
        number: number("Inode:") as u64,
        kind: field("Type:").to_owned(),
        mode: u16::from_str_radix(field("Mode:"), 8).unwrap(),
        uid: number("User:") as u32,
        gid: number("Group:") as u32,
        size: number("Size:") as u64,
        links: number("Links:") as u64,
        blocks_of_512: number("Blockcount:") as u64,
        mtime: parse_time(field("mtime:").split_whitespace().next().unwrap()),
        device,
    }
}

/// `0xSECONDS`, or `0xSECONDS:EXTRA` where the inode has room for more.
fn parse_time(text: &str) -> (i64, u32) {
    let (seconds, extra) = text.strip_prefix("0x").unwrap().split_once(':').unwrap_or((&text[2..], "0"));
    let seconds = u32::from_str_radix(seconds, 16).unwrap() as i32;
    let extra = u32::from_str_radix(extra, 16).unwrap();
    (i64::from(seconds) + (i64::from(extra & 3) << 32), extra >> 2)
}
