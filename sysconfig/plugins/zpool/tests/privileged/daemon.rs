//! With the real daemon and the plugin as a program: what takes two permissions.

use crate::world::{DISKS, build, eventually, programs, sh};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use sysconfig_protocol::admin::DEFAULT_SOCKET;

/// Today's commands in front of those of 2010, where the plugin looks for them.
fn install() {
    let real = programs().unwrap().display().to_string();
    let zpool = format!(
        "#!/bin/sh\ncase \"$1 $2\" in\n'status -P') exec {real}/zpool status ;;\n'get -Hp') shift 5\n\
         out=$({real}/zpool get all \"$@\") || exit 1\n\
         printf '%s\\n' \"$out\" | awk 'NR > 1 {{ print $1 \"\\t\" $2 \"\\t\" $3 \"\\t\" $NF }}' ;;\n\
         *) exec {real}/zpool \"$@\" ;;\nesac\n"
    );
    sh("mount -t tmpfs none /usr/local/sbin");
    for (name, text) in [("zpool", zpool), ("zfs", format!("#!/bin/sh\nexec {real}/zfs \"$@\"\n"))] {
        fs::write(format!("/usr/local/sbin/{name}"), text).unwrap();
        sh(&format!("chmod 755 /usr/local/sbin/{name}"));
    }
}

fn ask(method: &str, params: &Value) -> Value {
    let mut stream = eventually("the daemon's socket", || UnixStream::connect(DEFAULT_SOCKET).ok());
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    stream.write_all(format!("{request}\n").as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

fn write(pools: &str) {
    let text = format!("[plugins]\npath = \"/run/plugins\"\nallow-untrusted-owner = true\n\n{pools}");
    fs::write("/run/sysconfig.toml", text.replace('@', DISKS)).unwrap();
}

fn pools() -> String {
    sh("zpool list -H -o name")
}

pub(crate) fn two_permissions() {
    build(&["d0"]);
    install();
    sh(&format!("mke2fs -q {DISKS}/d0 && cp {DISKS}/d0 {DISKS}/before && mkdir /run/plugins"));
    fs::copy(env!("CARGO_BIN_EXE_sysconfig-plugin-zpool"), "/run/plugins/sysconfig-plugin-zpool").unwrap();
    let refused = "[[storage.pool]]\nname = \"tank\"\nvdevs = [\"@/d0\"]\nroot-properties = { mountpoint = \"/run/mounted/tank\" }\n";
    write(refused);
    std::thread::spawn(|| {
        let arguments =
            ["sysconfig", "--config", "/run/sysconfig.toml", "--config-dir", "/run/none", "--state-dir", "/run/state"];
        sysconfig::run(clap::Parser::parse_from(arguments));
    });
    // The daemon's permission alone.
    let answer = eventually("the plugin", || {
        let answer = ask("apply", &json!({ "allow_destructive": true })).to_string();
        answer.contains("holds an ext2").then_some(answer)
    });
    assert!(answer.contains("refuse"), "{answer}");
    // The configuration's alone.
    write(&format!("{refused}allow-destructive = [\"@/d0\"]\n"));
    let answer = ask("apply", &json!({})).to_string();
    assert!(answer.contains("the step is destructive, and that was not allowed"), "{answer}");
    assert_eq!(pools(), "");
    sh(&format!("cmp {DISKS}/d0 {DISKS}/before"));
    // Both.
    let answer = ask("apply", &json!({ "allow_destructive": true })).to_string();
    assert_eq!(pools(), "tank\n", "{answer}");
    let answer = ask("plan", &json!({}));
    assert!(!answer.to_string().contains("\"action\""), "the second plan is empty: {answer}");
}
