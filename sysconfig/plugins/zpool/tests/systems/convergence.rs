//! Whatever a machine is like and whatever valid configuration comes: the machine becomes so and nothing is left, or it is
//! refused, with a reason, and not one byte of a device changes. Which of the two, and which pool it is then, an oracle says
//! that knows the rules and not the plugin.

mod wishes;

use crate::support::{Fixture, disk};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use sysconfig_platform::System;
use sysconfig_platform::fake::storage::{Pool, Storage};
use sysconfig_platform::zpool::Kind;
use wishes::{Before, DISKS, Guid, Meanwhile, Wish, before, round};

/// What must come of the pool that a wish names.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// It is there already, and remains that very pool.
    Kept(u64),
    /// This one is imported.
    Imported(u64),
    /// It is made.
    Made,
    /// Nothing happens.
    Refused,
}

/// A machine, and what the test has done to its disks.
struct World {
    fixture: Fixture,
    system: System,
    /// Disks that hold something of nobody's pool.
    scribbled: BTreeSet<usize>,
    pulled: BTreeSet<usize>,
    /// Whether content may be lost.
    allowed: bool,
}

impl World {
    fn new(before: &Before, system: System) -> Self {
        let fixture = Fixture::start(system);
        let mut world =
            Self { fixture, system, scribbled: BTreeSet::new(), pulled: BTreeSet::new(), allowed: before.allowed };
        let width = before.pool.map_or(0, |(.., width)| width);
        if let Some((name, is_exported, width)) = before.pool {
            let disks: Vec<_> = (0..width).map(|at| disk(system, at)).collect();
            let kind = if width > 1 { "mirror " } else { "" };
            world.type_in(&format!("zpool create {name} {kind}{}", disks.join(" ")));
            if is_exported {
                world.type_in(&format!("zpool export {name}"));
            }
        }
        // Not where a pool is: that is damage, and another matter.
        for at in before.scribbled.iter().copied().filter(|at| *at >= width) {
            world.fixture.machine.storage(|storage| storage.scribble(&disk(system, at), 1080, &[0x53, 0xef]));
            world.scribbled.insert(at);
        }
        if let Some(at) = before.pulled {
            world.pull(at, false);
        }
        world
    }

    fn type_in(&self, line: &str) {
        self.fixture.machine.type_in(line);
    }

    fn pull(&mut self, at: usize, is_back: bool) {
        let path = disk(self.system, at);
        self.fixture.machine.storage(|storage| storage.pull(&path, is_back));
        if is_back {
            self.pulled.remove(&at)
        } else {
            self.pulled.insert(at)
        };
    }

    /// What somebody does behind the plugin's back. The system has noticed what is gone when the plugin comes.
    fn interfere(&mut self, meanwhile: Meanwhile) {
        self.do_it(meanwhile);
        self.type_in("zpool status -P");
    }

    fn do_it(&mut self, meanwhile: Meanwhile) {
        let names: Vec<String> = self.look(|storage| storage.pools.keys().cloned().collect());
        let free = |name: &&&str| !names.iter().any(|known| known == **name);
        match (meanwhile, names.iter().find(|name| *name != "rpool")) {
            (Meanwhile::Nothing, _) => {}
            (Meanwhile::Pull(at), _) => self.pull(at, self.pulled.contains(&at)),
            (_, None) => {}
            (Meanwhile::Export, Some(name)) => self.type_in(&format!("zpool export {name}")),
            (Meanwhile::Destroy, Some(name)) => self.type_in(&format!("zpool destroy {name}")),
            (Meanwhile::Set, Some(name)) => self.type_in(&format!("zpool set autoexpand=off {name}")),
            (Meanwhile::Rename, Some(name)) => {
                let guid = self.look(|storage| storage.pools[name].guid);
                let is_whole = self.look(|storage| storage.pools[name].health() != "UNAVAIL");
                self.type_in(&format!("zpool export {name}"));
                let can_come = is_whole && self.look(|storage| can_be_imported(storage, guid));
                if let Some(other) = ["data", "tank", "theirs"].iter().find(free).filter(|_| can_come) {
                    self.type_in(&format!("zpool import {guid} {other}"));
                }
            }
        }
    }

    fn look<T>(&self, look: impl FnOnce(&mut Storage) -> T) -> T {
        self.fixture.machine.storage(look)
    }

    /// Both ends of every disk that is there.
    fn all_bytes(&self) -> Vec<Vec<u8>> {
        let there = (0..DISKS).filter(|at| !self.pulled.contains(at));
        self.look(|storage| there.map(|at| storage.ends_of(&disk(self.system, at))).collect())
    }

