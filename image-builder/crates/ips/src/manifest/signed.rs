//! What a `signature` action signs: the other actions and itself, in a form of their own.

use super::{Action, ActionKind, Manifest};

/// The text that a `signature` action of `manifest` signs: a line for each action that is no signature and for the action
/// itself, sorted. It signs that it has a `value`, and not which.
///
/// The reference implementation writes that as an empty value; an implementation that leaves it out means the same,
/// so that both forms are answered.
#[must_use]
pub fn signed_texts(manifest: &Manifest, signature: &Action) -> [Vec<u8>; 2] {
    let others = manifest.actions.iter().filter(|action| action.kind() != ActionKind::Signature);
    let others: Vec<String> = others.map(|action| line(action, None)).collect();
    [Some(""), None].map(|value| {
        let mut lines = others.clone();
        lines.push(line(signature, Some(value)));
        lines.sort_unstable();
        lines.join("\n").into_bytes()
    })
}

/// An action as it is signed. `value` replaces the attribute of that name, if it is given.
fn line(action: &Action, value: Option<Option<&str>>) -> String {
    let mut text = action.kind().to_string();
    if let Some(hash) = action.hash() {
        text += &format!(" {hash}");
    }
    let mut attributes: Vec<(&str, &str)> =
        action.attributes().filter(|(name, _)| value.is_none() || *name != "value").collect();
    attributes.extend(value.flatten().map(|value| ("value", value)));
    attributes.sort_unstable();
    for (name, value) in attributes {
        text += &format!(" {name}={}", quoted(value));
    }
    text
}

/// Quotes are only put around what has blanks or quotes, or nothing.
fn quoted(value: &str) -> String {
    if !value.is_empty() && !value.contains([' ', '\'', '"']) {
        value.to_owned()
    } else if !value.contains('"') {
        format!("\"{value}\"")
    } else if !value.contains('\'') {
        format!("'{value}'")
    } else {
        format!("\"{}\"", value.replace('"', "\\\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_sorted_and_so_are_attributes_and_values() {
        let manifest: Manifest = "signature aa algorithm=rsa-sha256 value=ff version=0\n\
            signature bb algorithm=sha256 value=ee\n\
            set name=pkg.summary value=\"a 'b' \\\"c\\\"\"\n\
            dir path=b owner=root group=sys mode=0755\n\
            depend fmri=z fmri=a type=require-any\n\
            set name=empty value=\"\""
            .parse()
            .unwrap();
        let [text, without] =
            signed_texts(&manifest, &manifest.actions[0]).map(|text| String::from_utf8(text).unwrap());
        assert_eq!(
            text,
            "depend fmri=a fmri=z type=require-any\n\
            dir group=sys mode=0755 owner=root path=b\n\
            set name=empty value=\"\"\n\
            set name=pkg.summary value=\"a 'b' \\\"c\\\"\"\n\
            signature aa algorithm=rsa-sha256 value=\"\" version=0"
        );
        assert_eq!(without, text.replace(" value=\"\" version=0", " version=0"));
    }
}
