//! How long it takes from a new build on the host to the plugin that has applied its part, through the mirror of a 9P
//! share as an illumos guest runs it: a line for `bench/sysconfig`, with the number of builds and the median and worst
//! time in milliseconds.
//!
//! The share is a clone of this checkout with the programs of the release build, the server is `diod`, and the daemon
//! and the mirror run with the settings that they have in a guest.

#[path = "../tests/common/mod.rs"]
mod common;

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::{Bench, Daemon, PATIENCE, program};
use serde_json::json;

const BUILDS: usize = 15;
/// Where cargo puts a build, below the checkout.
const RELEASE: &str = "sysconfig/target/release";
/// As large as a plugin may be.
const SIZE: usize = 3 << 19;

/// A program that ends with the bench.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what this is for")]
fn main() {
    let bench = Bench::new();
    make_share(&bench);
    link_build(&bench, 0);
    let _server = serve(&bench);
    let _mirror = mirror(&bench);
    let path = bench.path("repo").join(RELEASE);
    let config = format!("[plugins]\npath = \"{}\"\nreload-applies = true\n", path.display());
    std::fs::write(bench.path("sysconfig.toml"), config + &bench.wants("bench", "text")).unwrap();
    let daemon = bench.start();
    let mut times: Vec<_> = (1..=BUILDS).map(|number| time_to_applied(&daemon, number)).collect();
    daemon.stop();
    times.sort_unstable();
    println!("{} {} {}", times.len(), times[times.len() / 2], times[times.len() - 1]);
}

/// The directory of the programs that were built together with this one.
fn programs() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_sysconfig")).parent().unwrap().to_owned()
}

/// A clone of the checkout, in which the bench's plugins are where cargo leaves them.
fn make_share(bench: &Bench) {
    let share = bench.path("share");
    let project = concat!(env!("CARGO_MANIFEST_DIR"), "/../../..");
    let cloned = program(Path::new("git")).args(["clone", "--quiet", "--local", project]).arg(&share).status().unwrap();
    assert!(cloned.success(), "the checkout cannot be cloned");
    let release = share.join(RELEASE);
    std::fs::create_dir_all(&release).unwrap();
    for entry in std::fs::read_dir(programs()).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with("sysconfig") && !name.contains('.') {
            std::fs::copy(entry.path(), release.join(name)).unwrap();
        }
    }
    std::fs::remove_dir(bench.path("plugins")).unwrap();
    std::os::unix::fs::symlink(release, bench.path("plugins")).unwrap();
}

fn serve(bench: &Bench) -> Running {
    let [log, socket, share] = ["diod.log", "socket", "share"].map(|name| bench.path(name));
    let mut command = program(Path::new("diod"));
    command.args(["-f", "-n", "-N", "-c", "/dev/null", "-L"]).arg(log).arg("-l").arg(&socket).arg("-e").arg(share);
    let server = start(command, bench.path("diod.out"));
    wait_for("the server", || UnixStream::connect(&socket).is_ok());
    server
}

/// Starts the mirror and waits for its first round.
fn mirror(bench: &Bench) -> Running {
    let [socket, share, repo] = ["socket", "share", "repo"].map(|name| bench.path(name));
    let mut command = program(&programs().join("ninep-mirror"));
    command.arg("--socket").arg(socket).arg("--tree").arg(share).arg("--dest").arg(&repo);
    // The first version of illumos' driver takes messages of this size.
    command.args(["--msize", "8192", "--user", &rustix::process::getuid().as_raw().to_string()]);
    let mirror = start(command, bench.path("mirror.log"));
    wait_for("the first round", || repo.join(".ninep-mirror/stamp").exists());
    mirror
}

fn start(mut command: std::process::Command, log: PathBuf) -> Running {
    let log = std::fs::File::create(log).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    Running(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
}

/// Links a build whose part is another one; answers when.
fn link_build(bench: &Bench, number: usize) -> u64 {
    bench.install_padded("bench", SIZE, &json!({ "prefix": format!("{number} ") }));
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn time_to_applied(daemon: &Daemon<'_>, number: usize) -> u64 {
    // Neither the mirror's nor the daemon's looks are to fall on the same moment every time.
    std::thread::sleep(Duration::from_millis(1000 + 71 * u64::try_from(number).unwrap()));
    let linked = link_build(daemon.bench, number);
    let applied = || daemon.plugin("bench").applied_unix_ms.filter(|at| *at >= linked);
    daemon.wait_for("the build", |_| applied().is_some());
    assert_eq!(daemon.bench.text("bench"), Some(format!("{number} text")));
    applied().unwrap() - linked
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < give_up, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
