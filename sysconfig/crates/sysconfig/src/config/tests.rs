//! Tables of configurations, and the reports about bad ones word by word.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use sysconfig_protocol::admin::Problem;
use sysconfig_protocol::{Level, Severity};

use super::*;

fn files(texts: &[&str]) -> Vec<SourceFile> {
    let path = |index: usize| match index {
        0 => PathBuf::from("/etc/sysconfig.toml"),
        index => PathBuf::from(format!("/etc/sysconfig.d/{index}0.toml")),
    };
    texts.iter().enumerate().map(|(index, text)| SourceFile::new(path(index), *text)).collect()
}

fn good(texts: &[&str]) -> Configuration {
    parse(files(texts)).unwrap_or_else(|errors| panic!("{}", render(&errors)))
}

/// The report with source text, and the one without.
fn report(texts: &[&str]) -> String {
    let errors = parse(files(texts)).expect_err("the configuration is faulty");
    format!("{}\n\n{}", render_with_source(&errors), render(&errors))
}

#[test]
fn the_documented_file_is_accepted_as_it_is() {
    let config = good(&[
        "[plugins]\npath = \"/repo/sysconfig/target/release\"\n[logging]\nlevel = \"debug\"\noutput = \"console\"\n",
    ]);
    assert_eq!(config.settings.plugins.path, [PathBuf::from("/repo/sysconfig/target/release")]);
    assert_eq!(config.settings.logging, LoggingSettings { level: Level::Debug, output: LogOutput::Console });
    assert!(config.machine.is_empty());
}

/// A key that two of an image's files set would keep the daemon from starting there.
#[test]
fn the_files_of_each_development_image_are_one_configuration() {
    const SHARED: [&str; 2] = [
        include_str!("../../../../image/templates/files/dev/sysconfig.toml"),
        include_str!("../../../../image/templates/files/dev/10-dev.toml"),
    ];
    for (own, servers) in [
        (include_str!("../../../../image/templates/files/openindiana/20-network.toml"), "dhcp"),
        (include_str!("../../../../image/templates/files/debian/20-dns.toml"), "10.0.2.3"),
    ] {
        let config = good(&[SHARED[0], SHARED[1], own]);
        assert!(config.settings.plugins.reload_applies && config.settings.plugins.allow_untrusted_owner);
        let dns = &tree::to_json(&config.machine)["network"]["dns"];
        assert_eq!(*dns, json!({ "servers": [servers], "search": ["dev.internal"] }));
    }
}

#[test]
fn an_empty_file_has_the_documented_defaults() {
    let settings = good(&[""]).settings;
    assert_eq!(settings, Settings::default());
    assert!(settings.plugins.hot_reload && !settings.plugins.reload_applies);
    assert!(!settings.plugins.allow_untrusted_owner);
    assert_eq!(settings.plugins.poll_interval, Duration::from_millis(250));
}

#[test]
fn tables_of_several_files_are_joined_key_by_key() {
    let config = good(&[
        "[plugins]\npath = [\"/a\", \"/b\"]\n[plugins.deadlines]\napply = \"2m\"\n[system]\nhostname = \"dev\"\n",
        "[plugins]\nreload-applies = true\n[plugins.deadlines]\nobserve = \"250ms\"\n[system]\nmotd = \"hi\"\n",
        "[network.dns]\nservers = [\"10.0.2.3\"]\n[[network.interface]]\nmtu = 0x5dc\nup = true\nsince = \"2026-01-01\"\n",
    ]);
    let plugins = &config.settings.plugins;
    assert_eq!(plugins.path, [PathBuf::from("/a"), PathBuf::from("/b")]);
    assert!(plugins.reload_applies);
    assert_eq!(plugins.deadlines.apply, Duration::from_secs(120));
    assert_eq!(plugins.deadlines.observe, Duration::from_millis(250));
    assert_eq!(
        tree::to_json(&config.machine),
        json!({
            "network": {
                "dns": { "servers": ["10.0.2.3"] },
                "interface": [{ "mtu": 1500, "since": "2026-01-01", "up": true }],
            },
            "system": { "hostname": "dev", "motd": "hi" },
        })
    );
}

#[test]
fn keys_have_places_in_characters() {
    let config = good(&[
        "[network.dns]\nservers = [\"a\",\n  \"b\"]\n",
        "[system]\n# ä\n'ö' = 1; \n".replace("; ", "").as_str(),
    ]);
    let place = |key: &str| config.place_of(key).map(|place| (place.line, place.column));
    assert_eq!(place("network.dns.servers"), Some((2, 1)));
    assert_eq!(place("network.dns.servers[1]"), Some((3, 3)));
    assert_eq!(place("network.dns.servers[7]"), Some((2, 1)), "the nearest that exists");
    assert_eq!(place("network.dns.search"), Some((1, 10)));
    assert_eq!(place("system.ö"), Some((3, 1)));
    assert_eq!(place("storage.pool"), None);
    assert_eq!(config.place_of("system.ö").unwrap().file, "/etc/sysconfig.d/10.toml");
}

