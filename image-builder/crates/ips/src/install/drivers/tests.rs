//! What changing the tables costs, counted in lines that are looked at.

use std::fmt::Write as _;

use super::*;

fn tables() -> DriverTables {
    let texts = [(NAME_TO_MAJOR, "clone 0\n"), (ALIASES, ""), (MINOR_PERM, ""), (DEVLINK, "")];
    DriverTables::new(&texts.into_iter().map(|(path, text)| (path, Table::new(text))).collect())
}

/// A driver with `count` values of each kind, of which those of other drivers and numbers differ.
fn driver(name: &str, numbers: std::ops::Range<usize>) -> Action {
    let mut text = format!("driver name={name}");
    for number in numbers {
        write!(
            text,
            " alias=pci{name},{number} class={name}-{number} perms=\"{number} 0666 root sys\" \
             clone_perms=\"{name}-{number} 0600 root sys\" privs=p{number} policy=\"{number} read_priv_set=all\" \
             devlink=type={name};minor={number}"
        )
        .unwrap();
    }
    text.parse().unwrap()
}

fn looks(tables: &DriverTables) -> usize {
    tables.tables.values().map(IndexedTable::looks).sum()
}

/// How many lines are looked at to add drivers, to add them again, to change half of what they have, and to remove them.
fn cost(drivers: usize, values: usize) -> usize {
    let mut tables = tables();
    let names: Vec<String> = (0..drivers).map(|number| format!("d{number}")).collect();
    for name in names.iter().chain(&names) {
        tables.remove_unpackaged(&driver(name, 0..values));
        tables.install(&driver(name, 0..values)).unwrap();
    }
    assert_eq!(tables.tables[ALIASES].lines().count(), drivers * values);
    assert_eq!(tables.tables[NAME_TO_MAJOR].lines().count(), drivers + 1);
    for name in &names {
        let (old, new) = (driver(name, 0..values), driver(name, values / 2..values + values / 2));
        tables.remove_outdated(&new, &old);
        tables.install(&new).unwrap();
    }
    for path in [ALIASES, CLASSES, MINOR_PERM, EXTRA_PRIVS, DEVICE_POLICY, DEVLINK] {
        let kinds = if path == MINOR_PERM { 2 } else { 1 };
        assert_eq!(tables.tables[path].lines().count(), drivers * values * kinds, "{path}");
    }
    for name in &names {
        tables.remove(&driver(name, values / 2..values + values / 2));
    }
    for path in [ALIASES, CLASSES, MINOR_PERM, EXTRA_PRIVS, DEVICE_POLICY, DEVLINK] {
        assert_eq!(tables.tables[path].lines().count(), 0, "{path}");
    }
    assert_eq!(tables.tables[REM_NAME_TO_MAJOR].lines().count(), drivers);
    looks(&tables)
}

#[test]
fn what_many_drivers_and_many_aliases_cost_grows_with_their_number_alone() {
    const LINES_PER_VALUE: usize = 60;
    for (drivers, values) in [(1, 400), (400, 2), (20, 30)] {
        let cost = cost(drivers, values);
        assert!(cost <= LINES_PER_VALUE * drivers * values, "{drivers} drivers with {values}: {cost}");
    }
}