    /// The pools that are imported, but for one.
    fn others(&self, name: &str) -> BTreeMap<String, Pool> {
        let not_it = |(other, _): &(&String, &Pool)| *other != name;
        self.look(|storage| {
            storage.pools.iter().filter(not_it).map(|(name, pool)| (name.clone(), pool.clone())).collect()
        })
    }

    /// What a pool calls a disk that it is given.
    fn member(&self, at: usize) -> String {
        let behind = if self.system == System::Illumos { "s0" } else { "-part1" };
        format!("{}{behind}", disk(self.system, at))
    }

    fn has(&self, pool: &Pool, at: usize) -> bool {
        pool.devices().iter().any(|device| device.path == self.member(at) && !device.lost)
    }

    /// Whether a disk bears the name of a pool; caches and spares do not.
    fn is_named_on(&self, pool: &Pool, at: usize) -> bool {
        let apart = pool.cache.iter().chain(&pool.spares);
        self.has(pool, at) && apart.into_iter().all(|device| device.path != self.member(at))
    }

    fn guid(&self, wish: &Wish) -> Option<u64> {
        match wish.guid {
            Guid::Any => None,
            Guid::Nowhere => Some(5),
            // Of whatever pool there is.
            Guid::Real => self.look(|storage| {
                let known =
                    storage.exported.first().or_else(|| storage.pools.values().find(|pool| pool.name != "rpool"));
                known.map(|pool| pool.guid)
            }),
        }
    }

    /// The rules of the documentation: a guid names one pool wherever it is; a name means what is imported under it, else what
    /// bears it on one of the named devices, else a new one of devices that are blank, or may be lost.
    fn fate(&self, wish: &Wish, guid: Option<u64>) -> Fate {
        let (active, found): (Vec<Pool>, Vec<Pool>) =
            self.look(|storage| (storage.pools.values().cloned().collect(), storage.importable()));
        let import = |pool: &Pool| if pool.health() == "UNAVAIL" { Fate::Refused } else { Fate::Imported(pool.guid) };
        let named = active.iter().find(|pool| pool.name == wish.name);
        if let Some(guid) = guid {
            return match (active.iter().find(|pool| pool.guid == guid), named) {
                (Some(pool), _) if pool.name == wish.name => Fate::Kept(guid),
                (Some(_), _) | (_, Some(_)) => Fate::Refused,
                (None, None) => found.iter().find(|pool| pool.guid == guid).map_or(Fate::Refused, import),
            };
        }
        if let Some(pool) = named {
            return Fate::Kept(pool.guid);
        }
        let disks = wish.disks();
        let same: Vec<_> = found.iter().filter(|pool| pool.name == wish.name).collect();
        let on_disks: Vec<_> = same.iter().filter(|pool| disks.iter().any(|at| self.is_named_on(pool, *at))).collect();
        match (&on_disks[..], &same[..]) {
            ([pool], _) => import(pool),
            ([], [pool]) if disks.is_empty() => import(pool),
            ([], []) if disks.is_empty() => Fate::Refused,
            ([], []) if disks.iter().all(|at| self.is_free(*at, &active, &found)) => Fate::Made,
            _ => Fate::Refused,
        }
    }

    fn is_free(&self, at: usize, active: &[Pool], found: &[Pool]) -> bool {
        let is_given_away = self.look(|storage| storage.is_labelled(&disk(self.system, at)));
        let holds = self.scribbled.contains(&at) || found.iter().any(|pool| self.has(pool, at)) || is_given_away;
        let is_used = active
            .iter()
            .any(|pool| pool.devices().iter().any(|device| device.path == self.member(at) && !device.lost));
        !self.pulled.contains(&at) && !is_used && (!holds || self.allowed)
    }

    /// Whether a pool is what was wished, and perhaps more.
    fn is_so(&self, pool: &Pool, wish: &Wish) -> bool {
        let Wish { kind, .. } = wish;
        let plan = wish.layout();
        let tops = plan.vdevs.iter().all(|vdev| {
            let top = pool
                .data
                .iter()
                .find(|top| vdev.iter().all(|at| top.slots.iter().any(|slot| slot.device.path == self.member(*at))));
            top.is_some_and(|top| top.kind == *kind || (top.kind == Kind::Mirror && *kind == Kind::Device))
        });
        let logs = plan.log.iter().all(|at| pool.logs.iter().any(|top| top.slots[0].device.path == self.member(*at)));
        let cache = plan.cache.iter().all(|at| pool.cache.iter().any(|device| device.path == self.member(*at)));
        let spares = plan.spare.iter().all(|at| pool.spares.iter().any(|device| device.path == self.member(*at)));
        let word = |on: bool| if on { "on" } else { "off" };
        let autoexpand = pool.properties.get("autoexpand").map_or("off", String::as_str);
        tops && logs && cache && spares && wish.autoexpand.is_none_or(|on| autoexpand == word(on))
    }
}

