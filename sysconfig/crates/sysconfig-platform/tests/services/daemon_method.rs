//! The method of `svc:/system/installer/sysconfig`.

use crate::guest::{Guest, with_each_shell};

fn with_each_guest(test: impl Fn(&Guest)) {
    with_each_shell("openindiana/sysconfig-method", test);
}

#[test]
fn what_the_daemon_ends_with_is_what_smf_is_told() {
    with_each_guest(|guest| {
        for status in [0, 1, 96] {
            let start = format!("env | grep SMF_ >>\"$LOG\"; echo said; exit {status}");
            guest.program("usr/lib/sysconfig-dev-start", &start);
            assert_eq!(guest.run(&["start"]), (Some(status), "said\n".to_owned()));
        }
        // And it does not take itself for a method.
        assert_eq!(guest.log(), "sysconfig-dev-start --smf\n".repeat(3));
    });
}

/// svc.startd puts a service whose refresh fails into maintenance, as good as it may work.
#[test]
fn a_refusal_of_the_new_configuration_leaves_the_service_online() {
    with_each_guest(|guest| {
        for status in [0, 1, 3] {
            guest.program("usr/sbin/sysconfigctl", &format!("exit {status}"));
            let (code, said) = guest.run(&["refresh"]);
            assert_eq!(code, Some(0), "sysconfigctl ended with {status}");
            let expected = match status {
                0 => String::new(),
                _ => format!(
                    "sysconfig: the new configuration is not in force (exit status {status}); see: sysconfigctl status\n"
                ),
            };
            assert_eq!(said, expected);
        }
        assert_eq!(guest.log(), "sysconfigctl --timeout 50 reload\n".repeat(3));
    });
}

#[test]
fn what_it_does_not_know_is_a_mistake_of_the_manifest() {
    with_each_guest(|guest| assert_eq!(guest.run(&["restart"]).0, Some(96)));
}
