//! Quoting of an argument vector for the guest's login shell.
//!
//! `ssh` hands the remote side one string, which a shell there splits again.
//! Unlike the quoting for people, this one keeps every byte.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Joins `arguments` so that a POSIX shell splits them into exactly the same bytes again.
pub fn remote_command<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> OsString {
    let mut line = Vec::new();
    for (index, argument) in arguments.into_iter().enumerate() {
        if index > 0 {
            line.push(b' ');
        }
        // The first word is quoted even when it is plain: `if` or an alias would be taken for itself.
        quote_into(&mut line, argument.as_ref().as_bytes(), index == 0);
    }
    OsString::from_vec(line)
}

fn quote_into(line: &mut Vec<u8>, argument: &[u8], always: bool) {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./:=,@%+".contains(byte);
    if !always && !argument.is_empty() && argument.iter().all(plain) {
        line.extend_from_slice(argument);
        return;
    }
    line.push(b'\'');
    for byte in argument {
        match byte {
            b'\'' => line.extend_from_slice(br"'\''"),
            other => line.push(*other),
        }
    }
    line.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::remote_command;
    use process_runner::Command;
    use proptest::prelude::*;
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    /// What a real shell makes of the line: each argument followed by a zero byte.
    fn split_by_shell(line: &OsString) -> Vec<u8> {
        let mut script = OsString::from(r"printf '%s\0' ");
        script.push(line);
        let output = Command::new("sh").arg("-c").arg(script).run().unwrap();
        output.stdout
    }

    #[test]
    fn an_assignment_or_a_reserved_word_is_no_command_word() {
        for (arguments, line) in [
            (&["A=b", "c"][..], "'A=b' c"),
            (&["if"], "'if'"),
            (&["ls", "-l", "a b"], "'ls' -l 'a b'"),
            (&["echo", "it's", ""], r"'echo' 'it'\''s' ''"),
        ] {
            assert_eq!(remote_command(arguments), line);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_shell_gives_back_the_same_bytes(
            arguments in proptest::collection::vec(proptest::collection::vec(1u8..=255, 0..24), 1..6)
        ) {
            let words: Vec<OsString> = arguments.iter().cloned().map(OsString::from_vec).collect();
            let expected: Vec<u8> = arguments.iter().flat_map(|a| a.iter().copied().chain([0])).collect();
            prop_assert_eq!(split_by_shell(&remote_command(&words)), expected);
        }
    }
}
