//! What is tried on the real system.

use crate::world::{build, config, converge, needs_filesystem};
use plugin_testing::namespace::sh;
use process_runner::Command;
use std::time::{Duration, Instant};

const NOTHING: &str = "[storage]\nmount = []\n";
const TABLE: &str = "theirs  /theirs\text4 ro 0 0 # mine\n";

pub(crate) fn tmpfs() {
    let mut harness = build();
    let text = "[[storage.mount]]\ndevice = \"tmpfs\"\nmountpoint = \"/mnt/w/a b\"\ntype = \"tmpfs\"\n\
        options = [\"size=1m\", \"mode=0700\", \"nosuid\"]\n";
    converge(&mut harness, text);
    assert_eq!(sh("stat -f -c %T '/mnt/w/a b'").trim(), "tmpfs");
    assert_eq!(
        std::fs::read_to_string("/etc/fstab").unwrap(),
        format!("{TABLE}tmpfs\t/mnt/w/a\\040b\ttmpfs\tsize=1m,mode=0700,nosuid\t0\t0\n")
    );
    // The row is judged by the program that will read it.
    sh("umount '/mnt/w/a b'; mount '/mnt/w/a b'");
    assert_eq!(converge(&mut harness, text), [""; 0], "what the row mounts is what was asked for");
    let done = converge(&mut harness, &text.replace("1m", "2m"));
    assert_eq!(done[0], "change the options of /mnt/w/a b");
    assert_eq!(sh("df --output=size -k '/mnt/w/a b' | tail -1").trim(), "2048");
    sh("mount -o remount,ro '/mnt/w/a b'");
    assert_eq!(converge(&mut harness, &text.replace("1m", "2m")), ["change the options of /mnt/w/a b"], "drift");
    converge(&mut harness, NOTHING);
    assert_eq!(std::fs::read_to_string("/etc/fstab").unwrap(), TABLE);
    assert!(!std::path::Path::new("/mnt/w/a b").exists());
}

pub(crate) fn bind() {
    let mut harness = build();
    sh("mkdir -p /mnt/w/src/deep; echo hello > /mnt/w/src/deep/file");
    let text = "[[storage.mount]]\ndevice = \"/mnt/w/src\"\nmountpoint = \"/mnt/w/dst\"\ntype = \"bind\"\noptions = [\"ro\"]\n";
    converge(&mut harness, text);
    assert_eq!(sh("cat /mnt/w/dst/deep/file").trim(), "hello");
    sh("! touch /mnt/w/dst/x 2>/dev/null; touch /mnt/w/src/x");
    sh("umount /mnt/w/dst; mount /mnt/w/dst");
    assert_eq!(converge(&mut harness, text), [""; 0]);
    // Something of somebody else's in its place is no bind mount of ours.
    sh("umount /mnt/w/dst; mount -t tmpfs none /mnt/w/dst");
    harness.configure(config(text));
    let steps = harness.plan().unwrap();
    assert!(steps[0].summary.contains("is not ours"), "{steps:?}");
    sh("umount /mnt/w/dst");
    let deeper = text.replace("/mnt/w/src", "/mnt/w/src/deep");
    converge(&mut harness, &deeper);
    assert_eq!(sh("cat /mnt/w/dst/file").trim(), "hello");
    converge(&mut harness, NOTHING);
}

