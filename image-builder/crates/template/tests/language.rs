//! Loading as a whole: what is found where, what wins, and what is refused.

use std::cell::Cell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use miette::{GraphicalReportHandler, GraphicalTheme};
use proptest::prelude::*;
use template::{
    Diagnostics, FileKind, FileSource, Guard, HostFiles, MemoryFiles, RemoveWhat, Request, Step, Template,
    TemplateSource, load,
};

const HEAD: &str = r#""dataset": { "name": "work" }"#;

fn main_with(steps: &str) -> String {
    format!("{{ {HEAD}, \"steps\": [ {steps} ] }}")
}

fn included(steps: &str) -> String {
    format!("{{ \"steps\": [ {steps} ] }}")
}

fn dir(path: &str) -> String {
    format!(r#"{{ "t": "ensure_dir", "dir": "{path}", "owner": "root", "group": "sys", "mode": "0755" }}"#)
}

fn file(source: &str) -> String {
    format!(r#"{{ "t": "ensure_file", "file": "/f", "owner": "root", "group": "sys", "mode": "0644", {source} }}"#)
}

fn include(name: &str) -> String {
    format!(r#"{{ "t": "include", "name": "{name}" }}"#)
}

fn request() -> Request {
    Request { roots: vec!["t".into()], group: "g".into(), name: "main".into(), ..Request::default() }
}

fn with_features(directives: &[&str]) -> Request {
    let features = template::Features::from_directives(directives).expect("good directives");
    Request { features, ..request() }
}

fn directories(template: &Template) -> Vec<String> {
    let directory = |located: &template::LocatedStep| match &located.step {
        Step::EnsureDir(step) => step.dir.clone(),
        other => panic!("{other:?}"),
    };
    template.steps.iter().map(directory).collect()
}

fn source_of(template: &Template) -> &FileSource {
    match &template.steps[0].step {
        Step::EnsureFile(step) => &step.source,
        other => panic!("{other:?}"),
    }
}

fn codes(error: &Diagnostics) -> Vec<&'static str> {
    error.list().iter().map(template::Diagnostic::code).collect()
}

fn rendered(error: &Diagnostics) -> String {
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(100);
    let mut text = String::new();
    handler.render_report(&mut text, error).expect("writing to a string");
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[test]
fn includes_of_the_group_win_over_global_ones() {
    let files = MemoryFiles::new()
        .file("t/g/main.json", main_with(&format!("{}, {}", include("both"), include("global"))))
        .file("t/g/include/both.json", included(&dir("/group")))
        .file("t/include/both.json", included(&dir("/wrong")))
        .file("t/include/global.json", included(&dir("/global")));
    let template = load(&request(), &files).expect("loads");
    assert_eq!(directories(&template), ["/group", "/global"]);
    let read = ["t/g/main.json", "t/g/include/both.json", "t/include/global.json"].map(PathBuf::from);
    assert_eq!(template.files_read, read);
}

#[test]
fn nested_includes_are_found_from_the_main_templates_group() {
    let outside = "/elsewhere/outer.json";
    let step = format!(r#"{{ "t": "include", "name": "outer", "file": "${{where}}/outer.json" }}, {}"#, include("a"));
    let files = MemoryFiles::new()
        .file("t/g/main.json", main_with(&step))
        .file(outside, included(&include("inner")))
        .file("/elsewhere/inner.json", included(&dir("/wrong")))
        .file("t/include/a.json", included(&include("inner")))
        .file("t/g/include/inner.json", included(&dir("/group")));
    let template = load(&with_features(&["where=/elsewhere"]), &files).expect("loads");
    assert_eq!(directories(&template), ["/group", "/group"]);
    let chain: Vec<String> = template.steps[0].origin.chain().iter().map(ToString::to_string).collect();
    assert_eq!(template.steps[0].origin.to_string(), "t/g/include/inner.json:1:14");
    assert_eq!(chain, ["/elsewhere/outer.json:1:40", "t/g/main.json:1:88"]);
}

#[test]
fn the_first_root_that_has_a_file_wins() {
    let both = Request { roots: vec!["one".into(), "two".into()], ..request() };
    let steps = format!("{}, {}, {}", include("x"), file(r#""src": "a""#), file(r#""src": "b""#));
    let files = MemoryFiles::new()
        .file("one/include/x.json", included(&dir("/one")))
        .file("two/g/include/x.json", included(&dir("/two")))
        .file("two/g/main.json", main_with(&steps))
        .file("one/files/a", "")
        .file("two/g/files/a", "")
        .file("two/g/files/b", "")
        .file("two/files/b", "");
    let template = load(&both, &files).expect("loads");
    assert_eq!(template.files_read, ["two/g/main.json", "one/include/x.json"].map(PathBuf::from));
    let paths: Vec<&Path> = template.steps[1..]
        .iter()
        .map(|located| match &located.step {
            Step::EnsureFile(template::EnsureFile { source: FileSource::Template { path, .. }, .. }) => path.as_path(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(paths, [Path::new("one/files/a"), Path::new("two/g/files/b")]);
}

#[test]
fn external_directories_are_searched_in_order_for_regular_files() {
    let request = Request { external: vec!["e1".into(), "e2".into(), "e3".into()], ..request() };
    let files = MemoryFiles::new()
        .file("t/g/main.json", main_with(&file(r#""extsrc": "bin/${name}""#)))
        .entry("e1/bin/sysconfig", FileKind::Symlink)
        .file("e2/bin/sysconfig", "")
        .file("e3/bin/sysconfig", "");
    let features = template::Features::from_directives(["name=sysconfig"]).expect("a good directive");
    let template = load(&Request { features, ..request }, &files).expect("loads");
    let expected = FileSource::External { given: "bin/sysconfig".into(), path: "e2/bin/sysconfig".into() };
    assert_eq!(source_of(&template), &expected);
}

#[test]
fn a_link_among_the_source_files_is_an_error_and_not_passed_over() {
    let files = MemoryFiles::new()
        .file("t/g/main.json", main_with(&file(r#""src": "a""#)))
        .entry("t/g/files/a", FileKind::Symlink)
        .file("t/files/a", "");
    let error = load(&request(), &files).expect_err("a link");
    assert_eq!(codes(&error), ["template::not-a-regular-file"]);
    assert!(error.list()[0].message().contains("t/g/files/a` is a symbolic link"), "{error:?}");
}

#[test]
fn certificates_are_found_as_source_files_are() {
    let approve = |name: &str| format!(r#"{{ "t": "pkg_approve_ca_cert", "publisher": "p", "certfile": "{name}" }}"#);
    let load_with = |name: &str| {
        let files = MemoryFiles::new()
            .file("t/g/main.json", main_with(&approve(name)))
            .file("t/g/files/both.pem", "")
            .file("t/files/both.pem", "")
            .file("t/files/global.pem", "");
        load(&request(), &files)
    };
    for (name, path) in [("both.pem", "t/g/files/both.pem"), ("global.pem", "t/files/global.pem")] {
        match &load_with(name).expect("loads").steps[0].step {
            Step::PkgApproveCaCert(step) => assert_eq!(step.path, PathBuf::from(path)),
            other => panic!("{other:?}"),
        }
    }
    let error = load_with("files/global.pem").expect_err("it is below `files/` in any case");
    assert_eq!(codes(&error), ["template::file-not-found"]);
    assert!(error.list()[0].help_text().is_some_and(|help| help.contains("write `global.pem`")), "{error:?}");
}

#[test]
fn a_linked_include_is_passed_over_with_a_warning() {
    let files = MemoryFiles::new()
        .file("t/g/main.json", main_with(&include("x")))
        .entry("t/g/include/x.json", FileKind::Symlink)
        .file("t/include/x.json", included(&dir("/global")));
    let template = load(&request(), &files).expect("loads");
    assert_eq!(directories(&template), ["/global"]);
    assert_eq!(template.warnings[0].code(), "template::passed-over");
}

/// On a real file system: the main template and `file` includes may be links, other includes may not.
#[test]
fn links_on_a_real_file_system() {
    let root = tempfile::tempdir().expect("a directory");
    let path = |name: &str| root.path().join(name);
    fs::create_dir_all(path("t/g/include")).expect("made");
    let file_step = format!(r#"{{ "t": "include", "name": "x", "file": "{}" }}"#, path("link.json").display());
    fs::write(path("real.json"), main_with(&file_step)).expect("written");
    fs::write(path("part.json"), included(&dir("/part"))).expect("written");
    std::os::unix::fs::symlink(path("real.json"), path("t/g/main.json")).expect("linked");
    std::os::unix::fs::symlink(path("part.json"), path("link.json")).expect("linked");
    let request = Request { roots: vec![path("t")], ..request() };
    assert_eq!(directories(&load(&request, &HostFiles).expect("loads")), ["/part"]);

    std::os::unix::fs::symlink(path("part.json"), path("t/g/include/x.json")).expect("linked");
    fs::write(path("real.json"), main_with(&include("x"))).expect("written");
    let error = load(&request, &HostFiles).expect_err("a linked include");
    assert_eq!(codes(&error), ["template::include-not-found"]);
    assert!(error.list()[0].help_text().is_some_and(|help| help.contains("x.json (a symbolic link)")));
}

#[test]
fn guards_decide_before_expansion_and_are_remembered() {
    let guarded = |guards: &str| format!(r#"{{ "t": "pkg_install", {guards}, "pkgs": ["${{undefined}}"] }}"#);
    let steps =
        [guarded(r#""with": "no""#), guarded(r#""without": "yes""#), guarded(r#""with": "yes", "without": "yes""#)];
    let files = MemoryFiles::new().file("t/g/main.json", main_with(&steps.join(", ")));
    let template = load(&with_features(&["yes"]), &files).expect("loads");
    assert!(template.steps.is_empty());
    let guards: Vec<&Guard> = template.skipped.iter().map(|step| &step.guard).collect();
    assert_eq!(guards, [&Guard::With("no".into()), &Guard::Without("yes".into()), &Guard::Without("yes".into())]);

    let error = load(&with_features(&["no"]), &files).expect_err("undefined features");
    assert_eq!(codes(&error), ["template::undefined-feature", "template::undefined-feature"]);
}

/// `-F 1=VALUE` was proposed, which is refused.
#[test]
fn nobody_is_told_to_define_a_feature_that_cannot_be() {
    for (name, help) in
        [("f", "define it with `-F f=VALUE`"), ("1", "no feature can be called so"), ("a-", "no feature")]
    {
        let install = format!(r#"{{ "t": "pkg_install", "pkgs": ["${{{name}}}"] }}"#);
        let files = MemoryFiles::new().file("t/g/main.json", main_with(&install));
        let error = load(&request(), &files).expect_err("an undefined feature");
        assert_eq!(codes(&error), ["template::undefined-feature"]);
        assert!(error.list()[0].help_text().is_some_and(|told| told.starts_with(help)), "{name}: {error:?}");
    }
}

#[test]
fn a_feature_with_any_value_satisfies_a_guard() {
    let step = r#"{ "t": "remove_files", "with": "f", "file": "/x" }"#;
    let files = MemoryFiles::new().file("t/g/main.json", main_with(step));
    for (directives, steps) in [(&["f=0"][..], 1), (&["f+=a", "f+=b"], 1), (&["f", "^f"], 0), (&[], 0)] {
        let template = load(&with_features(directives), &files).expect("loads");
        assert_eq!(template.steps.len(), steps, "{directives:?}");
    }
}

#[test]
fn the_first_source_wins_in_the_documented_order() {
    let sources = [
        (r#""src": "a""#, FileSource::Template { given: "a".into(), path: "t/files/a".into() }),
        (r#""extsrc": "b""#, FileSource::External { given: "b".into(), path: "e/b".into() }),
        (r#""outputsrc": "c""#, FileSource::Output { name: "c".into() }),
        (r#""imagesrc": "/d""#, FileSource::Image { path: "/d".into() }),
        (r#""tarsrc": "/e""#, FileSource::Tar { path: "/e".into() }),
        (r#""contents": "f""#, FileSource::Contents("f".into())),
    ];
    let request = Request { external: vec!["e".into()], ..request() };
    for first in 0..sources.len() {
        let mut keys: Vec<&str> = sources[first..].iter().map(|(key, _)| *key).collect();
        // The order in the text does not matter.
        keys.reverse();
        let files = MemoryFiles::new()
            .file("t/g/main.json", main_with(&file(&keys.join(", "))))
            .file("t/files/a", "")
            .file("e/b", "");
        let template = load(&request, &files).expect("loads");
        assert_eq!(source_of(&template), &sources[first].1);
        assert_eq!(template.warnings.len(), usize::from(keys.len() > 1), "{keys:?}");
    }
}

#[test]
fn repeated_and_unknown_keys_are_warnings_for_lenient_loads() {
    let step = r#"{ "t": "remove_files", "file": "/first", "comment": "stray", "file": "/last" }"#;
    let files = MemoryFiles::new().file("t/g/main.json", main_with(step));
    let error = load(&request(), &files).expect_err("strict");
    assert_eq!(codes(&error), ["template::unknown-key", "template::duplicate-key"]);
    let template = load(&Request { lenient: true, ..request() }, &files).expect("lenient");
    assert!(
        matches!(&template.steps[0].step, Step::RemoveFiles(step) if step.what == RemoveWhat::File("/last".into()))
    );
    assert_eq!(template.warnings.len(), 2);
}

#[test]
fn a_file_included_twice_has_its_errors_once() {
    let files = MemoryFiles::new()
        .file("t/g/main.json", main_with(&format!("{0}, {0}, {1}, {1}", include("bad"), include("broken"))))
        .file("t/include/bad.json", included(&dir("relative")))
        .file("t/include/broken.json", "{");
    let error = load(&request(), &files).expect_err("two errors");
    assert_eq!(codes(&error), ["template::bad-path", "template::syntax"]);
}

#[test]
fn a_file_included_twice_is_spliced_in_twice() {
    let files = MemoryFiles::new()
        .file("t/g/main.json", main_with(&format!("{0}, {0}", include("x"))))
        .file("t/include/x.json", included(&dir("/x")));
    let template = load(&request(), &files).expect("loads");
    assert_eq!(directories(&template), ["/x", "/x"]);
    assert_eq!(template.files_read.len(), 2);
}

#[test]
fn an_include_needs_steps_which_may_be_none() {
    let load_with = |text: &str| {
        let files = MemoryFiles::new().file("t/g/main.json", main_with(&include("x"))).file("t/include/x.json", text);
        load(&request(), &files)
    };
    assert!(load_with(r#"{ "steps": [] }"#).expect("loads").steps.is_empty());
    assert_eq!(codes(&load_with("{}").expect_err("no steps")), ["template::missing-key"]);
    assert_eq!(codes(&load_with(r#"{ "steps": {} }"#).expect_err("no list")), ["template::wrong-type"]);
}

/// Every pair: the original refuses two of them, and panics without any, when it has made its datasets already.
#[test]
fn there_is_exactly_one_target() {
    let targets = [
        r#""dataset": { "name": "d" }"#,
        r#""pool": { "name": "rpool", "size": 2000 }"#,
        r#""ufs": { "size": 8, "inode_density": 4096 }"#,
        r#""pcfs": { "label": "X", "size": 2 }"#,
        r#""iso": {}"#,
    ];
    let load_with = |targets: &[&str]| {
        let keys = [targets, &[r#""steps": []"#]].concat().join(", ");
        load(&request(), &MemoryFiles::new().file("t/g/main.json", format!("{{ {keys} }}")))
    };
    for (index, one) in targets.iter().enumerate() {
        assert_eq!(load_with(&[one]).expect(one).target.name(), one.split('"').nth(1).expect("a key"));
        for other in &targets[index + 1..] {
            let error = load_with(&[one, other]).expect_err(other);
            assert_eq!(codes(&error), ["template::two-targets"], "{one}, {other}");
        }
    }
    assert_eq!(codes(&load_with(&[]).expect_err("none")), ["template::no-target"]);
}

#[test]
fn profiles_are_applied_as_they_are_told() {
    use template::Profile::{Generic, Platform, Site};
    let cases: [(&str, &[template::Profile]); 7] = [
        ("", &[]),
        (r#", "apply_profiles": []"#, &[]),
        (r#", "apply_profiles": ["site", "generic", "platform"]"#, &[Site, Generic, Platform]),
        // Entries that are blank after expansion are none.
        (r#", "apply_profiles": ["${no?site}", "${f?generic}", ""]"#, &[Generic]),
        (r#", "apply_site": false, "apply_profiles": ["platform"]"#, &[Platform]),
        // `apply_site` excludes profiles, and there are none.
        (r#", "apply_site": true, "apply_profiles": []"#, &[Site]),
        (r#", "apply_site": true, "apply_profiles": ["${no?site}"]"#, &[Site]),
    ];
    for (fields, expected) in cases {
        let step = format!(r#"{{ "t": "seed_smf"{fields} }}"#);
        let files = MemoryFiles::new().file("t/g/main.json", main_with(&step));
        match &load(&with_features(&["f"]), &files).unwrap_or_else(|error| panic!("{fields}: {error:?}")).steps[0].step
        {
            Step::SeedSmf(step) => assert_eq!(step.profiles, expected, "{fields}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn endless_includes_end() {
    let mut deep = MemoryFiles::new().file("t/g/main.json", main_with(&include("n0")));
    let mut wide = deep.clone();
    for level in 0..80 {
        let next = include(&format!("n{}", level + 1));
        deep = deep.file(format!("t/include/n{level}.json"), included(&next));
        // Each level includes the next twice: without a limit this would take for ever.
        let twice = if level < 40 { format!("{next}, {next}") } else { String::new() };
        wide = wide.file(format!("t/include/n{level}.json"), included(&twice));
    }
    insta::assert_snapshot!("include_limit", rendered(&load(&request(), &deep).expect_err("too deep")));
    let error = load(&request(), &wide).expect_err("too many");
    assert!(codes(&error).contains(&"template::include-limit"), "{error}");
}

/// One file may be reached under two names, which only the depth shows.
#[test]
fn a_template_that_includes_itself_by_file_is_found() {
    let root = tempfile::tempdir().expect("a directory");
    let directory = root.path().join("t/g");
    fs::create_dir_all(&directory).expect("made");
    let again = directory.join("main.json");
    let step = format!(r#"{{ "t": "include", "name": "main", "file": "{}" }}"#, again.display());
    fs::write(&again, main_with(&step)).expect("written");
    let request = Request { roots: vec![root.path().join("t")], ..request() };
    let error = load(&request, &HostFiles).expect_err("a circle");
    assert_eq!(codes(&error), ["template::include-cycle"]);
}

#[test]
fn values_have_places_of_their_own() {
    let files = MemoryFiles::new().file("t/g/main.json", main_with(r#"{ "t": "remove_files", "file": "/x" }"#));
    let template = load(&request(), &files).expect("loads");
    let step = &template.steps[0];
    assert_eq!(step.origin.to_string(), "t/g/main.json:1:45");
    let value = step.origin_of("file");
    let text = template.steps[0].origin.source().text();
    assert_eq!(&text[value.span().start..value.span().end], r#""/x""#);
    assert_eq!(step.origin_of("dir").span(), step.origin.span());
}

#[test]
fn columns_count_characters_and_lines_count_from_one() {
    let text = "{ \"dataset\": { \"name\": \"w\" },\r\n\n  \"steps\": [ \"ü\", 5 ] }";
    let files = MemoryFiles::new().file("t/g/main.json", text);
    let error = load(&request(), &files).expect_err("two bad steps");
    let places: Vec<String> = error.list().iter().filter_map(|found| found.origin().map(ToString::to_string)).collect();
    assert_eq!(places, ["t/g/main.json:3:14", "t/g/main.json:3:19"]);
}

#[test]
fn steps_serialize_alike_wherever_their_files_are() {
    let load_under = |root: &str| {
        let files = MemoryFiles::new()
            .file(format!("{root}/g/main.json"), main_with(&file(r#""src": "a""#)))
            .file(format!("{root}/files/a"), "");
        let template = load(&Request { roots: vec![root.into()], ..request() }, &files).expect("loads");
        serde_json::to_string(&template.steps[0].step).expect("serializes")
    };
    assert_eq!(load_under("/here"), load_under("/somewhere/else"));
}

/// Counts what the loader asks for.
#[derive(Default)]
struct Counted {
    files: MemoryFiles,
    reads: Cell<usize>,
    kinds: Cell<usize>,
    lists: Cell<usize>,
}

impl TemplateSource for Counted {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.reads.set(self.reads.get() + 1);
        self.files.read(path)
    }

    fn kind(&self, path: &Path) -> io::Result<Option<FileKind>> {
        self.kinds.set(self.kinds.get() + 1);
        self.files.kind(path)
    }

    fn names(&self, directory: &Path) -> Vec<String> {
        self.lists.set(self.lists.get() + 1);
        self.files.names(directory)
    }
}

/// A list of removals as long as the longest that is in use takes no more of the host than a short one, and each file of a
/// step is looked for once in each place.
#[test]
fn thousands_of_steps_ask_for_nothing_twice() {
    let asked = |steps: usize| {
        let remove = |n| format!("    {{ \"t\": \"remove_files\", \"file\": \"/usr/lib/thing-{n}\" }}");
        let copy = |n| format!("    {}", file(&format!(r#""src": "thing-{n}""#)));
        let lines: Vec<String> = (0..steps).flat_map(|n| [remove(n), copy(n)]).collect();
        let files = MemoryFiles::new()
            .file("t/g/main.json", main_with(&format!("{}, {}", include("many"), include("many"))))
            .file("t/include/many.json", included(&lines.join(",\n")));
        let files = (0..steps).fold(files, |files, n| files.file(format!("t/files/thing-{n}"), ""));
        let counted = Counted { files, ..Counted::default() };
        let template = load(&request(), &counted).expect("loads");
        assert_eq!(template.steps.len(), 4 * steps);
        assert_eq!(template.steps[2 * steps - 1].origin.line(), 2 * steps);
        (counted.reads.get(), counted.kinds.get(), counted.lists.get())
    };
    let ((reads, few, lists), (reads_of_many, many, lists_of_many)) = (asked(1), asked(2_500));
    assert_eq!((reads, reads_of_many), (2, 2), "each template is read once");
    assert_eq!((lists, lists_of_many), (0, 0), "nobody asks what is similar to what is there");
    // Below the group's `files` and below the root's, in both includes.
    assert_eq!(many - few, 2_499 * 2 * 2);
}

fn json_like() -> impl Strategy<Value = String> {
    let keys = "dataset|pool|iso|disk|steps|features|t|with|file|src|pkgs|name|size|x";
    let words = "include|ensure_file|ensure_dir|pkg_install|seed_smf|remove_files|shadow|auto|root|0644|/etc|[$]\\{x\\}|[$]\\{@x\\}|";
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        words.prop_map(|word| format!("\"{word}\"")),
    ];
    leaf.prop_recursive(4, 64, 8, move |inner| {
        let member = (keys, inner.clone()).prop_map(|(key, value)| format!("\"{key}\": {value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(|elements| format!("[{}]", elements.join(", "))),
            prop::collection::vec(member, 0..8).prop_map(|members| format!("{{{}}}", members.join(", "))),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let files = MemoryFiles::new().file("t/g/main.json", bytes);
        prop_assert!(load(&request(), &files).is_err());
    }

    /// Values of any type in any place end in a template or in errors that can be rendered.
    #[test]
    fn arbitrary_templates_never_panic(target in json_like(), steps in json_like(), lenient in any::<bool>()) {
        let text = format!("{{ \"pool\": {target}, \"dataset\": null, \"features\": {steps}, \"steps\": [{steps}] }}");
        let files = MemoryFiles::new().file("t/g/main.json", text);
        let request = Request { lenient, ..with_features(&["x+=1", "x+=2"]) };
        match load(&request, &files) {
            Ok(template) => prop_assert!(template.warnings.iter().all(|warning| !warning.is_error())),
            Err(error) => {
                prop_assert!(error.error_count() > 0);
                prop_assert!(!rendered(&error).contains("Failed to read contents"), "{}", rendered(&error));
            }
        }
    }
}
