//! What `sysconfigctl config check` tells of bad input, with the line: the program itself is asked.

use plugin_testing::Target;
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
        (
            "\n[[network.interface]]\nmatch = { mac = \"2:0:0:0:0:1\" }\naddresses = [\"192.0.2.10/16\"]\n",
            7,
            "also set in",
        ),
        ("\n[[network.interface]]\nmatch = { first-up = true }\naddresses = [\"192.0.2.10/24\"]\n", 7, "also set in"),
        ("\n[[network.interface]]\nmatch = { name = \"net0\" }\n", 6, "the same link as in"),
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

/// The machine that runs the tests has no such link. That is told of this machine only, and not of one that is somewhere else.
#[test]
fn an_unknown_interface_is_refused_at_its_line() {
    let program = Path::new(env!("CARGO_BIN_EXE_sysconfig-plugin-interfaces"));
    let text = "[[network.interface]]\naddresses = [\"dhcp\"]\nmatch = { name = \"nosuch77\" }\n";
    let found = plugin_testing::problems(program, text, Target::ThisMachine);
    let [problem] = &found[..] else { panic!("{found:?}") };
    assert_eq!(problem.place.as_ref().map(|place| (place.line, place.column)), Some((3, 11)), "{problem:?}");
    assert!(problem.message.ends_with("this machine has no link nosuch77"), "{problem:?}");
    assert_eq!(plugin_testing::problems(program, text, Target::Another), []);
    assert_eq!(plugin_testing::problems(program, &format!("{text}hotplug = true\n"), Target::ThisMachine), []);
    // What is wrong in itself is told alone.
    let found = plugin_testing::problems(program, &format!("{text}mtu = 65536\n"), Target::ThisMachine);
    assert!(matches!(&found[..], [problem] if problem.message.contains("more than a packet can have")), "{found:?}");
}
