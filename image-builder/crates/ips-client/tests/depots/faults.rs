//! Depots in trouble: what passes is overcome, what stays stops the installation, and nothing wrong is kept.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ips_client::all_reasons;
use ips_testing::{Depot, Fault, noise};

use crate::scene::{PAGE, Scene, files};

/// How long clients wait for a server that is to stall.
const STALL: Duration = Duration::from_millis(1500);

#[test]
fn faults_that_pass_are_overcome() {
    let large = |path: &str| path.contains("/file/1/");
    type Mischief = Box<dyn Fn(&str, usize) -> Option<Fault> + Send + Sync>;
    let cases: Vec<(&str, Mischief)> = vec![
        ("503 at first, everywhere", Box::new(|_, count| (count == 0).then_some(Fault::Status(503)))),
        ("connections end", Box::new(|_, count| (count == 0).then_some(Fault::Close))),
        (
            "files break off",
            Box::new(move |path, count| (count == 0 && large(path)).then_some(Fault::Truncate(70_000))),
        ),
        (
            "files come in pieces, again and again",
            Box::new(move |path, count| (count < 20 && large(path)).then_some(Fault::Truncate(150_000))),
        ),
        ("a file stalls", Box::new(move |path, count| (count == 0 && large(path)).then_some(Fault::Stall(5)))),
        (
            "the catalog changes meanwhile",
            Box::new(|path, count| {
                let is_part = path.ends_with("catalog.base.C");
                (count == 0 && is_part).then_some(Fault::Wrong(b"{}\n".to_vec()))
            }),
        ),
        (
            "a file comes damaged once",
            Box::new(move |path, count| (count == 0 && large(path)).then_some(Fault::Wrong(b"noise".to_vec()))),
        ),
        (
            "a manifest comes damaged once",
            Box::new(|path, count| {
                (count == 0 && path.contains("manifest/0/")).then_some(Fault::Wrong(b"set name=a value=b\n".to_vec()))
            }),
        ),
        ("texts are mangled on their way", Box::new(|_, count| (count < 2).then_some(Fault::Mangle))),
        (
            "answers end that did not tell their length",
            Box::new(|_, count| (count < 1).then_some(Fault::EndUntold(11))),
        ),
    ];
    let first = Scene::new();
    let expected = files(&first.expected());
    for (what, mischief) in cases {
        let mut scene = first.anew();
        if what.contains("stalls") {
            scene.stall = STALL;
        }
        let depot = Depot::serve_with(&scene.repository(), mischief);
        let tree = scene.install(&[&depot.uri()], &[]);
        let tree = tree.unwrap_or_else(|error| panic!("{what}: {}", all_reasons(&error)));
        assert_eq!(files(&tree), expected, "{what}");
    }
}

#[test]
fn connections_that_end_between_requests_cost_no_attempt() {
    let scene = Scene::new();
    let depot = Depot::serve_with(&scene.repository(), |_, _| Some(Fault::Last));
    let tree = scene.install_with(&scene.client_of(1), &[&depot.uri()], &[]).unwrap();
    assert_eq!(files(&tree), files(&scene.expected()));
}

#[test]
fn what_broke_off_is_gone_on_with() {
    let scene = Scene::new();
    let depot = Depot::serve_with(&scene.repository(), move |path, count| {
        let is_large = path.contains("/file/1/") && count < 3;
        is_large.then_some(Fault::Truncate(1 << 20))
    });
    scene.install(&[&depot.uri()], &[]).unwrap();
    // Twenty-three small files and the large one, which came in four pieces at most: it never began anew.
    let large = depot.requests().into_iter().fold(std::collections::BTreeMap::new(), |mut counts, path| {
        *counts.entry(path).or_insert(0) += 1;
        counts
    });
    assert_eq!(large.values().max(), Some(&4), "{large:?}");
    // What came twice does not count twice, and the last line tells all of it.
    let heard = scene.heard.0.lock().unwrap();
    let lines: Vec<&str> = heard.iter().filter_map(|line| line.strip_prefix("fetching files: ")).collect();
    let bytes = |text: &str| {
        let (number, unit) = text.split_once(' ').unwrap();
        number.parse::<u64>().unwrap() * if unit == "KiB" { 1 << 10 } else { 1 }
    };
    let part = |line: &str| line.split(", ").nth(1).unwrap().split(" of ").map(bytes).collect::<Vec<_>>();
    assert!(lines.iter().all(|line| part(line)[0] <= part(line)[1]), "{lines:?}");
    assert!(
        lines.last().is_some_and(|line| line.starts_with("24 of 24, ") && part(line)[0] == part(line)[1]),
        "{lines:?}"
    );
}

