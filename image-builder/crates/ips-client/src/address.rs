//! Where a repository is, as templates, images and users write it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use ips::text::unquote_component;

use crate::repository::RepositoryError;

/// The address of a repository.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// A directory or archive of this machine.
    Local(PathBuf),
    /// A server, `http://` or `https://`, without a slash at the end.
    Depot(String),
}

impl Address {
    /// The address for messages: a user name and password in it are left out.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Local(path) => path.display().to_string(),
            Self::Depot(url) => without_credentials(url),
        }
    }
}

/// An address without user name and password.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl FromStr for Address {
    type Err = RepositoryError;

    /// Reads `http://…`, `https://…`, `file:///…` or a path.
    fn from_str(text: &str) -> Result<Self, RepositoryError> {
        let fail = |reason| RepositoryError::Address { text: without_credentials(text), reason };
        let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
            return if text.is_empty() { Err(fail("it is empty")) } else { Ok(local(text)) };
        };
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => {
                let host = rest.strip_prefix("//").unwrap_or_default();
                if host.is_empty() || host.starts_with('/') || host.contains(char::is_whitespace) {
                    return Err(fail("it names no server"));
                }
                Ok(Self::Depot(text.trim_end_matches('/').to_owned()))
            }
            "file" => {
                let path = match rest.strip_prefix("//") {
                    Some(after) => after.strip_prefix("localhost").unwrap_or(after),
                    None => rest,
                };
                let path = unquote_component(path).ok_or_else(|| fail("a `%` in it is not followed by two digits"))?;
                if !path.starts_with('/') {
                    return Err(fail("a file address has an absolute path: file:///path"));
                }
                Ok(local(&path))
            }
            _ => Err(fail("only http, https and file are known")),
        }
    }
}

/// Images keep the address of an archive with a slash at its end, too.
fn local(path: &str) -> Address {
    let trimmed = path.trim_end_matches('/');
    Address::Local(PathBuf::from(if trimmed.is_empty() { "/" } else { trimmed }))
}

/// RFC 3986, section 3.1. A single letter is no scheme that anybody uses.
fn is_scheme(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    text.len() > 1 && text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_all_kinds() {
        let local = |path: &str| Address::Local(PathBuf::from(path));
        for (text, expected) in [
            ("https://pkg.example/hipster/", Address::Depot("https://pkg.example/hipster".to_owned())),
            ("HTTP://pkg.example", Address::Depot("HTTP://pkg.example".to_owned())),
            ("file:///a%20b/c", local("/a b/c")),
            ("file://localhost/a", local("/a")),
            ("file:/a", local("/a")),
            ("/a/b", local("/a/b")),
            ("/a/b.p5p/", local("/a/b.p5p")),
            ("/", local("/")),
            ("./a:b", local("./a:b")),
            ("a.p5p", local("a.p5p")),
        ] {
            assert_eq!(text.parse::<Address>().unwrap(), expected, "{text}");
        }
        for (text, reason) in [
            ("", "empty"),
            ("http://", "no server"),
            ("https:///x", "no server"),
            ("ftp://x", "only http"),
            ("file://host/a", "absolute"),
            ("file:///%zz", "two digits"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let address: Address = "https://me:secret@pkg.example/x@y/".parse().unwrap();
        assert_eq!(address.shown(), "https://pkg.example/x@y");
        assert!(!format!("{address:?}").contains("secret"));
        let error = "ftp://me:secret@x/".parse::<Address>().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}
