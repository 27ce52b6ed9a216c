//! Paths: what is accepted, what is refused, and their order.

use image_tree::{ImagePath, PathError};
use proptest::prelude::*;

#[test]
fn absolute_paths_are_normalised() {
    let cases = [("/", "/"), ("//", "/"), ("/./", "/"), ("/a", "/a"), ("//a/./b//", "/a/b"), ("/.a/..b", "/.a/..b")];
    for (text, wanted) in cases {
        assert_eq!(ImagePath::new(text).unwrap().as_bytes(), wanted.as_bytes());
    }
    assert_eq!(ImagePath::from_relative("./a/b").unwrap(), ImagePath::new("/a/b").unwrap());
    assert_eq!(ImagePath::from_relative("").unwrap(), ImagePath::root());
}

#[test]
fn impossible_paths_are_named() {
    let long_name = format!("/{}", "n".repeat(256));
    let long = "/n".repeat(1025);
    let cases: [(&str, &str); 9] = [
        ("", "path `` is not absolute: it has to begin with `/`"),
        ("a/b", "path `a/b` is not absolute: it has to begin with `/`"),
        ("/a/../b", "path `/a/../b` contains `..`"),
        ("/..", "path `/..` contains `..`"),
        ("/a\0b", "path `/a\\u{0}b` contains a NUL byte"),
        ("/a\nb/..", "path `/a\\nb/..` contains `..`"),
        (&long_name, "has a component of more than 255 bytes"),
        (&long, "has more than 4095 bytes or 1024 components"),
        (&format!("/{}", format!("{}/", "n".repeat(200)).repeat(21)), "has more than 4095 bytes"),
    ];
    for (text, message) in cases {
        let error = ImagePath::new(text).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    let error = ImagePath::new(b"/\xff\xc3\xa4/..").unwrap_err();
    assert_eq!(error, PathError::ParentComponent { text: "/\\xffä/..".to_owned() });
    for name in ["", ".", "..", "a/b", "/"] {
        assert!(matches!(ImagePath::root().join(name), Err(PathError::NotAName { .. })), "{name}");
    }
}

#[test]
fn parts_of_paths() {
    let path = ImagePath::new("/usr/lib/x").unwrap();
    assert_eq!(path.parent(), Some(ImagePath::new("/usr/lib").unwrap()));
    assert_eq!(ImagePath::new("/usr").unwrap().parent(), Some(ImagePath::root()));
    assert_eq!(ImagePath::root().parent(), None);
    assert_eq!((path.file_name(), ImagePath::root().file_name()), (Some(&b"x"[..]), None));
    assert_eq!((path.depth(), ImagePath::root().depth()), (3, 0));
    assert_eq!(path.relative_bytes(), b"usr/lib/x");
    let cases = [
        ("/", Some("/usr/lib/x")),
        ("/usr", Some("/lib/x")),
        ("/usr/lib/x", Some("/")),
        ("/us", None),
        ("/usr/lib/x/y", None),
    ];
    for (directory, wanted) in cases {
        let directory = ImagePath::new(directory).unwrap();
        let rest = path.strip_prefix(&directory);
        assert_eq!(rest, wanted.map(|wanted| ImagePath::new(wanted).unwrap()));
        assert_eq!(path.starts_with(&directory), wanted.is_some());
        if let Some(rest) = rest {
            assert_eq!(directory.join_path(&rest).unwrap(), path);
        }
    }
}

proptest! {
    /// The order is that of a walk: component by component, whatever sorts below the slash.
    #[test]
    fn order_is_that_of_components(a in "(/[-!a]{1,3}){0,4}", b in "(/[-!a]{1,3}){0,4}") {
        let [a, b] = [a, b].map(|text| ImagePath::from_relative(text).unwrap());
        let components = |path: &ImagePath| path.components().map(<[u8]>::to_vec).collect::<Vec<_>>();
        prop_assert_eq!(a.cmp(&b), components(&a).cmp(&components(&b)));
    }

    #[test]
    fn any_bytes_are_a_path_or_an_error(text in prop::collection::vec(prop::sample::select(b"/.a\0\xff".to_vec()), 0..12)) {
        if let Ok(path) = ImagePath::new(&text) {
            prop_assert!(path.components().all(|name| !matches!(name, b"" | b"." | b"..")));
            prop_assert_eq!(ImagePath::new(path.as_bytes()), Ok(path));
        }
    }
}
