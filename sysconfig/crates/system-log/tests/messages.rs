//! What the C library makes of messages. It also writes them to standard error where it can be asked to.

#![cfg(target_os = "linux")]

use process_runner::Command;
use sysconfig_protocol::Level;
use system_log::SystemLog;

/// Tells the process that the test starts from the test.
const ROLE: &str = "SYSTEM_LOG_SPEAKS";

#[test]
fn lines_are_messages_and_formats_are_text() {
    if std::env::var_os(ROLE).is_some() {
        let log = SystemLog::open_loudly();
        log.write(Level::Error, "one %s %n\n\n    two\0");
        log.write(Level::Trace, "three");
        return;
    }
    let this = std::env::current_exe().unwrap();
    let arguments = ["--exact", "lines_are_messages_and_formats_are_text", "--nocapture"];
    let output = Command::new(this).args(arguments).env(ROLE, "1").run().unwrap();
    let said = output.stderr_text();
    let messages: Vec<_> = said.lines().filter_map(|line| line.strip_prefix("sysconfig[")).collect();
    let texts: Vec<_> = messages.iter().map(|message| message.split_once("]: ").unwrap().1).collect();
    assert_eq!(texts, ["one %s %n", "    two\u{fffd}", "three"], "{said}");
}
