//! What `sysconfigctl config check` tells of bad input, with the line: the program itself is asked.

use std::path::Path;

#[test]
fn bad_input_is_refused_at_its_line() {
    let first = "[[network.interface]]\nmatch = { name = \"net0\" }\naddresses = [\"192.0.2.10/24\"]\n";
    for (text, line, part) in [
        ("gateway = \"198.51.100.1\"\n", 4, "off-link"),
        ("mtu = 65536\n", 4, "more than a packet can have"),
        ("lease-deadline = \"3m\"\n", 4, "is not a time"),
        (
            "\n[[network.interface]]\nmatch = { name = \"net1\" }\naddresses = [\"192.0.2.11/33\"]\n",
            7,
            "is not a prefix length",
        ),
        ("\n[[network.interface]]\nmatch = { name = \"net1\" }\naddresses = [\"192.0.2.10/24\"]\n", 7, "also set in"),
    ] {
        let program = Path::new(env!("CARGO_BIN_EXE_sysconfig-plugin-interfaces"));
        let found = plugin_testing::judged(program, &format!("{first}{text}"));
        assert!(
            matches!(&found[..], [(at, message)] if *at == line && message.contains(part)),
            "{text}: {found:?} and not line {line}, {part}"
        );
        assert_eq!(plugin_testing::judged(program, first), []);
    }
}
