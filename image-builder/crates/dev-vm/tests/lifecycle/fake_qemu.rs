//! An emulator that emulates nothing: it takes QEMU's options, writes a console
//! log, listens on both sockets, and behaves or misbehaves as it is told.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

/// The environment variable that names the [`Mode`]; `dev-vm` passes it on like any other.
pub(crate) const MODE: &str = "FAKE_QEMU_MODE";
/// The environment variable that names the file with the arguments, one in each line.
pub(crate) const ARGUMENTS: &str = "FAKE_QEMU_ARGUMENTS";
/// No fake outlives for ever a test run that was killed, nor ends before one on a busy machine.
const LIFETIME: Duration = Duration::from_secs(600);

const PORT_TAKEN: &str = "qemu-system-x86_64: -netdev user: Could not set up host forwarding rule 'tcp:127.0.0.1'";

/// What the fake does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Boots, says that it is ready, and powers off when asked.
    Ready,
    /// As `Ready`, but a service has failed.
    Unwell,
    /// As `Ready`, of illumos, where the share did not come.
    Shareless,
    /// Boots and says nothing more.
    Silent,
    /// Boots and dies as soon as its start was noticed: dying before that is another mode.
    Dies,
    /// Does not even start.
    Rejects,
    /// Finds its port taken, the first time.
    PortTakenOnce,
    /// As `Ready`, but ignores the power button.
    Stubborn,
    /// As `Ready`, but answers no command.
    Deaf,
}

const MODES: [(Mode, &str); 9] = [
    (Mode::Ready, "ready"),
    (Mode::Unwell, "unwell"),
    (Mode::Shareless, "shareless"),
    (Mode::Silent, "silent"),
    (Mode::Dies, "dies"),
    (Mode::Rejects, "rejects"),
    (Mode::PortTakenOnce, "port-taken-once"),
    (Mode::Stubborn, "stubborn"),
    (Mode::Deaf, "deaf"),
];

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        MODES.iter().find(|(mode, _)| *mode == self).unwrap().1
    }

    fn from_environment() -> Self {
        let name = std::env::var(MODE).unwrap();
        MODES.iter().find(|(_, n)| *n == name).unwrap().0
    }
}

/// The fake's main function: the script execs this test binary with this test's name.
#[test]
#[ignore = "not a test: the process that plays QEMU for the others"]
fn play_qemu() {
    let arguments = std::env::var(ARGUMENTS).expect("only to be started by the tests' own script");
    let arguments = fs::read_to_string(arguments).unwrap();
    std::process::exit(play(&arguments));
}

fn play(arguments: &str) -> i32 {
    if arguments.contains("isa-debug-exit") {
        return probe(arguments);
    }
    if arguments.contains("-machine\nhelp\n") {
        let help = "Supported machines are:\npc    Standard PC (alias of pc-i440fx-9.2)\npc-i440fx-9.2  Standard PC\n";
        std::io::stdout().write_all(help.as_bytes()).unwrap();
        return 0;
    }
    let mode = Mode::from_environment();
    // Kept for the tests: one block of arguments for each start.
    let starts = OpenOptions::new().create(true).append(true).open("starts");
    starts.unwrap().write_all(format!("{arguments}\0").as_bytes()).unwrap();
    if mode == Mode::Rejects {
        return complain("qemu-system-x86_64: -accel x: no such option");
    }
    if mode == Mode::PortTakenOnce && fs::read_to_string("starts").unwrap().matches('\0').count() == 1 {
        return complain(PORT_TAKEN);
    }
    let port = arguments.split_once("hostfwd=tcp:127.0.0.1:").unwrap().1.split_once('-').unwrap().0;
    let Ok(_ssh) = TcpListener::bind(("127.0.0.1", port.parse().unwrap())) else {
        return complain(PORT_TAKEN);
    };
    fs::write("qemu.pid", format!("{}\n", std::process::id())).unwrap();
    // Before anybody can see that it has started, and measure its boot by that.
    let log = begin_boot();
    let qmp = UnixListener::bind("qmp.sock").unwrap();
    let serial = UnixListener::bind("serial.sock").unwrap();
    let (spoke, spoken_to) = mpsc::channel();
    std::thread::spawn(move || end_boot(mode, log, &spoken_to));
    std::thread::spawn(move || serial.incoming().for_each(|stream| console(stream.unwrap())));
    std::thread::spawn(move || {
        if mode == Mode::Deaf {
            deaf(&qmp);
        }
        for stream in qmp.incoming() {
            control(stream.unwrap(), mode);
            // Only one that dies of it listens.
            let _ = spoke.send(());
        }
    });
    std::thread::sleep(LIFETIME);
    1
}

