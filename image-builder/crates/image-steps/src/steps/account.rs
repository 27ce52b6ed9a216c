//! Passwords.

use super::StepError;
use super::error::{store, tree};
use super::files::tree_content;
use crate::context::Context;
use crate::state::{ImageState, written};
use image_tree::{Follow, ImagePath, Node};
use template::Shadow;

const SHADOW: &str = "/etc/shadow";

/// Sets the hash field of one user; shadow(4) and shadow(5): nine fields, separated by colons.
pub(super) fn shadow(step: &Shadow, state: &mut ImageState, context: &Context<'_>) -> Result<(), StepError> {
    let Some(password) = &step.password else { return Ok(()) };
    let refused = |reason: String| StepError::Shadow { username: step.username.clone(), reason };
    let content = tree_content(&state.root, SHADOW)?;
    let bytes = context.store.read_blob(content.blob()).map_err(store("read", SHADOW))?;
    let text = String::from_utf8(bytes).map_err(|_| refused(format!("{SHADOW} is not text")))?;
    let changed = set_hash(&text, &step.username, password).map_err(refused)?;
    if changed == text {
        return Ok(());
    }
    let content = context.store.put_bytes(changed.as_bytes()).map_err(store("store", SHADOW))?;
    let at = ImagePath::new(SHADOW).expect("a constant path");
    let (at, old) = state.root.lookup(&at, Follow::Yes).map_err(tree("write", SHADOW))?;
    // The group that the system's packages give the file keeps its access: `sys` on illumos, `shadow` on Debian.
    // Nobody else gets any; the hashes are for no other eyes.
    let (gid, mode) = if old.metadata.gid == 0 { (0, 0o400) } else { (old.metadata.gid, old.metadata.mode & 0o640) };
    let node = Node::regular(content, written(0, gid, mode));
    state.root.insert(&at, node).map(drop).map_err(tree("write", SHADOW))
}

fn set_hash(text: &str, username: &str, hash: &str) -> Result<String, String> {
    let mut found = 0;
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut fields: Vec<&str> = line.split(':').collect();
        if fields.len() != 9 {
            return Err(format!("line {} of {SHADOW} has {} fields instead of 9", number + 1, fields.len()));
        }
        if fields[0] == username {
            found += 1;
            fields[1] = hash;
        }
        lines.push(fields.join(":"));
    }
    match found {
        1 => Ok(lines.join("\n") + "\n"),
        0 => Err(format!("{SHADOW} has no such user")),
        many => Err(format!("{SHADOW} has {many} lines for this user")),
    }
}

#[cfg(test)]
mod tests {
    use super::set_hash;

    const TEXT: &str = "root:*:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\n";

    #[test]
    fn only_the_hash_changes() {
        let expected = "root:$6$x:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\n";
        assert_eq!(set_hash(TEXT, "root", "$6$x").as_deref(), Ok(expected));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, user, expected) in [
            (TEXT, "nobody", "has no such user"),
            ("root:x\n", "root", "line 1 of /etc/shadow has 2 fields"),
            ("a:::::::: \na::::::::\n", "a", "2 lines for this user"),
        ] {
            let error = set_hash(text, user, "").expect_err("it is wrong");
            assert!(error.contains(expected), "{error}");
        }
    }
}
