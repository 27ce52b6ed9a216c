//! `config check` refuses bad input with its place, through the plugin as a program.

use std::path::Path;

fn judged(text: &str) -> Vec<(usize, String)> {
    plugin_testing::judged(Path::new(env!("CARGO_BIN_EXE_sysconfig-plugin-filesystem")), text)
}

#[test]
fn a_fault_has_its_line() {
    let found = judged(
        "[[storage.dataset]]\nname = \"tank/a\"\n\n[[storage.mount]]\ndevice = \"swap\"\nmountpoint = \"tmp\"\ntype = \"tmpfs\"\n",
    );
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].0 == 6 && found[0].1.contains("cannot be a mount point"), "{found:?}");
    let good = judged(
        "[[storage.dataset]]\nname = \"tank/a\"\n\n[[storage.mount]]\ndevice = \"swap\"\nmountpoint = \"/tmp\"\ntype = \"tmpfs\"\n",
    );
    assert!(good.is_empty(), "{good:?}");
}
