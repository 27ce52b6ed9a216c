//! Names of users, for messages and for looking up their rights.

use std::fs;

/// The name that `/etc/passwd` has for a user id, else the number.
pub(crate) fn name_of(uid: u32) -> String {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_in(&passwd, uid).unwrap_or_else(|| uid.to_string())
}

/// passwd(5): `NAME:PASSWORD:UID:…`
fn name_in(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::name_in;

    #[test]
    fn the_third_field_is_the_id() {
        let passwd = "root:x:0:0::/root:/bin/sh\n# 7\nbroken:x\nann:1000:1001:1000::/home/ann:/bin/sh\n";
        for (uid, expected) in [(0, Some("root")), (1001, Some("ann")), (1000, None)] {
            assert_eq!(name_in(passwd, uid).as_deref(), expected);
        }
    }
}
