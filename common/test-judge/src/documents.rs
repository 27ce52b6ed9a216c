//! Whether the documents name verbs and options that a program has: its own help is asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use process_runner::Command;

use crate::DEADLINE;

/// A command that a document shows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    /// The document and the line.
    place: String,
    /// What follows the program's name.
    words: Vec<String>,
}

/// Compares every command of `name` in `README.md` and `docs` of this checkout with the help of `program`. Answers how many
/// there are, and what is wrong with them.
///
/// # Panics
///
/// When a document cannot be read, or the program does not run.
pub fn wrong_in_documents(name: &str, program: &Path) -> (usize, Vec<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut shown = Vec::new();
    for path in documents(&root) {
        let text = std::fs::read_to_string(&path).expect("a readable document");
        let file = path.file_name().expect("a document has a name").to_string_lossy().into_owned();
        shown.extend(commands(name, &file, &text));
    }
    let mut helps = BTreeMap::new();
    let mut help = |verbs: &[String]| {
        let ask = || {
            let command = Command::new(program).args(verbs).arg("--help").deadline(DEADLINE);
            let output = command.run_any().unwrap_or_else(|error| panic!("{error}"));
            output.success().then(|| output.stdout_text())
        };
        helps.entry(verbs.to_vec()).or_insert_with(ask).clone()
    };
    let problems = shown.iter().flat_map(|command| problems(name, command, &mut help)).collect();
    (shown.len(), problems)
}

fn documents(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root.join("docs")).expect("the documents").flatten().map(|entry| entry.path());
    let mut paths: Vec<_> = entries.filter(|path| path.extension().is_some_and(|kind| kind == "md")).collect();
    paths.push(root.join("README.md"));
    paths.sort();
    paths
}

/// The commands in a document's blocks of code and spans of code.
fn commands(name: &str, file: &str, text: &str) -> Vec<Shown> {
    let mut shown = Vec::new();
    let mut is_block = false;
    // A command goes on where a line of a block ends with a backslash.
    let mut begun = String::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_block = !is_block;
            continue;
        }
        let pieces: Vec<String> = match is_block {
            true => {
                let whole = format!("{begun}{line}");
                match whole.strip_suffix('\\') {
                    Some(start) => {
                        start.clone_into(&mut begun);
                        continue;
                    }
                    None => begun.clear(),
                }
                vec![whole]
            }
            false => line.split('`').skip(1).step_by(2).map(|span| span.replace("\\|", " | ")).collect(),
        };
        let found = pieces.iter().flat_map(|piece| parts(piece)).filter_map(|part| words(name, part));
        shown.extend(found.map(|words| Shown { place: format!("{file}:{}", number + 1), words }));
    }
    shown
}

/// The commands of a line of a shell, without what is said beside them.
fn parts(line: &str) -> impl Iterator<Item = &str> {
    let line = line.split(" #").next().unwrap_or_default();
    line.split(" | ").flat_map(|part| part.split("; ")).flat_map(|part| part.split(" && "))
}

/// What follows the program, when the command is one of it: by its name or its path, alone or in a guest.
fn words(name: &str, part: &str) -> Option<Vec<String>> {
    let plain = |word: &str| word.trim_matches(['[', ']', ',', '\'', '"']).to_owned();
    let words: Vec<String> = part.split_whitespace().map(plain).filter(|word| !word.is_empty()).collect();
    let is_program = |word: &String| word == name || word.ends_with(&format!("/{name}"));
    let at = words.iter().position(is_program)?;
    let is_first = at == 0 || words[..at].iter().any(|word| word == "exec" || word == "sudo");
    let rest = words[at + 1..].iter().take_while(|word| *word != "--").cloned();
    is_first.then(|| rest.collect())
}

