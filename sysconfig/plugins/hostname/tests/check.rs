//! What `sysconfigctl config check` tells of bad input, with the line: the program itself is asked.

use std::path::Path;

#[test]
fn bad_input_is_refused_at_its_line() {
    let program = Path::new(env!("CARGO_BIN_EXE_sysconfig-plugin-hostname"));
    let found = plugin_testing::judged(program, "# the machine\n[system]\nhostname = \"-web1\"\n");
    assert!(matches!(&found[..], [(3, message)] if message.contains("-web1")), "{found:?}");
    assert_eq!(plugin_testing::judged(program, "[system]\nhostname = \"web1\"\n"), []);
}