pub(crate) fn spelling() {
    let mut harness = build();
    sh("printf 'root:x:0:0::/:/bin/sh\nalice:x:1234:1234::/:/bin/sh\n' > /etc/passwd; mkdir -p /mnt/w/src");
    let entry = |device: &str, point: &str, fstype: &str, options: &str| {
        format!(
            "[[storage.mount]]\ndevice = \"{device}\"\nmountpoint = \"/mnt/w/{point}\"\ntype = \"{fstype}\"\noptions = [{options}]\n"
        )
    };
    let texts = [
        entry("tmpfs", "a", "tmpfs", "\"size=1000000\", \"nr_inodes=1m\", \"mode=0700\", \"uid=alice\""),
        entry("tmpfs", "b", "tmpfs", "\"size=25%\", \"strictatime\", \"nodev\""),
        entry("tmpfs", "c", "tmpfs", "\"noatime\", \"nodiratime\", \"nr_blocks=1k\""),
        entry("/mnt/w/src", "d", "bind", "\"noatime\", \"noexec\""),
    ];
    for text in &texts {
        // Which asks for a second plan, too.
        converge(&mut harness, text);
    }
    let all = texts.concat();
    converge(&mut harness, &all);
    let shown = sh("grep ' /mnt/w/' /proc/self/mountinfo");
    assert!(shown.contains("size=980k,nr_inodes=1048576") && shown.contains("uid=1234"), "{shown}");
    // Of another mount at the place nobody could tell what its share of the memory was, so this comes first.
    sh("mount -o remount,size=8k /mnt/w/b");
    assert_eq!(converge(&mut harness, &all), ["change the options of /mnt/w/b"]);
    sh("for d in a b c d; do umount /mnt/w/$d; done
        for d in a b c d; do mount /mnt/w/$d; done");
    assert_eq!(converge(&mut harness, &all), [""; 0], "what the rows mount is what was asked for");
    // What is no longer wanted is gone, times of access among it.
    let without = all.replace("\"noatime\", \"nodiratime\", ", "").replace("\"strictatime\", \"nodev\"", "\"nosuid\"");
    let done = converge(&mut harness, &without);
    assert!(done.contains(&"change the options of /mnt/w/c".to_owned()), "{done:?}");
    assert!(sh("grep ' /mnt/w/c ' /proc/self/mountinfo").contains("rw,relatime "));
    assert!(sh("grep ' /mnt/w/b ' /proc/self/mountinfo").contains("rw,nosuid,relatime "));
    converge(&mut harness, NOTHING);
    assert_eq!(std::fs::read_to_string("/etc/fstab").unwrap(), TABLE);
}

pub(crate) fn link() {
    let mut harness = build();
    sh("mkdir -p /mnt/w/real; ln -s real /mnt/w/link");
    let text = "[[storage.mount]]\ndevice = \"tmpfs\"\nmountpoint = \"/mnt/w/link/x\"\ntype = \"tmpfs\"\n\
        [[storage.mount]]\ndevice = \"/mnt/w/link\"\nmountpoint = \"/mnt/w/again\"\ntype = \"bind\"\n";
    converge(&mut harness, text);
    sh("touch /mnt/w/link/x/file");
    assert_eq!(sh("grep -c ' /mnt/w/real/x ' /proc/self/mountinfo").trim(), "1");
    assert_eq!(converge(&mut harness, text), [""; 0]);
    sh("rm /mnt/w/link/x/file; umount /mnt/w/real/x; mount /mnt/w/real/x");
    assert_eq!(converge(&mut harness, text), [""; 0], "the row mounts the same");
    converge(&mut harness, NOTHING);
    assert_eq!(std::fs::read_to_string("/etc/fstab").unwrap(), TABLE);
}

/// A file system in a file, which `mount` puts a loop device under.
pub(crate) fn disk(fstype: &str, make: &str) {
    needs_filesystem(fstype);
    let mut harness = build();
    sh(&format!("truncate -s 16M /mnt/w/disk; {make} /mnt/w/disk >/dev/null"));
    let text = format!(
        "[[storage.mount]]\ndevice = \"/mnt/w/disk\"\nmountpoint = \"/mnt/w/at\"\ntype = \"{fstype}\"\noptions = [\"noatime\"]\n"
    );
    converge(&mut harness, &text);
    sh("echo hello > /mnt/w/at/file");
    assert_eq!(converge(&mut harness, &text), [""; 0], "the file behind the loop device is known");
    let read_only = text.replace("\"noatime\"", "\"noatime\", \"ro\"");
    assert_eq!(converge(&mut harness, &read_only)[0], "change the options of /mnt/w/at");
    sh("! touch /mnt/w/at/x 2>/dev/null");
    // Written by somebody else meanwhile: the wrong kind of file system is told, and nothing is left behind.
    converge(&mut harness, NOTHING);
    sh("head -c 16M /dev/zero > /mnt/w/disk");
    harness.configure(config(&text));
    let error = harness.converge().unwrap_err();
    assert!(error.message.contains("cannot mount /mnt/w/disk on /mnt/w/at"), "{error:?}");
    assert!(!std::path::Path::new("/mnt/w/at").exists());
    assert_eq!(std::fs::read_to_string("/etc/fstab").unwrap(), TABLE);
}

pub(crate) fn iso() {
    needs_filesystem("iso9660");
    let mut harness = build();
    sh("mkdir /mnt/w/tree; echo hello > /mnt/w/tree/file
        xorriso -as mkisofs -quiet -R -o /mnt/w/cd.iso /mnt/w/tree 2>/dev/null");
    let text = "[[storage.mount]]\ndevice = \"/mnt/w/cd.iso\"\nmountpoint = \"/mnt/w/cd\"\ntype = \"iso9660\"\noptions = [\"ro\"]\n";
    converge(&mut harness, text);
    assert_eq!(sh("cat /mnt/w/cd/file").trim(), "hello");
    converge(&mut harness, NOTHING);
}

pub(crate) fn busy() {
    let mut harness = build();
    let text = "[[storage.mount]]\ndevice = \"tmpfs\"\nmountpoint = \"/mnt/w/busy\"\ntype = \"tmpfs\"\n";
    converge(&mut harness, text);
    // The process ends with the namespace at the latest.
    let holder = std::thread::spawn(|| {
        let script = "cd /mnt/w/busy; touch here; exec sleep 240";
        let _ = Command::new("/bin/sh").args(["-c", script]).deadline(Duration::from_secs(250)).run_any();
    });
    let until = Instant::now() + Duration::from_secs(30);
    while !std::path::Path::new("/mnt/w/busy/here").exists() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    harness.configure(config(NOTHING));
    let error = harness.converge().unwrap_err();
    assert!(error.message.contains("what is in /mnt/w/busy is in memory only"), "{error:?}");
    sh("rm /mnt/w/busy/here");
    let error = harness.converge().unwrap_err();
    let expected = ["sleep (process ", "sh (process "];
    assert!(expected.iter().any(|name| error.message.contains(name)), "{error:?}");
    assert!(sh("grep -c /mnt/w/busy /proc/self/mountinfo").trim() == "1", "never by force");
    sh("for p in /proc/[0-9]*; do [ \"$(readlink $p/cwd)\" = /mnt/w/busy ] && kill ${p#/proc/}; done; true");
    holder.join().unwrap();
    converge(&mut harness, NOTHING);
}

/// Loop devices, which the namespace does not take with it.
struct Loops(Vec<String>);

impl Drop for Loops {
    fn drop(&mut self) {
        for device in &self.0 {
            // One that is still mounted goes with its mount.
            let _ = Command::new("losetup").args(["-d", device]).run_any();
        }
    }
}

/// Two devices of one file are to the kernel two disks, as two paths to one disk are: mounted both, each would destroy what the
/// other one has written.
pub(crate) fn paths() {
    needs_filesystem("ext4");
    let mut harness = build();
    // Loop devices of all namespaces are seen, so that no other run may have a file of this name.
    let image = format!("/mnt/w/image-{}", std::process::id());
    sh(&format!("mkdir /mnt/w/one; truncate -s 64M {image}; mkfs.ext4 -q {image}"));
    let attach = || sh(&format!("losetup --find --show {image}")).trim().to_owned();
    let loops = Loops(vec![attach(), attach()]);
    let [one, other] = &loops.0[..] else { unreachable!() };
    sh(&format!("mount {one} /mnt/w/one"));
    let looked = sysconfig_platform::device::look(&sysconfig_platform::Host::current().unwrap(), other);
    let said = format!("it is in use as {one}, which is another path to it of the same file");
    assert_eq!(looked.content().and_then(|content| content.used.as_deref()), Some(said.as_str()));
    let text = format!("[[storage.mount]]\ndevice = \"{other}\"\nmountpoint = \"/mnt/w/other\"\ntype = \"ext4\"\n");
    harness.configure(config(&text));
    let error = harness.converge().unwrap_err();
    assert!(error.message.contains(&said), "{error:?}");
    sh("! grep -q /mnt/w/other /proc/self/mountinfo; umount /mnt/w/one");
    harness.converge().unwrap();
    assert_eq!(sh("stat -f -c %T /mnt/w/other").trim(), "ext2/ext3");
    harness.configure(config(NOTHING));
    harness.converge().unwrap();
}