#[test]
fn parts_go_to_their_owners_and_the_rest_is_named() {
    let config = good(&[
        "[system]\nhostnmae = \"x\"\nmotd = { text = \"hi\" }\n[network.dsn]\nservers = []\n[empty]\n[storage]\n",
    ]);
    let claims =
        [("hostname", "system.hostname"), ("motd", "system.motd"), ("dns", "network.dns"), ("zpool", "storage.pool")];
    let claims = claims.map(|(plugin, key)| (plugin.to_owned(), key.to_owned()));
    let assignment = assign(&config.machine, &claims);
    assert_eq!(json!(assignment.parts), json!({ "motd": { "system.motd": { "text": "hi" } } }));
    let unowned: Vec<_> = assignment.unowned.iter().map(|key| (key.key.as_str(), key.nearest.as_deref())).collect();
    assert_eq!(
        unowned,
        [("empty", None), ("network.dsn.servers", Some("network.dns")), ("system.hostnmae", Some("system.hostname")),],
        "an empty table above a claimed key is nothing to complain about"
    );
    let loud = assign(&good(&["[SYSTEM]\nHostName = 1\n[LOGGING]\nlevel = 1\n"]).machine, &claims).unowned;
    let nearest: Vec<_> = loud.iter().map(|key| key.nearest.as_deref()).collect();
    assert_eq!(nearest, [Some("logging.level"), Some("system.hostname")]);
    let misplaced = "level = \"debug\"\n[network]\nhostname = \"dev\"\ncolour = 1\n[system]\nstart = \"1s\"\n\
                     [backup]\npath = \"/x\"\nmotd = 1\n";
    let misplaced = assign(&good(&[misplaced]).machine, &claims).unowned;
    let nearest: Vec<_> = misplaced.iter().map(|key| (key.key.as_str(), key.nearest.as_deref())).collect();
    assert_eq!(
        nearest,
        [
            ("backup.motd", None),
            ("backup.path", None),
            ("level", Some("logging.level")),
            ("network.colour", None),
            ("network.hostname", Some("system.hostname")),
            ("system.start", Some("plugins.deadlines.start")),
        ],
        "a key of another table is told with that table, but not one of a plugin that is not there"
    );
}

/// They were text, of which nobody had said that it was.
#[test]
fn a_date_is_refused_with_its_place() {
    let report = report(&["[system]\nhostname = 2026-01-01\n"]);
    let said =
        "/etc/sysconfig.toml:2:12: no key takes a date or a time\n  help: put it into quotes where text is meant";
    assert!(report.ends_with(said), "{report}");
}

#[test]
fn a_quoted_key_with_dots_is_not_the_key_below_tables() {
    let config = good(&["\"system.hostname\" = 1\nnetwork = []\n[system]\nhostname = 2\n\"\" = 3\n"]);
    let claims = [("hostname", "system.hostname"), ("dns", "network.dns")];
    let claims = claims.map(|(plugin, key)| (plugin.to_owned(), key.to_owned()));
    let assignment = assign(&config.machine, &claims);
    assert_eq!(json!(assignment.parts), json!({ "hostname": { "system.hostname": 2 } }));
    let unowned: Vec<_> = assignment.unowned.iter().map(|key| (key.key.as_str(), key.nearest.as_deref())).collect();
    assert_eq!(
        unowned,
        [("network", Some("network.dns")), ("system.\"\"", None), ("\"system.hostname\"", Some("system.hostname"))],
        "what is no table is told with a key that is to be in one"
    );
}

#[test]
fn claims_overlap_by_segments_and_not_by_letters() {
    for (one, other, expected) in [
        ("system.hostname", "system.hostname", true),
        ("system", "system.hostname", true),
        ("system.hostname", "system", true),
        ("system.host", "system.hostname", false),
        ("system.hostname", "network.dns", false),
    ] {
        assert_eq!(overlaps(one, other), expected, "{one} and {other}");
    }
}

#[test]
fn what_says_the_same_is_the_same_wherever_it_is_written() {
    let one = good(&["[system]\nhostname = \"a\"\n"]);
    assert!(one.same_as(&good(&["", "# moved\n[system]\nhostname = \"a\"\n"])));
    assert!(!one.same_as(&good(&["[system]\nhostname = \"b\"\n"])));
    assert!(!one.same_as(&good(&["[plugins]\nhot-reload = false\n[system]\nhostname = \"a\"\n"])));
}

