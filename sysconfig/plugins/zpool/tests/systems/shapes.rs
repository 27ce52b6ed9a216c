//! Vdevs of kinds that are not compared as one would think: those of a pool that somebody has made of unlike ones, logs, and classes.

use crate::support::{Fixture, SYSTEMS, disk, tank};
use sysconfig_platform::System;

/// With the paths of a system.
fn long(system: System, text: &str) -> String {
    (0..13).rev().fold(text.to_owned(), |text, number| text.replace(&format!("#{number}"), &disk(system, number)))
}

#[test]
fn what_is_added_is_like_the_others_where_these_are_alike() {
    for (made, wanted, outcome) in [
        (
            "-f tank #0 mirror #1 #2",
            r##"vdevs = ["#0", { mirror = ["#1", "#2"] }, { mirror = ["#3", "#4"] }]"##,
            Ok("add"),
        ),
        (
            "-f tank #0 mirror #1 #2",
            r##"vdevs = ["#0", { mirror = ["#1", "#2"] }, { raidz1 = ["#3", "#4"] }]"##,
            Ok("add"),
        ),
        (
            "tank raidz #0 #1 #2",
            r##"vdevs = [{ raidz1 = ["#0", "#1", "#2"] }, { raidz2 = ["#3", "#4", "#5"] }]"##,
            Err("by force"),
        ),
        (
            "tank mirror #0 #1",
            r##"vdevs = [{ mirror = ["#0", "#1"] }, { mirror = ["#3", "#4", "#5"] }]"##,
            Err("by force"),
        ),
        // A log is like no other vdev, and is attached to and added to as it likes.
        (
            "tank raidz #0 #1 #2 log #3",
            "vdevs = [{ raidz1 = [\"#0\", \"#1\", \"#2\"] }]\nlog = [{ mirror = [\"#3\", \"#4\"] }]",
            Ok("attach"),
        ),
        (
            "tank raidz #0 #1 #2 log mirror #3 #4",
            "vdevs = [{ raidz1 = [\"#0\", \"#1\", \"#2\"] }]\nlog = [{ mirror = [\"#3\", \"#4\"] }, \"#5\"]",
            Ok("add"),
        ),
    ] {
        for system in SYSTEMS {
            let mut fixture = Fixture::start(system);
            fixture.machine.type_in(&long(system, &format!("zpool create {made}")));
            let text = tank(&long(system, wanted));
            match outcome {
                Ok(action) => {
                    let steps = fixture.plan(&text);
                    let actions: Vec<_> = steps.iter().map(|step| step.action.as_str()).collect();
                    assert_eq!(actions, [action], "{made}: {steps:?}");
                    fixture.converge(&text);
                    let commands = fixture.commands();
                    assert!(!commands.last().unwrap().contains(" -f"), "{commands:?}");
                }
                Err(why) => {
                    let refusals = fixture.refusals(&text);
                    assert!(refusals.len() == 1 && refusals[0].contains(why), "{made}: {refusals:?}");
                }
            }
        }
    }
}