#[test]
fn faults_that_stay_stop_it_and_nothing_wrong_is_kept() {
    let is_file = |path: &str| path.contains("/file/1/");
    type Mischief = Box<dyn Fn(&str, usize) -> Option<Fault> + Send + Sync>;
    let cases: Vec<(Mischief, &str)> = vec![
        (Box::new(move |path, _| is_file(path).then_some(Fault::Status(500))), "the server answered 500"),
        (Box::new(move |path, _| is_file(path).then_some(Fault::Status(403))), "access is denied"),
        (Box::new(move |path, _| is_file(path).then_some(Fault::Status(404))), "there is no such file"),
        (Box::new(move |path, _| is_file(path).then_some(Fault::Truncate(3))), "broke off after"),
        (Box::new(move |path, _| is_file(path).then_some(Fault::Stall(3))), "timeout"),
        (Box::new(move |path, _| is_file(path).then_some(Fault::Wrong(vec![7; 20]))), "it has the hash"),
        (Box::new(move |path, _| is_file(path).then_some(Fault::Wrong(noise(8 << 20, 3)))), "longer than"),
        (
            Box::new(|path, _| path.contains("manifest").then_some(Fault::Wrong(b"set name=a value=b\n".to_vec()))),
            "its hash differs",
        ),
        (Box::new(|path, _| path.ends_with(".base.C").then_some(Fault::Wrong(b"{}\n".to_vec()))), "its signature is"),
        (
            Box::new(|path, _| path.ends_with("attrs").then_some(Fault::Wrong(b"nonsense".to_vec()))),
            "the text is not a catalog",
        ),
        (Box::new(|_, _| Some(Fault::Close)), "there was no answer"),
        (Box::new(|_, _| Some(Fault::Wrong(PAGE.to_vec()))), "versions/0 cannot be fetched from http://127.0.0.1"),
        (Box::new(|path, _| path.contains("attrs").then_some(Fault::Wrong(PAGE.to_vec()))), "what came is a web page"),
        (Box::new(|path, _| path.contains("base").then_some(Fault::Wrong(PAGE.to_vec()))), "what came is a web page"),
        (
            Box::new(|path, _| path.contains("manifest").then_some(Fault::Wrong(PAGE.to_vec()))),
            "what came is a web page",
        ),
        (Box::new(move |path, _| is_file(path).then_some(Fault::Wrong(PAGE.to_vec()))), "what came is a web page"),
        (Box::new(|_, _| Some(Fault::Redirect("/versions/0".to_owned()))), "it leads in a circle, or too far"),
        (
            Box::new(move |path, _| is_file(path).then(|| Fault::Redirect("file:///etc/passwd".to_owned()))),
            "too many redirects",
        ),
        (
            Box::new(move |path, _| is_file(path).then_some(Fault::Redirect("ftp://x/y".to_owned()))),
            "unknown scheme: ftp",
        ),
        (Box::new(|path, _| path.contains("catalog").then_some(Fault::Mangle)), "broke off after"),
        (Box::new(move |path, _| is_file(path).then_some(Fault::EndUntold(3))), "it has the hash"),
        (Box::new(|path, _| path.contains("manifest").then_some(Fault::EndUntold(5))), "broke off after"),
    ];
    let first = Scene::new();
    let good = files(&first.expected());
    for (mischief, expected) in cases {
        let mut scene = first.anew();
        if expected == "timeout" {
            scene.stall = STALL;
        }
        let depot = Depot::serve_with(&scene.repository(), mischief);
        let error = scene.install(&[&depot.uri()], &[]).unwrap_err();
        let text = all_reasons(&error);
        assert!(text.contains(expected), "{expected}: {text}");
        assert!(scene.store.records("ips-payload").unwrap().is_empty(), "{expected}");
        // Whoever is honest afterwards is believed.
        drop(depot);
        let honest = Depot::serve(&scene.repository());
        assert_eq!(files(&scene.install(&[&honest.uri()], &[]).unwrap()), good, "{expected}");
    }
}