fn can_be_imported(storage: &Storage, guid: u64) -> bool {
    storage.importable().iter().any(|pool| pool.guid == guid && pool.health() != "UNAVAIL")
}

fn fail(error: impl std::fmt::Debug) -> TestCaseError {
    TestCaseError::fail(format!("{error:?}"))
}

fn settle(world: &mut World, wish: &Wish) -> Result<(), TestCaseError> {
    let guid = world.guid(wish);
    let configuration = wish.configuration(world.system, guid, world.allowed);
    prop_assert_eq!(world.fixture.harness.validate(configuration.clone()), vec![]);
    world.fixture.harness.configure(configuration);
    let fate = world.fate(wish, guid);
    let (untouched, others) = (world.all_bytes(), world.others(&wish.name));
    let let_go = world.look(|storage| storage.exported.clone());
    let steps = world.fixture.harness.plan().map_err(fail)?;
    let summaries: Vec<_> = steps.iter().map(|step| &step.summary).collect();
    let is_refused = steps.iter().any(|step| step.action == "refuse");
    let is_imported = steps.iter().any(|step| step.action == "import");
    prop_assert_eq!(is_imported, matches!(fate, Fate::Imported(_)), "{:?} {:#?}", fate, summaries);
    prop_assert_eq!(
        steps.iter().any(|step| step.action == "create"),
        fate == Fate::Made,
        "{:?} {:#?}",
        fate,
        summaries
    );
    prop_assert!(is_refused || fate != Fate::Refused, "{summaries:#?}");
    for step in steps.iter().filter(|step| step.action != "refuse") {
        let applied = world.fixture.harness.apply(step);
        prop_assert!(applied.is_ok(), "{}: {:?}", step.summary, applied);
        prop_assert!(!is_refused || matches!(step.action.as_str(), "set" | "import" | "mount"), "{}", step.summary);
    }
    let left = world.fixture.harness.plan().map_err(fail)?;
    let undone: Vec<_> = left.iter().filter(|step| step.action != "refuse").map(|step| &step.summary).collect();
    prop_assert!(undone.is_empty(), "{undone:?} after {summaries:#?}");
    prop_assert_eq!(left.iter().any(|step| step.action == "refuse"), is_refused);
    if is_refused && !is_imported {
        prop_assert!(world.all_bytes() == untouched, "a refused configuration changes not one byte");
    }
    let pool = world.look(|storage| storage.pools.get(&wish.name).cloned());
    match fate {
        Fate::Kept(guid) | Fate::Imported(guid) => prop_assert_eq!(pool.as_ref().map(|pool| pool.guid), Some(guid)),
        Fate::Made => prop_assert!(pool.is_some()),
        Fate::Refused => {}
    }
    prop_assert!(is_refused || pool.is_some_and(|pool| world.is_so(&pool, wish)), "{summaries:#?}");
    prop_assert_eq!(&others, &world.others(&wish.name), "what others made stays");
    for pool in let_go.iter().filter(|pool| !world.allowed && fate != Fate::Imported(pool.guid)) {
        prop_assert!(world.look(|storage| storage.exported.contains(pool)), "what others let go of stays");
    }
    Ok(())
}

fn run(before: &Before, rounds: &[(Meanwhile, Wish)], system: System) -> Result<(), TestCaseError> {
    let mut world = World::new(before, system);
    for (meanwhile, wish) in rounds {
        world.interfere(*meanwhile);
        let begin = world.fixture.commands().len();
        settle(&mut world, wish)?;
        let commands = world.fixture.commands().split_off(begin);
        prop_assert!(world.allowed || !commands.iter().any(|line| line.contains(" -f")), "{commands:?}");
        let forbidden = ["destroy", "export", "detach", "labelclear", "offline"];
        prop_assert!(!commands.iter().any(|line| forbidden.iter().any(|word| line.contains(word))), "{commands:?}");
    }
    Ok(())
}

fn cases() -> ProptestConfig {
    let cases = if test_judge::soak() { 1000 } else { 20 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn illumos_converges_from_anywhere(before in before(), rounds in proptest::collection::vec(round(), 1..4)) {
        run(&before, &rounds, System::Illumos)?;
    }

    #[test]
    fn linux_converges_from_anywhere(before in before(), rounds in proptest::collection::vec(round(), 1..4)) {
        run(&before, &rounds, System::Linux)?;
    }
}