#[test]
fn a_missing_main_file_is_told_with_its_path() {
    let directory = tempfile::tempdir().unwrap();
    let sources = Sources { file: directory.path().join("none.toml"), directory: directory.path().join("none.d") };
    let report = render(&load(&sources, Reading::STRICT).unwrap_err());
    assert!(report.contains("none.toml") && report.contains("--config"), "{report}");
}

#[test]
fn drop_ins_are_read_by_name_and_hidden_ones_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let drop_in = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    let file = directory.path().join("main.conf");
    std::fs::write(&file, "").unwrap();
    drop_in("20-b.toml", "[b]\nx = 1\n");
    drop_in("10-a.toml", "[a]\nx = 1\n");
    drop_in(".30-c.toml", "not toml");
    drop_in("40-d.toml~", "not toml");
    let config = load(&Sources { file, directory: directory.path().to_owned() }, Reading::STRICT).unwrap();
    let names: Vec<_> = config.files.iter().filter_map(|file| file.path.file_name()?.to_str()).collect();
    assert_eq!(names, ["main.conf", "10-a.toml", "20-b.toml"]);
}

/// Every kind of fault, with the text, the place and the advice that people see.
#[test]
fn reports() {
    for (name, texts) in [
        ("syntax", &["[plugins]\npath = /repo\n"][..]),
        ("unknown_key_near", &["[plugins]\npaht = \"/repo\"\n[logging]\nlevle = \"debug\"\n"]),
        ("unknown_key_of_another_table", &["[plugins]\nlevel = \"debug\"\n[logging]\nstop = \"1s\"\n"]),
        ("duplicate_key", &["[system]\nhostname = \"a\"\nhostname = \"b\"\n"]),
        ("unknown_key_far", &["[plugins.deadlines]\ncolour = \"5s\"\n"]),
        ("set_twice", &["[system]\nhostname = \"a\"\n", "[system]\nhostname = \"b\"\n"]),
        ("table_and_value", &["[system]\nhostname = \"a\"\n", "system = 3\n"]),
        ("wrong_types", &["plugins = 3\n[logging]\nlevel = [\"debug\"]\noutput = \"journal\"\n"]),
        (
            "bad_values",
            &[
                "[plugins]\npath = \"plugins\"\nhot-reload = \"yes\"\npoll-interval = \"1ms\"\ndeadlines = { apply = 5 }\n[logging]\nlevel = \"debgu\"\noutput = \"screen\"\n",
            ],
        ),
        (
            "durations",
            &[
                "[plugins.deadlines]\nstart = \"5\"\nanswer = \"-5s\"\nobserve = \"0s\"\napply = \"99999999999999999999s\"\nstop = \"2 m\"\n",
            ],
        ),
        ("table_for_path", &["[plugins.path]\nfirst = \"/a\"\n"]),
        ("bad_number", &["[storage]\nsize = 99999999999999999999\nratio = inf\n"]),
    ] {
        insta::assert_snapshot!(name, report(texts));
    }
}

/// Whatever is wrong on the line of a secret or next to it, the report that goes into logs does not hold it.
#[test]
fn reports_for_logs_hold_no_secret() {
    let secret = "[a]\npassword = \"hunter2\"\n";
    let wrong = [
        format!("{secret}password = \"hunter3\"\n"),
        format!("{secret}[a]\n"),
        format!("{secret}user = /root\n"),
        "[a]\npassword = hunter2\n".to_owned(),
        "[a]\npassword = \"hunter2\n".to_owned(),
        "[a]\npassword = \"hunter2\\q\"\n".to_owned(),
        "[a]\npassword \"hunter2\"\n".to_owned(),
        "[a]\npassword = \"hunter2\" hunter3\n".to_owned(),
        "[a]\npassword = \"\"\"hunter2\nhunter3\n".to_owned(),
        "[a]\npassword = [\"hunter2\" \"hunter3\"]\n".to_owned(),
        "[a]\npassword = \"hunter2\"\npassword.x = \"hunter3\"\n".to_owned(),
        "[a]\npassword = { x = \"hunter2\", x = \"hunter3\" }\n".to_owned(),
        "[a]\npassword = hunter2 = 3\n".to_owned(),
        format!("{secret}[plugins]\npasword = \"hunter3\"\nhot-reload = \"hunter4\"\n"),
    ];
    for text in &wrong {
        let report = render(&parse(files(&[text])).expect_err(text));
        assert!(report.starts_with("/etc/sysconfig.toml:"), "{report}");
        assert!(!report.contains("hunter"), "{text}\n{report}");
    }
    let report = render(&parse(files(&[secret, "[a]\npassword = \"hunter3\"\n"])).unwrap_err());
    let twice = "/etc/sysconfig.d/10.toml:2:1: a.password is set twice\n  \
                 help: it is set at /etc/sysconfig.toml:2:1 already; set it in one place only";
    assert_eq!(report, twice);
}

