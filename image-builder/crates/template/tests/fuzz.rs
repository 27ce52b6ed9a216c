//! Damaged templates: they are loaded or refused with places that lie within them.

use template::{MemoryFiles, Request, load};

const MAIN: &str = r#"{
    // a comment
    "pool": { "name": "rpool", "ashift": 12, "uefi": true, "size": 8192, "bename": "be", "autoexpand": true },
    "steps": [
        { "t": "create_be" },
        { "t": "ensure_dir", "dir": "/etc/${feature}", "owner": "root", "group": "sys", "mode": "755", "with": "feature" },
        { "t": "ensure_file", "file": "/etc/f", "contents": "a\n\u00e4\"", "owner": "root", "group": "sys", "mode": "644" },
        { "t": "include", "name": "part", "without": "other" },
        { "t": "ensure_symlink", "link": "/l", "target": "../x", "owner": "0", "group": "0" },
        { "t": "make_bootable" }
    ]
}"#;
const PART: &str =
    r#"{ "steps": [ { "t": "remove_files", "pattern": "*.log" }, { "t": "include", "name": "part" } ] }"#;

#[test]
fn fuzz_templates() {
    test_judge::fuzz(2000, |random| {
        let (mut main, mut part) = (MAIN.as_bytes().to_vec(), PART.as_bytes().to_vec());
        if random.below(4) == 0 {
            random.damage(&mut part);
        } else {
            random.damage(&mut main);
        }
        let features = template::Features::from_directives(["feature=value"]).expect("a directive");
        let request =
            Request { roots: vec!["t".into()], group: "g".into(), name: "main".into(), features, ..Request::default() };
        let files = MemoryFiles::new().file("t/g/main.json", main).file("t/include/part.json", part);
        if let Err(diagnostics) = load(&request, &files) {
            // Drawing the places finds every offset that lies outside of its text.
            let mut drawn = String::new();
            let drawer = miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::none());
            drawer.render_report(&mut drawn, &diagnostics).expect("it can be drawn");
            assert!(!diagnostics.list().is_empty());
        }
    });
}