/// What is written to standard error ends up in the log that the tests look at.
#[expect(clippy::print_stderr, reason = "the fake is a program, and this is its only way to complain")]
fn complain(message: &str) -> i32 {
    eprintln!("{message}");
    1
}

/// Only translation works on this host.
fn probe(arguments: &str) -> i32 {
    if arguments.contains("-accel\ntcg\n") { 85 } else { complain("qemu-system-x86_64: no such accelerator here") }
}

fn begin_boot() -> File {
    let log = OpenOptions::new().create(true).append(true).open("console.log");
    let mut log = log.unwrap();
    for line in 1..=40 {
        writeln!(log, "line {line} of the boot\r").unwrap();
    }
    log
}

/// `spoken_to` tells when somebody has given commands and has gone.
fn end_boot(mode: Mode, mut log: File, spoken_to: &Receiver<()>) {
    std::thread::sleep(Duration::from_millis(100));
    match mode {
        Mode::Silent => {}
        Mode::Dies => {
            writeln!(log, "Kernel panic - not syncing\r").unwrap();
            spoken_to.recv().unwrap();
            std::process::exit(complain("internal error of the emulator"));
        }
        Mode::Unwell => writeln!(log, "dev-vm: ready sysconfig=failed dev-9p-mount=active\r").unwrap(),
        Mode::Shareless => writeln!(log, "dev-vm: ready sysconfig=online dev-9p-mount=maintenance\r").unwrap(),
        _ => writeln!(log, "dev-vm: ready sysconfig=active dev-9p-mount=active\r").unwrap(),
    }
}

fn console(mut stream: UnixStream) {
    stream.write_all(b"login: ").unwrap();
    let mut bytes = [0; 64];
    while let Ok(length @ 1..) = stream.read(&mut bytes) {
        if stream.write_all(&bytes[..length]).is_err() {
            return;
        }
    }
}

/// Answers the one conversation that belongs to the start, then takes connections and says nothing.
fn deaf(qmp: &UnixListener) {
    let (stream, _) = qmp.accept().unwrap();
    control(stream, Mode::Deaf);
    let mut kept: Vec<UnixStream> = Vec::new();
    loop {
        kept.push(qmp.accept().unwrap().0);
    }
}

fn control(mut stream: UnixStream, mode: Mode) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    stream.write_all(b"{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n").unwrap();
    for line in lines.map_while(Result::ok) {
        let command: serde_json::Value = serde_json::from_str(&line).unwrap();
        let _ = stream.write_all(b"{\"event\": \"NIC_RX_FILTER_CHANGED\"}\r\n{\"return\": {}}\r\n");
        match command["execute"].as_str().unwrap() {
            "system_powerdown" if mode != Mode::Stubborn => end(),
            "quit" => end(),
            _ => {}
        }
    }
}

/// Ends as QEMU does: without its pid file, and leaving its sockets behind.
fn end() -> ! {
    let _ = fs::remove_file("qemu.pid");
    let log = File::options().append(true).open("console.log");
    writeln!(log.unwrap(), "Power down\r").unwrap();
    std::process::exit(0)
}
