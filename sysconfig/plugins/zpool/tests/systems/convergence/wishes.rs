//! Random configurations of a pool, machines before them, and what somebody does in between.

use crate::support::disk;
use proptest::prelude::*;
use serde_json::{Value, json};
use sysconfig_platform::System;
use sysconfig_platform::zpool::Kind;

/// As many as the largest wish needs: two raidz3 of five, a log, a cache and a spare.
pub(super) const DISKS: usize = 13;

/// Which pool is meant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Guid {
    /// The one of the name.
    Any,
    /// One that is somewhere.
    Real,
    /// One that is not.
    Nowhere,
}

/// A pool of a configuration.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) name: String,
    pub(super) guid: Guid,
    pub(super) kind: Kind,
    width: usize,
    /// Without any the pool is imported, and never made.
    vdevs: usize,
    log: bool,
    cache: bool,
    spare: bool,
    pub(super) autoexpand: Option<bool>,
    compression: Option<bool>,
    /// Where the disks are taken from.
    shift: usize,
}

/// The disks of a wish, by number.
pub(super) struct Layout {
    pub(super) vdevs: Vec<Vec<usize>>,
    pub(super) log: Option<usize>,
    pub(super) cache: Option<usize>,
    pub(super) spare: Option<usize>,
}

fn wish() -> impl Strategy<Value = Wish> {
    let kind = prop_oneof![
        Just(Kind::Device),
        Just(Kind::Mirror),
        Just(Kind::Raidz(1)),
        Just(Kind::Raidz(2)),
        Just(Kind::Raidz(3))
    ];
    let which = (
        prop_oneof![4 => Just("tank"), 1 => Just("data")],
        prop_oneof![5 => Just(Guid::Any), 2 => Just(Guid::Real), 1 => Just(Guid::Nowhere)],
    );
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<Option<bool>>(), any::<Option<bool>>());
    let vdevs = prop_oneof![1 => Just(0_usize), 6 => 1..3_usize];
    // Near the beginning, so that wishes meet what is there.
    let shift = prop_oneof![2 => Just(0), 1 => 0..DISKS];
    (which, kind, 0..2_usize, vdevs, flags, shift).prop_map(|((name, guid), kind, more, vdevs, flags, shift)| {
        let width = match kind {
            Kind::Mirror => 2 + more,
            Kind::Raidz(parity) => usize::from(parity) + 1 + more,
            _ => 1,
        };
        let (log, cache, spare, autoexpand, compression) = flags;
        // Without vdevs there is nothing else of devices either.
        let has = vdevs > 0;
        let (log, cache, spare) = (log && has, cache && has, spare && has);
        Wish { name: name.to_owned(), guid, kind, width, vdevs, log, cache, spare, autoexpand, compression, shift }
    })
}

impl Wish {
    pub(super) fn layout(&self) -> Layout {
        let mut next = self.shift;
        let mut one = || {
            next += 1;
            (next - 1) % DISKS
        };
        let vdevs = (0..self.vdevs).map(|_| (0..self.width).map(|_| one()).collect()).collect();
        let mut maybe = |wanted: bool| wanted.then(&mut one);
        Layout { vdevs, log: maybe(self.log), cache: maybe(self.cache), spare: maybe(self.spare) }
    }

    pub(super) fn disks(&self) -> Vec<usize> {
        let Layout { vdevs, log, cache, spare } = self.layout();
        vdevs.into_iter().flatten().chain([log, cache, spare].into_iter().flatten()).collect()
    }

    pub(super) fn configuration(&self, system: System, guid: Option<u64>, allowed: bool) -> Value {
        let layout = self.layout();
        let paths = |disks: &[usize]| disks.iter().map(|at| disk(system, *at)).collect::<Vec<_>>();
        let vdev = |disks: &Vec<usize>| match self.kind {
            Kind::Device => json!(paths(disks)[0]),
            kind => json!({ kind.word(): paths(disks) }),
        };
        let mut pool = json!({ "name": self.name });
        if !layout.vdevs.is_empty() {
            pool["vdevs"] = layout.vdevs.iter().map(vdev).collect();
        }
        if let Some(guid) = guid {
            pool["guid"] = json!(guid.to_string());
        }
        for (disks, key) in [(layout.log, "log"), (layout.cache, "cache"), (layout.spare, "spares")] {
            if let Some(at) = disks {
                pool[key] = json!([disk(system, at)]);
            }
        }
        if allowed && !layout.vdevs.is_empty() {
            pool["allow-destructive"] = json!(paths(&self.disks()));
        }
        if let Some(on) = self.autoexpand {
            pool["properties"] = json!({ "autoexpand": if on { "on" } else { "off" } });
        }
        if let Some(on) = self.compression {
            pool["root-properties"] = json!({ "compression": if on { "lz4" } else { "off" } });
        }
        json!({ "storage.pool": [pool] })
    }
}

/// What others have put on the disks before.
#[derive(Clone, Debug)]
pub(super) struct Before {
    /// A pool of this name and number of disks, and whether it is let go of.
    pub(super) pool: Option<(&'static str, bool, usize)>,
    pub(super) scribbled: Vec<usize>,
    pub(super) pulled: Option<usize>,
    pub(super) allowed: bool,
}

pub(super) fn before() -> impl Strategy<Value = Before> {
    let name = prop_oneof![Just("tank"), Just("other")];
    let pool = proptest::option::of((name, any::<bool>(), 1..4_usize));
    let scribbled = proptest::collection::btree_set(0..DISKS, 0..3).prop_map(|set| set.into_iter().collect());
    let pulled = prop_oneof![3 => Just(None), 1 => (0..DISKS).prop_map(Some)];
    (pool, scribbled, pulled, any::<bool>()).prop_map(|(pool, scribbled, pulled, allowed)| Before {
        pool,
        scribbled,
        pulled,
        allowed,
    })
}

/// What somebody does behind the plugin's back, to whatever pool there is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meanwhile {
    Nothing,
    Export,
    /// It is imported under another name.
    Rename,
    Destroy,
    Set,
    /// A disk goes, or comes back.
    Pull(usize),
}

pub(super) fn round() -> impl Strategy<Value = (Meanwhile, Wish)> {
    let meanwhile = prop_oneof![
        3 => Just(Meanwhile::Nothing),
        2 => Just(Meanwhile::Export),
        1 => Just(Meanwhile::Rename),
        1 => Just(Meanwhile::Destroy),
        1 => Just(Meanwhile::Set),
        1 => (0..DISKS).prop_map(Meanwhile::Pull),
    ];
    (meanwhile, wish())
}
