//! `config check` refuses bad input with its place, through the plugin as a program.

use std::path::Path;
use sysconfig::config::{self, Sources};
use sysconfig::discovery::Search;
use sysconfig::offline::Plugins;
use sysconfig_protocol::admin::Problem;

fn judged(text: &str) -> Vec<Problem> {
    let directory = tempfile::tempdir().unwrap();
    let plugins = directory.path().join("plugins");
    std::fs::create_dir(&plugins).unwrap();
    let program = env!("CARGO_BIN_EXE_sysconfig-plugin-swap");
    std::fs::copy(program, plugins.join("sysconfig-plugin-swap")).unwrap();
    let file = directory.path().join("main.toml");
    std::fs::write(&file, text).unwrap();
    // A directory without a name does not exist, so the file is alone.
    let loaded = config::load(&Sources { file, directory: Path::new("").to_owned() }).unwrap();
    let search = Search { path: vec![plugins], allow_untrusted_owner: true };
    let mut plugins = Plugins::start(search, &loaded.settings.plugins.deadlines).unwrap();
    plugins.judge(&loaded)
}

#[test]
fn a_fault_has_its_line() {
    let found = judged("[[storage.swap]]\nfile = \"/var/swap\"\nsize = \"big\"\n");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].message.contains("is not a size"), "{found:?}");
    assert!(format!("{:?}", found[0].place).contains("line: 3"), "{found:?}");
    let good = judged("[[storage.swap]]\nfile = \"/var/swap\"\nsize = \"1 GiB\"\n");
    assert!(good.is_empty(), "{good:?}");
}
