//! `config check` refuses bad input with its place, through the plugin as a program.

use std::path::Path;

fn judged(text: &str) -> Vec<(usize, String)> {
    plugin_testing::judged(Path::new(env!("CARGO_BIN_EXE_sysconfig-plugin-swap")), text)
}

#[test]
fn a_fault_has_its_line() {
    let found = judged("[[storage.swap]]\nfile = \"/var/swap\"\nsize = \"big\"\n");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].0 == 3 && found[0].1.contains("is not a size"), "{found:?}");
    let good = judged("[[storage.swap]]\nfile = \"/var/swap\"\nsize = \"1 GiB\"\n");
    assert!(good.is_empty(), "{good:?}");
}
