//! Drivers and their tables.

use crate::image::Image;

/// The tables of an image on which no driver was added yet.
pub(crate) fn with_drivers() -> Image {
    let mut image = Image::with_accounts();
    image.put("etc/name_to_major", "# comment\nclone 0\nsd 1\nst 3\n");
    image.put("etc/rem_name_to_major", "old 7\ngone 2\n");
    image.put("etc/driver_aliases", "sd \"scsiclass,00\"\n");
    image.put("etc/driver_classes", "sd\tscsi\n");
    image.put("etc/minor_perm", "sd:* 0640 root sys\nclone:x 0600 root sys\n");
    image.put("etc/devlink.tab", "# links\n");
    image.put("etc/security/device_policy", "*\tread_priv_set=none\twrite_priv_set=none\n");
    image
}

#[test]
fn drivers_are_added_to_the_tables() {
    let mut image = with_drivers();
    let manifest = "driver name=honet alias=pci1,2 alias=pci3,4 class=net perms=\"* 0666 root sys\" privs=sys_net_config \
        clone_perms=\"honet 0666 root sys\" clone_perms=\"0600 root sys\" devlink=\"type=ddi_pseudo;name=honet\\thonet\" \
        policy=\"read_priv_set=net_rawaccess write_priv_set=net_rawaccess\" policy=\"ctl read_priv_set=all\"\n\
        driver name=gone\n";
    image.change(&[("a", manifest)]).unwrap();
    assert_eq!(image.warnings, Vec::<String>::new());
    let tables = [
        ("etc/name_to_major", "# comment\nclone 0\nsd 1\nst 3\ngone 2\nhonet 4\n"),
        ("etc/rem_name_to_major", "old 7\n"),
        ("etc/driver_aliases", "sd \"scsiclass,00\"\nhonet \"pci1,2\"\nhonet \"pci3,4\"\n"),
        ("etc/driver_classes", "sd\tscsi\nhonet\tnet\n"),
        (
            "etc/minor_perm",
            "sd:* 0640 root sys\nclone:x 0600 root sys\nhonet:* 0666 root sys\nclone:honet 0600 root sys\n",
        ),
        ("etc/security/extra_privs", "honet:sys_net_config\n"),
        ("etc/devlink.tab", "# links\ntype=ddi_pseudo;name=honet\thonet\n"),
        (
            "etc/security/device_policy",
            "*\tread_priv_set=none\twrite_priv_set=none\n\
             honet:*\tread_priv_set=net_rawaccess\twrite_priv_set=net_rawaccess\nhonet:ctl\tread_priv_set=all\n",
        ),
        ("reconfigure", ""),
    ];
    for (path, expected) in tables {
        assert_eq!(image.text(path), expected, "{path}");
    }
    // An update takes back what the package said before; an alias may move to another driver.
    image
        .change(&[
            ("a/2", "driver name=honet alias=pci1,2 perms=\"* 0600 root sys\""),
            ("b", "driver name=anet alias=pci3,4"),
        ])
        .unwrap();
    assert_eq!(image.warnings, Vec::<String>::new());
    assert_eq!(image.text("etc/driver_aliases"), "sd \"scsiclass,00\"\nhonet \"pci1,2\"\nanet \"pci3,4\"\n");
    assert_eq!(image.text("etc/minor_perm"), "sd:* 0640 root sys\nclone:x 0600 root sys\nhonet:* 0600 root sys\n");
    assert_eq!(image.text("etc/devlink.tab"), "# links\n");
    image.change(&[]).unwrap();
    assert_eq!(image.text("etc/name_to_major"), "# comment\nclone 0\nsd 1\nst 3\n");
    assert_eq!(image.text("etc/rem_name_to_major"), "old 7\ngone 2\nanet 5\nhonet 4\n");
    assert_eq!(image.text("etc/driver_aliases"), "sd \"scsiclass,00\"\n");
}

#[test]
fn drivers_that_are_there_get_what_they_lack() {
    let mut image = with_drivers();
    image
        .change(&[("a", "driver name=sd alias=scsiclass,00 alias=scsiclass,05 perms=\"* 0640 root sys\" class=scsi")])
        .unwrap();
    assert_eq!(image.text("etc/name_to_major"), "# comment\nclone 0\nsd 1\nst 3\n");
    assert_eq!(image.text("etc/driver_aliases"), "sd \"scsiclass,00\"\nsd \"scsiclass,05\"\n");
    assert_eq!(image.text("etc/minor_perm"), "sd:* 0640 root sys\nclone:x 0600 root sys\n");
    assert_eq!(image.text("etc/driver_classes"), "sd\tscsi\n");
    // What somebody gave a driver before it was packaged goes, but for aliases.
    let mut image = with_drivers();
    image.put("etc/driver_classes", "sd\tscsi\nsd\told\n");
    image.put(
        "etc/minor_perm",
        "sd:* 0640 root sys\nsd:x 0600 root sys\nclone:sd 0600 root sys\nclone:x 0600 root sys\n",
    );
    image.put("etc/security/extra_privs", "sd:file_read\nst:file_read\n");
    image.put("etc/security/device_policy", "sd:a\tread_priv_set=x\nsd:*\tread_priv_set=y\nst\tread_priv_set=z\n");
    image.change(&[("a", "driver name=sd perms=\"* 0640 root sys\" class=scsi policy=read_priv_set=y")]).unwrap();
    assert_eq!(image.text("etc/driver_aliases"), "sd \"scsiclass,00\"\n");
    assert_eq!(image.text("etc/driver_classes"), "sd\tscsi\n");
    assert_eq!(image.text("etc/minor_perm"), "sd:* 0640 root sys\nclone:x 0600 root sys\n");
    assert_eq!(image.text("etc/security/extra_privs"), "st:file_read\n");
    assert_eq!(image.text("etc/security/device_policy"), "sd:*\tread_priv_set=y\nst\tread_priv_set=z\n");
}

#[test]
fn drivers_that_are_refused_change_nothing() {
    for (action, expected) in [
        ("driver name=x alias=sd", "`sd` cannot be an alias"),
        ("driver name=scsiclass,00", "its name is an alias of another"),
        ("driver name=x perms=\"* 0666 root\"", "is not a minor name, mode, owner and group"),
        ("driver name=x perms=\"* 0666 root sys,y\"", "is not a minor name, mode, owner and group"),
        ("driver name=\"a b\"", "cannot be the name of a driver"),
        ("driver name=x policy=\"\"", "it has an empty policy"),
    ] {
        let mut image = with_drivers();
        let before = image.tree.clone();
        image.change(&[("a", action)]).unwrap();
        assert!(image.warnings[0].contains(expected), "{:?}", image.warnings);
        assert_eq!(image.tree, before);
    }
    let mut image = Image::with_accounts();
    image.change(&[("a", "driver name=x")]).unwrap();
    assert!(image.warnings[0].contains("there is no /etc/name_to_major"));
    // An unpackaged driver gives way.
    let mut image = with_drivers();
    image.change(&[("a", "driver name=x alias=scsiclass,00")]).unwrap();
    assert_eq!(image.text("etc/driver_aliases"), "# pkg(5): sd \"scsiclass,00\"\nx \"scsiclass,00\"\n");
    // In a zone there are no drivers.
    let mut image = with_drivers();
    image.variants.set("opensolaris.zone", "nonglobal");
    let before = image.tree.clone();
    image.change(&[("a", "driver name=x")]).unwrap();
    assert_eq!(image.tree, before);
}
