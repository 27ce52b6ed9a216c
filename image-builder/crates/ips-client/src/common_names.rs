//! Whose certificate it is: the names in its subject, which `webpki` hands out as bytes.

/// 2.5.4.3, the name in a subject.
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
/// Tags of DER.
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// The common names in the subject of a certificate (X.501), in DER: a list of sets of attributes, each a type and a text.
pub(crate) fn common_names(subject: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    for (_, set) in Elements(subject).filter(|(tag, _)| *tag == SET) {
        for (_, attribute) in Elements(set).filter(|(tag, _)| *tag == SEQUENCE) {
            let mut parts = Elements(attribute);
            if let (Some((OBJECT_IDENTIFIER, COMMON_NAME)), Some((_, text))) = (parts.next(), parts.next()) {
                names.extend(String::from_utf8(text.to_vec()).ok());
            }
        }
    }
    names
}

/// The elements of a structure in DER, with their tags, as long as they are well formed.
struct Elements<'d>(&'d [u8]);

impl<'d> Iterator for Elements<'d> {
    type Item = (u8, &'d [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (tag, length, rest) = match *std::mem::take(&mut self.0) {
            [tag, 0x81, length, ref rest @ ..] => (tag, usize::from(length), rest),
            [tag, 0x82, high, low, ref rest @ ..] => (tag, usize::from(high) << 8 | usize::from(low), rest),
            [tag, length @ ..=0x7f, ref rest @ ..] => (tag, usize::from(length), rest),
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        let head = if length < 0x80 { vec![tag, length] } else { vec![tag, 0x81, length] };
        [&head, content].concat()
    }

    fn attribute(kind: &[u8], text: &[u8]) -> Vec<u8> {
        element(SEQUENCE, &[element(OBJECT_IDENTIFIER, kind), element(0x0c, text)].concat())
    }

    #[test]
    fn common_names_are_attributes_and_no_bytes_inside_of_others() {
        const ORGANIZATION: &[u8] = &[0x55, 4, 10];
        let long = "x".repeat(100);
        let disguised = attribute(COMMON_NAME, b"signer");
        let subject = [
            element(SET, &attribute(ORGANIZATION, &disguised)),
            element(SET, &[attribute(COMMON_NAME, b"a"), attribute(ORGANIZATION, b"b")].concat()),
            element(SET, &attribute(COMMON_NAME, long.as_bytes())),
        ]
        .concat();
        assert_eq!(common_names(&subject), ["a".to_owned(), long]);
        // Damage is the end of it.
        for length in 0..subject.len() {
            assert!(common_names(&subject[..length]).len() <= 2, "{length}");
        }
        for damaged in [&b"\x31\x80"[..], b"\x31\x84\xff\xff\xff\xff", b"\x31\x82\xff\xff\x00", b"\x31"] {
            assert!(common_names(damaged).is_empty());
        }
    }
}