/// What the help does not know. Alternatives, as in `build|plan`, are looked at one by one.
fn problems(name: &str, command: &Shown, help: &mut impl FnMut(&[String]) -> Option<String>) -> Vec<String> {
    let wrong = |what: String| format!("{}: {name} has no {what}", command.place);
    let top = help(&[]).unwrap_or_default();
    let is_verb = |word: &String| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.chars().all(|each| each.is_ascii_lowercase() || each.is_ascii_digit() || "-|".contains(each))
    };
    let mut found = Vec::new();
    let mut verbs: Vec<String> = Vec::new();
    // What the options are looked for in, and the part of it that is the last verb's.
    let (mut known, mut last) = (top.clone(), top.clone());
    for (at, word) in command.words.iter().enumerate() {
        let after_option = at > 0 && command.words[at - 1].starts_with('-');
        // A value, or a word for one: what comes then is the verb's affair.
        if word.starts_with('-') || (after_option && !is_verb(word)) {
            continue;
        }
        if !is_verb(word) || !last.contains("\nCommands:") {
            break;
        }
        let mut inner = String::new();
        for verb in word.split('|') {
            let mut path = verbs.clone();
            path.push(verb.to_owned());
            match help(&path) {
                Some(text) => {
                    // Of alternatives, an option may be that of any.
                    known.push_str(&text);
                    inner = text;
                }
                None => found.push(wrong(format!("verb {}", path.join(" ")))),
            }
        }
        verbs.push(word.split('|').next().unwrap_or_default().to_owned());
        last = inner;
    }
    let options = command.words.iter().filter(|word| word.starts_with('-') && word.len() > 1);
    let options =
        options.flat_map(|word| word.split(['|', '/'])).map(|word| word.split('=').next().unwrap_or_default());
    let options =
        options.filter(|word| word.starts_with('-') && word.trim_start_matches('-').starts_with(char::is_alphabetic));
    found.extend(options.filter(|option| !knows(&known, option)).map(|option| {
        wrong(format!("{} {option}", if verbs.is_empty() { "option" } else { verbs.last().map_or("", String::as_str) }))
    }));
    found
}

/// Whether the help has the option as a word.
fn knows(help: &str, option: &str) -> bool {
    help.split(|each: char| !(each.is_alphanumeric() || each == '-')).any(|word| word == option)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "`vm up --fast`, and `cargo test -p vm`, of `vm` and `vm: ready`\n\
        ```sh\n./target/vm -d ./images up \\\n  --share .   # says --nothing\nvm down && vm list | vm lost\n\
        vm -d ./x exec -- vm tool new --odd\n```\n| `vm up\\|down [--fast]` | `vm sideways` |\n";

    fn help(verbs: &[String]) -> Option<String> {
        let verbs: Vec<&str> = verbs.iter().map(String::as_str).collect();
        Some(match verbs[..] {
            [] => "\nCommands:\n  up\n\nOptions:\n  -d, --dataset <WHERE>\n".to_owned(),
            ["up" | "down"] => "Options:\n      --share <DIR>\n      --fast\n".to_owned(),
            ["list" | "exec"] => "Usage: vm list\n".to_owned(),
            ["tool"] => "\nCommands:\n  old\n".to_owned(),
            ["tool", "old"] => String::new(),
            _ => return None,
        })
    }

    #[test]
    fn what_the_help_does_not_know_is_told_with_its_place() {
        let shown = commands("vm", "a.md", DOCUMENT);
        assert_eq!(shown[1], Shown { place: "a.md:1".to_owned(), words: Vec::new() });
        assert_eq!(shown[2].words, ["-d", "./images", "up", "--share", "."]);
        let found: Vec<_> = shown.iter().flat_map(|command| problems("vm", command, &mut help)).collect();
        assert_eq!(found, ["a.md:5: vm has no verb lost", "a.md:8: vm has no verb sideways"], "{shown:#?}");
        let odd = commands("vm", "b.md", "`vm up --slow` and `vm tool new -x`, `vm -z`, `vm up -d=x --share=y`");
        let found: Vec<_> = odd.iter().flat_map(|command| problems("vm", command, &mut help)).collect();
        assert_eq!(
            found,
            [
                "b.md:1: vm has no up --slow",
                "b.md:1: vm has no verb tool new",
                "b.md:1: vm has no new -x",
                "b.md:1: vm has no option -z"
            ]
        );
    }
}
