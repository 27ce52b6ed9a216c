//! What `sysconfigctl config check` tells of bad input, with the line: the program itself is asked.

use std::path::Path;

#[test]
fn bad_input_is_refused_at_its_line() {
    let program = Path::new(env!("CARGO_BIN_EXE_sysconfig-plugin-dns"));
    let found = plugin_testing::judged(program, "[network.dns]\nservers = [\"192.0.2.1\"]\nsearch = [\"exa mple\"]\n");
    assert!(matches!(&found[..], [(3, message)] if message.contains("exa mple")), "{found:?}");
    let found = plugin_testing::judged(program, "[network.dns]\nservers = [\"192.0.2.300\"]\n");
    assert!(matches!(&found[..], [(2, message)] if message.contains("192.0.2.300")), "{found:?}");
    assert_eq!(plugin_testing::judged(program, "[network.dns]\nservers = [\"192.0.2.1\"]\n"), []);
}
