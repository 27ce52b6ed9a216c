//! The hostile suite: plugins that do everything wrong that a plugin can do.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::Bench;

/// Shell plugins that read the first request and then do something wrong, with the words that tell it.
pub(crate) const FAULTS: [(&str, &str, &str); 20] = [
    ("silent", "sleep 600", "did not answer hello within 3 s"),
    ("garbage", "echo '{}' >&3; sleep 600", "not the protocol: not a JSON-RPC"),
    ("spills", "echo 'password: hunter2' >&3; sleep 600", "line 1 column 1, in 17 bytes of text"),
    ("badlog", r#"echo '{"jsonrpc":"2.0","method":"log","params":{"level":"hunter2"}}' >&3; sleep 600"#, "of JSON"),
    ("textid", r#"echo '{"jsonrpc":"2.0","id":"hunter2","result":{}}' >&3; sleep 600"#, "of 7 bytes instead of 1"),
    (
        "value",
        r#"echo '{"jsonrpc":"2.0","id":1,"result":{"name":"value","version":"1.0.0","protocol":{"min":1,"max":1},"claims":"hunter2"}}' >&3; sleep 600"#,
        "an answer of the wrong shape: invalid type: string, expected a sequence",
    ),
    ("wrongid", r#"echo '{"jsonrpc":"2.0","id":77,"result":{}}' >&3; sleep 600"#, "answered request 77 instead of 1"),
    ("shape", r#"echo '{"jsonrpc":"2.0","id":1,"result":[]}' >&3; sleep 600"#, "an answer of the wrong shape"),
    ("half", r#"printf '{"jsonrpc":"2.0",' >&3; exit 3"#, "ended unexpectedly (exit status 3)"),
    ("stalls", r#"printf '{"jsonrpc":"2.0",' >&3; sleep 600"#, "did not answer hello within 3 s"),
    ("deaf", "trap '' TERM; sleep 600 & while :; do sleep 1; done", "did not answer hello within 3 s"),
    ("long", "head -c 10000000 /dev/zero >&3; sleep 600", "a line longer than 4194304 bytes"),
    ("asks", r#"echo '{"jsonrpc":"2.0","id":1,"method":"hello"}' >&3; sleep 600"#, "must not send requests"),
    (
        "events",
        r#"while :; do echo '{"jsonrpc":"2.0","method":"event","params":{"topic":"x"}}'; done >&3"#,
        "more than 100 events within a second",
    ),
    (
        "version",
        r#"echo '{"jsonrpc":"2.0","id":1,"result":{"name":"version","version":"1.0.0","protocol":{"min":2,"max":3},"claims":[]}}' >&3; sleep 600"#,
        "it speaks protocol versions 2 to 3 only",
    ),
    (
        "nocommon",
        r#"echo '{"jsonrpc":"2.0","id":1,"error":{"code":-32004,"message":"not this version"}}' >&3; sleep 600"#,
        "not this version",
    ),
    ("forks", "for i in 1 2 3 4 5; do sleep 600 & done; setsid sleep 5 & exit 4", "ended unexpectedly (exit status 4)"),
    (
        "topics",
        r#"for i in $(seq 1 40); do echo '{"jsonrpc":"2.0","method":"event","params":{"topic":"'$i'"}}'; done >&3; sleep 600"#,
        "events on more than 32 topics",
    ),
    (
        "huge",
        r#"printf '{"jsonrpc":"2.0","method":"event","params":{"topic":"x","data":"%070000d"}}\n' 0 >&3; sleep 600"#,
        "an event on \"x\" of more than 65536 bytes",
    ),
    ("signal", "kill -SEGV $$", "killed by signal 11"),
];

/// What cannot be started at all, and what is told of it.
pub(crate) const REFUSED: [(&str, &str); 6] = [
    ("foreign", "is built for "),
    ("folder", "not a regular file"),
    ("link", "cannot be opened"),
    ("pipe", "not a regular file"),
    ("open", "is writable by others (mode 777)"),
    ("rival", "test.dies"),
];

/// Puts everything of [`FAULTS`] in place.
pub(crate) fn install_faults(bench: &Bench) {
    for (name, action, _) in FAULTS {
        bench.install_bytes(name, format!("#!/bin/sh\nread request <&3\n{action}\n").as_bytes());
    }
}

/// Puts everything of [`REFUSED`] in place.
fn install_refused(bench: &Bench) {
    bench.install_bytes("foreign", &foreign_build());
    std::fs::create_dir(bench.plugin_file("folder")).unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", bench.plugin_file("link")).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o755);
    rustix::fs::mkfifoat(rustix::fs::CWD, bench.plugin_file("pipe"), mode).unwrap();
    bench.install("open", &json!({}));
    std::fs::set_permissions(bench.plugin_file("open"), std::fs::Permissions::from_mode(0o777)).unwrap();
    bench.install("rival", &json!({ "claims": ["test.dies"] }));
}

/// The scripted plugin, as if it had been built for another processor.
pub(crate) fn foreign_build() -> Vec<u8> {
    let mut bytes = std::fs::read(super::scripted_plugin()).unwrap();
    // e_machine is at offset 18; 183 is AArch64, 62 is x86-64.
    bytes[18] = if bytes[18] == 62 { 183 } else { 62 };
    bytes
}

/// The plugins of both tables, those that flood both outputs, one that dies in its step, and one that sleeps in every
/// request, all at once. The sleeper's text is `done` in the end.
pub(crate) fn install_all(bench: &Bench) {
    install_faults(bench);
    for (name, stream) in [("out", 1), ("err", 2)] {
        let script = format!("#!/bin/sh\nwhile :; do echo spam spam spam spam >&{stream}; done\n");
        bench.install_bytes(name, script.as_bytes());
    }
    install_refused(bench);
    let lethal = bench.path("lethal");
    std::fs::write(&lethal, "").unwrap();
    bench.install("mortal", &json!({ "die_in_apply_while": lethal }));
    bench.install("dies", &json!({}));
    bench.install("slow", &json!({ "observe_sleep_ms": 2000, "apply_sleep_ms": 2000, "after": ["mortal"] }));
    let machine = format!("{}{}", bench.wants("mortal", "never"), bench.wants("slow", "done"));
    bench.configure_with("[plugins.deadlines]\nstart = \"2s\"\nstop = \"500ms\"", &machine);
}
