//! Hard links, and links that a mediator chooses.

use super::FILE;
use crate::image::Image;
use image_tree::ImagePath;
use ips::mediator::{Choice, Implementation, Mediation, Source};

#[test]
fn hard_links_that_somebody_changed_are_left_alone() {
    let links =
        format!("file @x@ {FILE}x\nhardlink path=a target=x\nhardlink path=b target=a\nhardlink path=c target=x");
    let other = format!("file @o@ {FILE}o");
    let mut image = Image::with_accounts();
    image.change(&[("p/1", &links)]).unwrap();
    image.tree.remove(&ImagePath::new("/a").unwrap()).unwrap();
    image.put("c", "mine");
    image.change(&[("p/1", &links), ("q", &other)]).unwrap();
    assert!(image.tree.get(&ImagePath::new("/a").unwrap()).is_none());
    assert_eq!(image.text("c"), "mine");
    // Without the target, too, there is nothing to be done.
    image.tree.remove(&ImagePath::new("/x").unwrap()).unwrap();
    image.change(&[("p/2", &links)]).unwrap();
    assert_eq!(image.text("b"), "x");
    // Links to a file that is replaced, and links to those, are made again; a new one is, whatever it leads to.
    let more = links.replace("@x@", "@y@") + "\nhardlink path=new target=b";
    image.change(&[("p/3", &more)]).unwrap();
    for path in ["x", "a", "b", "c", "new"] {
        assert_eq!(image.text(path), "y", "{path}");
        assert_eq!(image.tree.links(&ImagePath::from_relative(path).unwrap()).unwrap().paths().count(), 5);
    }
}

#[test]
fn mediated_links_follow_the_choice() {
    let python = |version: &str| {
        format!(
            "link mediator=python mediator-version={version} path=usr/bin/python target=python{version}\n\
             hardlink mediator=python mediator-version={version} path=usr/bin/py target=python{version}\n\
             file @{version}@ {FILE}usr/bin/python{version}"
        )
    };
    let mut image = Image::with_accounts();
    image.change(&[("a", &python("3.4")), ("b", &python("3.10"))]).unwrap();
    assert_eq!(image.list("usr/bin/python"), "0777 0:0 usr/bin/python -> python3.10\n");
    assert_eq!(image.text("usr/bin/py"), "3.10");
    let choice = Choice {
        mediation: Mediation { version: Some("3.4".parse().unwrap()), implementation: None::<Implementation> },
        version_source: Source::Local,
        implementation_source: Source::System,
        is_version_open: false,
    };
    image.mediators.insert("python".to_owned(), choice);
    image.change(&[("a", &python("3.4")), ("b", &python("3.10"))]).unwrap();
    assert_eq!(image.list("usr/bin/python"), "0777 0:0 usr/bin/python -> python3.4\n");
    assert_eq!(image.text("usr/bin/py"), "3.4");
    image.change(&[("b", &python("3.10"))]).unwrap();
    assert!(image.tree.get(&ImagePath::new("/usr/bin/python").unwrap()).is_none());
}

/// Where both mean the same, it does not matter who leaves it to the mediator.
#[test]
fn a_mediated_link_and_a_plain_one_may_lead_to_the_same() {
    let mediated = |version: &str| format!("link path=l target=x mediator=m mediator-version={version}");
    let mut image = Image::with_accounts();
    image.change(&[("a", &mediated("1")), ("b", "link path=l target=x")]).unwrap();
    assert_eq!(image.list("l"), "0777 0:0 l -> x\n");
    let newer = "link path=other target=y mediator=m mediator-version=2";
    image.change(&[("a", &mediated("1")), ("b", "link path=l target=x"), ("c", newer)]).unwrap();
    assert_eq!(image.list("l") + &image.list("other"), "0777 0:0 l -> x\n0777 0:0 other -> y\n");
}
