//! What changing the tables costs, counted in lines and members that are looked at.

use super::*;
use crate::install::Package;

/// A user in a group of its own and in two of all, who may not use FTP: that group, the user, and the group with another
/// number.
fn actions(name: &str) -> [Action; 3] {
    let user = format!("user username={name} group={name} group-list=all group-list=late ftpuser=false uid={name}");
    let [group, renumbered] = ["", "7"].map(|more| format!("group groupname={name} gid={more}{name}"));
    [group, user, renumbered].map(|text| text.parse().unwrap())
}

/// How many lines and members are looked at to add users, to give their groups other numbers, and to remove them.
fn cost(count: u32) -> usize {
    let package = Package::new("pkg://p/a@1-1".parse().unwrap(), Vec::new()).unwrap();
    let tables = ["", "", "all::1:first\n", ""].map(|text| Some(Table::new(text)));
    let mut accounts = Accounts::new(tables, OperationTime::default());
    let names: Vec<String> = (1000..1000 + count).map(|number| number.to_string()).collect();
    let actions: Vec<[Action; 3]> = names.iter().map(|name| actions(name)).collect();
    let delivered = |action| Delivered { package: &package, action };
    for [group, user, _] in &actions {
        assert!(accounts.install_group(delivered(group)).unwrap());
        assert!(accounts.install_user(delivered(user), None).unwrap());
    }
    for [_, _, renumbered] in &actions {
        assert!(accounts.install_group(delivered(renumbered)).unwrap());
    }
    for (table, lines) in [(&accounts.passwd, count), (&accounts.shadow, count), (&accounts.ftpusers, count)] {
        assert_eq!(table.as_ref().unwrap().lines().count(), lines as usize);
    }
    names.iter().for_each(|name| accounts.remove_user(name));
    names.iter().for_each(|name| accounts.remove_group(name));
    let tables = [&accounts.passwd, &accounts.shadow, &accounts.ftpusers].map(|table| table.as_ref().unwrap());
    assert!(tables.iter().all(|table| table.lines().next().is_none()));
    let looks: usize = tables.iter().map(|table| table.looks()).sum();
    let group = accounts.group.unwrap();
    let looks = looks + group.looks();
    assert_eq!(group.into_table().text(), "all::1:first\nlate:::\n");
    looks
}

#[test]
fn what_many_users_cost_grows_with_their_number_alone() {
    const LOOKS_PER_USER: usize = 40;
    for count in [10, 1000] {
        let cost = cost(count);
        assert!(cost <= LOOKS_PER_USER * count as usize, "{count} users: {cost}");
    }
}

/// A new group got the number of a line that repeats a name.
#[test]
fn a_number_is_taken_whichever_line_has_it() {
    let groups = GroupTable::new(&Table::new("one::1:\none::2:\n+name::3:\none::4:a\n"));
    assert_eq!(groups.gids().iter().collect::<Vec<_>>(), ["1", "2", "4"]);
    assert_eq!(groups.gid("one"), Some("1"));
}

#[test]
fn lines_of_groups_keep_what_is_not_changed() {
    let text = "# comment\nroot::0:\nodd::1:,a,,b,\n+name::2:x\ntwice::3:a,a,c\nempty::4:,,\n";
    let mut groups = GroupTable::new(&Table::new(text));
    groups.set_groups("a", &["odd", "twice", "not-there"].into());
    groups.set_groups("x", &BTreeSet::new());
    groups.set("odd", "1", "");
    assert!(!groups.into_table().is_changed(), "everything was so already");
    let changed = |change: fn(&mut GroupTable)| {
        let mut groups = GroupTable::new(&Table::new(text));
        change(&mut groups);
        let after = groups.into_table();
        assert!(after.is_changed());
        let before = text.lines().collect::<BTreeSet<_>>();
        after.lines().filter(|line| !before.contains(line)).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(changed(|groups| groups.set_groups("a", &["twice"].into())), ["odd::1:b"]);
    assert_eq!(changed(|groups| groups.set_groups("a", &["odd"].into())), ["twice::3:c"]);
    assert_eq!(changed(|groups| groups.set("odd", "9", "")), ["odd::9:,a,,b,"]);
    assert_eq!(changed(|groups| groups.set_groups("z", &["empty", "root"].into())), ["root::0:z", "empty::4:z"]);
    assert_eq!(changed(|groups| groups.set("new", "", "a")), ["new:::a"]);
    assert_eq!(changed(|groups| groups.remove("odd")), [""; 0]);
}
