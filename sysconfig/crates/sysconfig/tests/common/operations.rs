//! What administrators, developers and accidents do.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use test_judge::Random;

use super::Bench;
use super::confirming::LONG_MS;
use super::world::NAMES;

/// What is in place of a plugin.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Build {
    Good,
    Prefixed,
    CannotUndo,
    DiesAtStart,
    FailsHello,
    DiesInValidate,
    Refuses,
    FailsStep,
    DiesInStep,
    Hangs,
}

/// What is done to the daemon and its machine.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Write(BTreeMap<&'static str, Option<String>>, bool),
    WriteNonsense,
    Reload,
    Hangup,
    Apply,
    ApplyWithin(u64),
    ApplyPlan(bool, Option<u64>),
    Plan,
    DryRun,
    Confirm,
    Undo,
    ObstructUndo(&'static str),
    LetUndo,
    Install(&'static str, Build),
    Remove(&'static str),
    PutBack(&'static str),
    Drift(&'static str, Option<String>),
    KillPlugin(&'static str),
    RestartPlugin(&'static str),
    StopAndStart,
    Kill,
    KillInApply(Option<u64>, u64),
}

/// Over before anybody could confirm.
pub(crate) const SHORT_MS: u64 = 30;

/// The operations of a sequence depend on the seed alone, whatever the daemon makes of them.
pub(crate) fn any(random: &mut Random) -> Operation {
    use Operation as To;
    let name = *random.pick(&NAMES);
    let within = *random.pick(&[SHORT_MS, LONG_MS, LONG_MS]);
    let builds = [
        Build::Good,
        Build::Good,
        Build::Prefixed,
        Build::CannotUndo,
        Build::DiesAtStart,
        Build::FailsHello,
        Build::DiesInValidate,
        Build::Refuses,
        Build::FailsStep,
        Build::DiesInStep,
        Build::Hangs,
    ];
    match random.below(46) {
        0..=8 => To::Write(NAMES.into_iter().map(|name| (name, any_text(random))).collect(), random.below(8) == 0),
        9 => To::WriteNonsense,
        10..=12 => To::Reload,
        13 => To::Hangup,
        14..=16 => To::Apply,
        17..=21 => To::ApplyWithin(within),
        22 => To::ApplyPlan(true, None),
        23 => To::ApplyPlan(false, Some(within).filter(|_| random.below(2) == 0)),
        24 | 25 => To::Plan,
        26 => To::DryRun,
        27..=29 => To::Confirm,
        30..=32 => To::Undo,
        33 => To::ObstructUndo(name),
        34 => To::LetUndo,
        35..=37 => To::Install(name, *random.pick(&builds)),
        38 => To::Remove(name),
        39 => To::PutBack(name),
        40 | 41 => To::Drift(name, Some(format!("drift {}", random.below(100))).filter(|_| random.below(4) > 0)),
        42 => [To::KillPlugin(name), To::RestartPlugin(name)][random.below(2)].clone(),
        43 => To::StopAndStart,
        44 => To::Kill,
        _ => To::KillInApply(Some(within).filter(|_| random.below(2) == 0), random.next_u64() % 40),
    }
}

pub(crate) fn any_text(random: &mut Random) -> Option<String> {
    match random.below(12) {
        0 => None,
        1 => Some("forbidden".to_owned()),
        // Few, so that what was there before comes again.
        _ => Some(format!("text {}", random.below(4))),
    }
}

pub(crate) fn write(bench: &Bench, texts: &BTreeMap<&'static str, Option<String>>, further: &str) {
    let tables = texts.iter().filter_map(|(name, text)| Some(bench.wants(name, text.as_ref()?))).collect::<String>();
    bench.configure_with("[plugins.deadlines]\napply = \"2s\"\nstop = \"3s\"\n", &format!("{tables}{further}"));
}

/// Puts a build in place; answers its name.
pub(crate) fn install(bench: &Bench, name: &str, build: Build, number: usize) -> String {
    let after: Vec<_> = NAMES.into_iter().take_while(|earlier| *earlier < name).collect();
    let mut script = json!({
        "version": format!("1.{number}.0"), "undo": true, "after": after, "calls": bench.path("calls"), "apply_sleep_ms": 3,
    });
    let mut set = |key: &str, value: Value| script[key] = value;
    match build {
        Build::Good | Build::FailsHello => (),
        Build::Prefixed => set("prefix", json!("more ")),
        Build::CannotUndo => set("undo", json!(false)),
        Build::DiesAtStart => set("die_at_start", json!(true)),
        Build::DiesInValidate => set("die_in_validate", json!(true)),
        Build::Refuses => set("refuse", json!(true)),
        Build::FailsStep => set("fail_after_writing_while", json!(bench.path("plugins"))),
        Build::DiesInStep => set("die_in_apply_while", json!(bench.path("plugins"))),
        Build::Hangs => set("hang_in_apply", json!(true)),
    }
    match build {
        Build::FailsHello => {
            bench.install_bytes(name, format!("#!/bin/sh\n# {number}\necho '{{}}' >&3\n").as_bytes());
        }
        _ => bench.install(name, &script),
    }
    let bytes = std::fs::read(bench.plugin_file(name)).unwrap();
    blake3::hash(&bytes).to_hex().chars().take(12).collect()
}