#[test]
fn arbitrary_text_never_panics() {
    // A cheap stand-in for fuzzing: every prefix of a file that uses every construct, and every single deletion.
    let text =
        "[plugins]\npath = [\"/a\"]\nhot-reload = true\n[[x.y]]\nä = { b = [1, 2.5, 0x1f] }\n\"q\\u00e4\" = '''x'''\n";
    for (at, char) in text.char_indices() {
        let without = format!("{}{}", &text[..at], &text[at + char.len_utf8()..]);
        for candidate in [&text[..at], &without] {
            if let Err(errors) = parse(files(&[candidate])) {
                assert!(render(&errors).contains("/etc/sysconfig.toml"));
                assert!(render_with_source(&errors).contains("/etc/sysconfig.toml"));
            }
        }
    }
}

/// No text makes the reader panic, every fault can be rendered, and what is accepted has its places in the text.
#[test]
fn fuzz_configurations() {
    let texts = [
        "[plugins]\npath = [\"/a\", \"/b\"]\npoll-interval = \"250ms\"\n[plugins.deadlines]\nstart = \"5s\"\n",
        "[logging]\nlevel = \"debug\"\noutput = \"/var/log/x\"\n[daemon]\ndrift-interval = \"5m\"\n",
        "[system]\nhostname = \"d\u{00e4}v\"\n[[network.interface]]\nmatch = { name = 'net0' }\nmtu = 1500\nx.y.z = 1e3\n",
        "a = 1\nc = 1979-05-27T07:32:00Z\nb = [1, [2.5, true], { c = \"\"\"\nmany\n\"\"\" }]\n\"quoted key\".x = 0x7f\n",
    ];
    test_judge::fuzz(2000, |random| {
        let files: Vec<_> = (0..1 + random.below(2))
            .map(|index| {
                let mut bytes = random.pick(&texts).as_bytes().to_vec();
                random.damage(&mut bytes);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                SourceFile::new(PathBuf::from(format!("/etc/{index}.toml")), text)
            })
            .collect();
        match parse(files) {
            Err(errors) => assert!(!render(&errors).is_empty() && !render_with_source(&errors).is_empty()),
            Ok(config) => {
                let assignment = assign(&config.machine, &[("x".to_owned(), "network".to_owned())]);
                for unowned in &assignment.unowned {
                    let place = config.place(&unowned.origin);
                    assert!(place.line >= 1 && place.column >= 1);
                    assert!(
                        config.place_of(&unowned.key).is_some() || unowned.key.contains(['.', '[', '"']),
                        "{unowned:?}"
                    );
                }
            }
        }
    });
}

/// Each fault had a copy of its file, and looked for its place from the beginning: a few megabytes took minutes, or all of the
/// memory.
#[test]
fn a_fault_in_each_line_is_told_of_the_first_ones() {
    let text: String = (0..20_000).map(|number| format!("key-{number:05} = {number}\n")).collect();
    let errors = parse(files(&[&text, &text])).unwrap_err();
    assert_eq!((errors.errors.len(), errors.to_string().as_str()), (20_000, "20000 faults in the configuration"));
    for report in [render(&errors), render_with_source(&errors)] {
        assert_eq!(report.matches("is set twice").count(), 100);
        assert!(report.ends_with("19900 more faults are not shown: mend these first"), "{report}");
    }
    let problems = problems(&errors);
    let places: Vec<_> = problems.iter().map(|problem| problem.place.as_ref().map(|place| place.line)).collect();
    assert_eq!((places.len(), places[99], places[100]), (101, Some(100), None));

    let config = good(&[&text]);
    let unowned = assign(&config.machine, &[("x".to_owned(), "other".to_owned())]).unowned;
    assert_eq!(unowned.len(), 20_000);
    assert_eq!(config.place(&unowned[19_999].origin).line, 20_000);
}

/// Keys may lack their owner because of a plugin, of which nothing was told behind a hundred of them.
#[test]
fn what_is_wrong_with_plugins_is_told_before_many_faults_of_files() {
    let problem = |subject: &str, place: Option<Place>, severity| Problem {
        subject: subject.to_owned(),
        message: "m".to_owned(),
        help: None,
        place,
        severity,
    };
    let place = Place { file: "/etc/sysconfig.toml".to_owned(), line: 1, column: 1 };
    let mut problems: Vec<_> = (0..150).map(|_| problem("config", Some(place.clone()), Severity::Error)).collect();
    problems.push(problem("plugin x", None, Severity::Warning));
    let told = told_of(problems);
    assert_eq!((&*told[0].subject, told.len()), ("plugin x", 101));
    assert!(told[100].message.starts_with("51 more"), "{:?}", told[100]);
}
