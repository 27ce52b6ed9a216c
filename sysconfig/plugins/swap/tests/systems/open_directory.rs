//! Files in directories to which others may write.

use crate::support::{Fixture, illumos, linux, summaries};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use sysconfig_plugin::Risk;

const FILE: &str = "[[storage.swap]]\nfile = \"/export/tmp/swap\"\nsize = \"64 MiB\"\n";
const UNFINISHED: &str = "/export/tmp/.swap.sysconfig-new";

/// Both systems with a file system that takes swap files, where `/shadow` is somebody's.
fn fixtures() -> [Fixture; 2] {
    [illumos(), linux()].map(|fixture| {
        let root = &fixture.host.root;
        fs::create_dir_all(root.locate("/export/tmp")).unwrap();
        let fstype = if fixture.host.system() == sysconfig_platform::System::Illumos { "ufs" } else { "ext4" };
        fixture.machine.storage(|storage| storage.add_mount("/dev/dsk/c9t0d0s0", "/export", fstype, &[]));
        fs::write(root.locate("/shadow"), "secret").unwrap();
        fixture
    })
}

fn set_mode(fixture: &Fixture, mode: u32) {
    fs::set_permissions(fixture.host.root.locate("/export/tmp"), Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_a_link_beside_the_file_leads_to_stays() {
    for mut fixture in fixtures() {
        symlink("/shadow", fixture.host.root.locate(UNFINISHED)).unwrap();
        fixture.converge(FILE);
        symlink("/shadow", fixture.host.root.locate(UNFINISHED)).unwrap();
        fixture.converge(&FILE.replace("64", "128"));
        symlink("/shadow", fixture.host.root.locate(UNFINISHED)).unwrap();
        let absent = format!("{FILE}absent = true\nallow-destructive = true\n");
        fixture.converge_up_to(&absent, Risk::Destructive);
        assert_eq!(fixture.read("/shadow"), "secret");
    }
}

#[test]
fn nothing_is_made_changed_or_destroyed_where_others_may_write() {
    for mut fixture in fixtures() {
        set_mode(&fixture, 0o1777);
        let said = "leave /export/tmp/swap alone: others than root may write to /export/tmp";
        assert_eq!(summaries(&fixture.plan(FILE)), [said]);
        set_mode(&fixture, 0o755);
        let steps = fixture.plan(FILE);
        set_mode(&fixture, 0o1777);
        let error = fixture.harness.apply(&steps[0]).unwrap_err();
        assert!(error.message.contains("others than root may write"), "{error:?}");
        set_mode(&fixture, 0o755);
        fixture.converge(FILE);
        set_mode(&fixture, 0o777);
        assert_eq!(summaries(&fixture.plan(FILE)), [""; 0], "what is in use goes on being used");
        let absent = format!("{FILE}absent = true\nallow-destructive = true\n");
        assert_eq!(summaries(&fixture.plan(&absent)), [said]);
    }
}
