//! The namespaces, zfs-fuse in them, and the plugin in front of it.

use plugin_testing::namespace;
use process_runner::CommandError;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use sysconfig_platform::hostname::KernelNodeName;
use sysconfig_platform::{Completed, Host, Invocation, ProcessRunner, Root, Runner, System};
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin_zpool::ZpoolPlugin;

/// How long anything may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the devices of a scenario are, in a file system of its own.
pub(crate) const DISKS: &str = "/run/disks";

/// Where `zfs-fuse`, its `zpool` and its `zfs` are.
pub(crate) fn programs() -> Option<PathBuf> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../image-builder/target/judges/zfs-fuse");
    if std::env::var_os("ZFS_FUSE").is_none() && unpacked.join("zfs-fuse").exists() {
        return unpacked.canonicalize().ok();
    }
    let hint = "zfs-fuse, which bench/zfs-fuse image-builder/target/judges/zfs-fuse unpacks";
    test_judge::find("zfs-fuse", hint)?.parent().map(Path::to_owned)
}

/// Runs a scenario in new namespaces, or says why not.
pub(crate) fn run(scenario: &str) {
    let Some(programs) = programs() else { return };
    if !Path::new("/dev/fuse").exists() {
        return test_judge::skip("there is no /dev/fuse");
    }
    let zfs = programs.join("zfs-fuse");
    namespace::run(scenario, &[], &[], &[("ZFS_FUSE", zfs.as_os_str())]);
}

/// Runs a script. In it, `again COMMAND` tries until it works: a file system in user space is busy for a moment after
/// everything.
pub(crate) fn sh(script: &str) -> String {
    let script = format!("again() {{ until \"$@\"; do sleep 0.2; done; }}\n{script}");
    let path = format!("export PATH={}:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C", programs().unwrap().display());
    namespace::sh(&format!("{path}\n{script}"))
}

/// Waits until something is so.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what} has not come about");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Starts zfs-fuse, and makes blank devices of 100 MiB.
pub(crate) fn build(devices: &[&str]) {
    sh("mount -t tmpfs none /run && mkdir -p /run/zfs /run/lock/zfs /run/disks /run/mounted /etc/zfs /var/lib/zfs
        if [ ! -e /var/run/zfs ]; then mkdir -p /var/run && mount -t tmpfs none /var/run && mkdir -p /var/run/zfs; fi
        mkdir -p /var/lock/zfs
        for directory in /etc/zfs /var/lib/zfs; do mount -t tmpfs none $directory; done
        zfs-fuse -n >/run/zfs-fuse.log 2>&1 </dev/null &");
    eventually("an answer of zfs-fuse", || {
        let listed = ProcessRunner.run(&Invocation::new(tool("zpool"), ["list"]));
        listed.is_ok_and(|done| done.code == 0).then_some(())
    });
    for device in devices {
        sh(&format!("truncate -s 100M {DISKS}/{device}"));
    }
}

fn tool(name: &str) -> String {
    programs().unwrap().join(name).display().to_string()
}

/// The commands of 2010, in front of which today's are spoken: `-P` and `-p` came later, and so did columns of one's
/// own choice. What they do is done by the real ones.
#[derive(Debug)]
struct OldCommands;

impl Runner for OldCommands {
    fn run(&self, invocation: &Invocation) -> Result<Completed, CommandError> {
        let name = invocation.program.rsplit('/').next().unwrap_or_default();
        let args: Vec<&str> = invocation.args.iter().map(String::as_str).collect();
        let run = |args: Vec<&str>| {
            let invocation = Invocation { deadline: PATIENCE, ..Invocation::new(tool(name), args) };
            ProcessRunner.run(&invocation)
        };
        match (name, args.as_slice()) {
            ("zpool", ["status", "-P"]) => run(vec!["status"]),
            ("zpool", ["get", "-Hp", "-o", "name,property,value,source", "all", pools @ ..]) => {
                let answer = run([&["get", "all"], pools].concat())?;
                let rows = answer.stdout.lines().skip(1).filter_map(tabs).collect();
                Ok(Completed { stdout: rows, ..answer })
            }
            // It guesses another sector size for the new device than it has used for the old one.
            ("zpool", ["replace", rest @ ..]) => run([&["replace", "-o", "ashift=9"], rest].concat()),
            ("zpool" | "zfs", args) => run(args.to_vec()),
            _ => ProcessRunner.run(invocation),
        }
    }
}

/// A row of aligned columns with tabs between them.
fn tabs(row: &str) -> Option<String> {
    let words: Vec<_> = row.split_whitespace().collect();
    let [pool, property, value @ .., source] = words.as_slice() else { return None };
    Some(format!("{pool}\t{property}\t{}\t{source}\n", value.join(" ")))
}

pub(crate) fn plugin() -> Harness {
    let host = Host::assembled(System::Linux, Root::default(), Arc::new(OldCommands), Arc::new(KernelNodeName));
    Harness::start(ZpoolPlugin::new(host))
}

pub(crate) fn config(text: &str) -> Value {
    plugin_testing::config(&text.replace('@', DISKS), &["storage.pool"])
}

/// A configuration of one pool named `tank`, its devices written `@/d0`.
pub(crate) fn tank(rest: &str) -> String {
    format!("[[storage.pool]]\nname = \"tank\"\n{rest}\n")
}

/// Applies, and checks that nothing is left to do; answers what was done, and what was warned of.
pub(crate) fn converge(harness: &mut Harness, text: &str) -> (Vec<String>, Vec<String>) {
    let config = config(text);
    assert_eq!(harness.validate(config.clone()), [], "{text}");
    harness.configure(config);
    let converged = harness.converge().unwrap_or_else(|error| panic!("{error:?}\n{}", sh("zpool status")));
    let errors: Vec<_> = converged.diagnostics.iter().filter(|found| found.is_error()).collect();
    assert!(errors.is_empty(), "{errors:?}\n{}", sh("zpool status"));
    let left = harness.plan().unwrap();
    assert!(left.is_empty(), "the second plan is empty: {left:#?}");
    let done = converged.steps.into_iter().map(|(step, _)| step.summary).collect();
    (done, converged.diagnostics.into_iter().map(|found| found.message).collect())
}
