//! Owners and modes: every name that templates may give, and what is none.

use template::{EnsureDir, Features, MemoryFiles, Request, Step, load};

/// The directory that a step makes with these values as they stand in JSON, or the code of the error.
fn directory(word: &str, owner: &str, group: &str, mode: &str) -> Result<EnsureDir, &'static str> {
    let step = format!(r#"{{ "t": "{word}", "dir": "/d", "owner": {owner}, "group": {group}, "mode": {mode} }}"#);
    let text = format!(r#"{{ "dataset": {{ "name": "d" }}, "steps": [ {step} ] }}"#);
    let (roots, features) = (vec!["t".into()], Features::default());
    let request = Request { roots, group: "g".into(), name: "main".into(), features, ..Request::default() };
    match load(&request, &MemoryFiles::new().file("t/g/main.json", text)) {
        Ok(template) => match template.steps[0].step.clone() {
            Step::EnsureDir(step) => Ok(step),
            other => panic!("{other:?}"),
        },
        Err(errors) => Err(errors.list()[0].code()),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

#[test]
fn names_stand_for_fixed_ids() {
    for (user, uid) in [("root", 0), ("daemon", 1), ("bin", 2), ("sys", 3), ("adm", 4)] {
        let step = directory("ensure_dir", &quoted(user), r#""root""#, r#""755""#).expect(user);
        assert_eq!((step.owner, step.group), (uid, 0), "{user}");
        assert_eq!(template::user_name(uid), Some(user));
    }
    for (group, gid) in [("root", 0), ("other", 1), ("bin", 2), ("sys", 3), ("adm", 4)] {
        let step = directory("ensure_dir", r#""root""#, &quoted(group), r#""755""#).expect(group);
        assert_eq!((step.owner, step.group), (0, gid), "{group}");
        assert_eq!(template::group_name(gid), Some(group));
    }
}

/// The host's own users do not count, and neither do those of the other table.
#[test]
fn no_other_name_and_no_number_is_one() {
    for name in ["other", "nobody", "Root", "root ", "", "0"] {
        let refused = directory("ensure_dir", &quoted(name), r#""root""#, r#""755""#);
        assert_eq!(refused.expect_err(name), "template::unknown-owner", "{name}");
    }
    for name in ["daemon", "wheel", "staff", "3"] {
        let refused = directory("ensure_dir", r#""root""#, &quoted(name), r#""755""#);
        assert_eq!(refused.expect_err(name), "template::unknown-group", "{name}");
    }
    assert_eq!(directory("ensure_dir", "0", r#""root""#, r#""755""#).expect_err("a number"), "template::wrong-type");
}

#[test]
fn modes_are_octal_with_or_without_zeros_before() {
    for (mode, bits) in
        [("0", 0), ("644", 0o644), ("0644", 0o644), ("00755", 0o755), ("4755", 0o4755), ("1777", 0o1777)]
    {
        let step = directory("ensure_dir", r#""root""#, r#""sys""#, &quoted(mode)).expect(mode);
        assert_eq!(step.mode, bits, "{mode}");
    }
    for mode in ["", "8", "rwx", "0o755", "-1", "+7", " 755", "10000"] {
        let refused = directory("ensure_dir", r#""root""#, r#""sys""#, &quoted(mode));
        assert_eq!(refused.expect_err(mode), "template::bad-mode", "{mode}");
    }
}

#[test]
fn a_directory_has_two_words() {
    let step = |word| directory(word, r#""root""#, r#""sys""#, r#""0755""#).expect(word);
    assert_eq!(step("ensure_directory"), step("ensure_dir"));
}