/// The name of the largest payload.
fn largest(repository: &Path) -> String {
    let shards = std::fs::read_dir(repository.join("publisher/p/file")).unwrap().flatten();
    let files = shards.flat_map(|shard| std::fs::read_dir(shard.path()).unwrap().flatten());
    let largest = files.max_by_key(|file| file.metadata().unwrap().len()).unwrap();
    largest.file_name().into_string().unwrap()
}

#[test]
fn what_was_fetched_before_a_failure_is_not_fetched_again() {
    let scene = Scene::new();
    let large = largest(&scene.repository());
    let others = AtomicUsize::new(0);
    let depot = Depot::serve_with(&scene.repository(), move |path, _| {
        if path.contains("/file/1/") && !path.ends_with(&large) {
            others.fetch_add(1, Ordering::SeqCst);
        }
        while path.ends_with(&large) && others.load(Ordering::SeqCst) < 5 {
            std::thread::sleep(Duration::from_millis(1));
        }
        path.ends_with(&large).then_some(Fault::Truncate(30_000))
    });
    scene.install(&[&depot.uri()], &[]).unwrap_err();
    let kept = scene.store.records("ips-payload").unwrap().len();
    assert!(kept > 0);
    drop(depot);
    let depot = Depot::serve(&scene.repository());
    scene.install(&[&depot.uri()], &[]).unwrap();
    let fetched = depot.requests();
    assert_eq!(fetched.iter().filter(|path| path.contains("/file/1/")).count(), 24 - kept, "{fetched:?}");
    assert!(!fetched.iter().any(|path| path.contains("manifest/")), "{fetched:?}");
}

#[test]
fn a_mirror_in_any_trouble_is_made_up_for_by_the_origin() {
    let first = Scene::new();
    let expected = files(&first.expected());
    for fault in [
        Fault::Status(500),
        Fault::Status(404),
        Fault::Status(403),
        Fault::Truncate(3),
        Fault::Stall(3),
        Fault::Close,
        Fault::Wrong(vec![7; 20]),
        Fault::Wrong(noise(8 << 20, 3)),
        Fault::Wrong(PAGE.to_vec()),
        Fault::EndUntold(3),
        Fault::Redirect("file:///etc/passwd".to_owned()),
    ] {
        let mut scene = first.anew();
        if let Fault::Stall(_) = fault {
            scene.stall = STALL;
        }
        let origin = Depot::serve(&scene.repository());
        let told = format!("{fault:?}").chars().take(20).collect::<String>();
        let mirror =
            Depot::serve_with(&scene.repository(), move |path, _| path.contains("/file/1/").then(|| fault.clone()));
        let tree = scene.install(&[&origin.uri()], &[&mirror.uri()]);
        let tree = tree.unwrap_or_else(|error| panic!("{told}: {}", all_reasons(&error)));
        assert_eq!(files(&tree), expected, "{told}");
        assert!(mirror.requests().iter().any(|path| path.contains("/file/1/")), "{told}: the mirror was not asked");
    }
}
