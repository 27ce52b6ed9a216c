//! `/etc/group`, whose lines are found by their names and by who is in them: a group may have thousands of members, and
//! none of them is to be compared with all others.

use super::looks::Looks;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::table::Table;

/// How many fields its lines have.
pub(super) const FIELDS: usize = 4;

/// The lines in their order. What is not changed keeps its bytes.
#[derive(Debug)]
pub(super) struct GroupTable {
    /// None where a line was removed.
    lines: Vec<Option<Line>>,
    by_name: HashMap<String, BTreeSet<usize>>,
    /// For each member the lines, and the places among their members.
    by_member: HashMap<String, BTreeSet<(usize, usize)>>,
    is_changed: bool,
    /// How many lines and members were looked at, for tests of what that costs.
    looks: Looks,
}

#[derive(Debug)]
enum Line {
    /// What is no group, and groups as they were.
    Text(String),
    Group(Group),
}

/// A line of which something was changed.
#[derive(Debug)]
struct Group {
    name: String,
    password: String,
    gid: String,
    members: BTreeMap<usize, String>,
}

impl Line {
    /// Its fields, if it is a group; those that begin with `+` or `-` refer to a name service.
    fn fields(text: &str) -> Option<[&str; FIELDS]> {
        let fields: Vec<&str> = text.split(':').collect();
        fields.try_into().ok().filter(|_| !text.starts_with(['+', '-']))
    }

    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Group(group) => {
                let members: Vec<&str> =
                    group.members.values().map(String::as_str).filter(|name| !name.is_empty()).collect();
                [&group.name, &group.password, &group.gid, &members.join(",")].map(String::as_str).join(":")
            }
        }
    }
}

impl GroupTable {
    pub(super) fn new(table: &Table) -> Self {
        let mut groups = Self {
            lines: Vec::new(),
            by_name: HashMap::new(),
            by_member: HashMap::new(),
            is_changed: false,
            looks: Looks::default(),
        };
        table.lines().for_each(|line| groups.add(line.to_owned()));
        groups
    }

    pub(super) fn into_table(self) -> Table {
        Table::of_lines(self.lines.iter().flatten().map(Line::text).collect(), self.is_changed)
    }

    /// The number of a group, which may be empty; none if there is no such group.
    pub(super) fn gid(&self, name: &str) -> Option<&str> {
        self.gid_at(*self.by_name.get(name)?.first()?)
    }

    fn gid_at(&self, place: usize) -> Option<&str> {
        self.looks.note();
        match self.lines[place].as_ref()? {
            Line::Text(text) => Line::fields(text).map(|fields| fields[2]),
            Line::Group(group) => Some(&group.gid),
        }
    }

    /// The numbers of all groups, also those of further lines with a name that an earlier line has.
    pub(super) fn gids(&self) -> BTreeSet<String> {
        let places = self.by_name.values().flatten();
        places.filter_map(|place| self.gid_at(*place)).map(str::to_owned).collect()
    }

    /// Gives a group another number, or adds it with these members.
    pub(super) fn set(&mut self, name: &str, gid: &str, members: &str) {
        let place = self.by_name.get(name).and_then(BTreeSet::first).copied();
        let Some(place) = place else {
            self.add(format!("{name}::{gid}:{members}"));
            self.is_changed = true;
            return;
        };
        if self.gid(name) == Some(gid) {
            return;
        }
        self.is_changed = true;
        match &mut self.lines[place] {
            Some(Line::Group(group)) => gid.clone_into(&mut group.gid),
            Some(Line::Text(text)) => {
                if let Some([name, password, _, members]) = Line::fields(text) {
                    *text = [name, password, gid, members].join(":");
                }
            }
            None => {}
        }
    }

    /// Removes a group.
    pub(super) fn remove(&mut self, name: &str) {
        for place in self.by_name.remove(name).unwrap_or_default() {
            let Some(line) = self.lines[place].take() else { continue };
            self.is_changed = true;
            let text = line.text();
            for member in Line::fields(&text).into_iter().flat_map(|fields| fields[3].split(',')) {
                self.looks.note();
                self.places_among_members(place, member);
            }
        }
    }

    /// Makes a user a member of exactly these groups, as far as they are there.
    pub(super) fn set_groups(&mut self, user: &str, wanted: &BTreeSet<&str>) {
        let is_in: BTreeSet<usize> = self.by_member.get(user).into_iter().flatten().map(|(line, _)| *line).collect();
        let places = |name: &&str| self.by_name.get(*name).into_iter().flatten().copied().collect::<Vec<_>>();
        let wanted: BTreeSet<usize> = wanted.iter().flat_map(places).collect();
        for line in is_in.difference(&wanted) {
            self.take_member(*line, user);
        }
        for line in wanted.difference(&is_in) {
            self.add_member(*line, user);
        }
    }

    fn add_member(&mut self, line: usize, user: &str) {
        self.looks.note();
        let Some(group) = self.edit(line) else { return };
        let place = group.members.last_key_value().map_or(0, |(last, _)| last + 1);
        group.members.insert(place, user.to_owned());
        self.by_member.entry(user.to_owned()).or_default().insert((line, place));
    }

    fn take_member(&mut self, line: usize, user: &str) {
        self.looks.note();
        let gone = self.places_among_members(line, user);
        if let Some(group) = self.edit(line) {
            for (_, place) in gone {
                group.members.remove(&place);
            }
        }
    }

    /// Takes out where a user is among the members of a line.
    fn places_among_members(&mut self, line: usize, user: &str) -> Vec<(usize, usize)> {
        let Some(places) = self.by_member.get_mut(user) else { return Vec::new() };
        let gone: Vec<_> = places.range((line, 0)..=(line, usize::MAX)).copied().collect();
        for place in &gone {
            places.remove(place);
        }
        gone
    }

    /// A line as something that can be changed. It loses empty members with that.
    fn edit(&mut self, place: usize) -> Option<&mut Group> {
        self.is_changed = true;
        if let Some(Line::Text(text)) = &self.lines[place] {
            let [name, password, gid, members] = Line::fields(text)?.map(str::to_owned);
            let members = members.split(',').map(str::to_owned).enumerate().collect();
            self.lines[place] = Some(Line::Group(Group { name, password, gid, members }));
        }
        match &mut self.lines[place] {
            Some(Line::Group(group)) => Some(group),
            _ => None,
        }
    }

    fn add(&mut self, text: String) {
        let place = self.lines.len();
        if let Some([name, _, _, members]) = Line::fields(&text) {
            self.by_name.entry(name.to_owned()).or_default().insert(place);
            for (at, member) in members.split(',').enumerate() {
                self.looks.note();
                self.by_member.entry(member.to_owned()).or_default().insert((place, at));
            }
        }
        self.lines.push(Some(Line::Text(text)));
    }

    #[cfg(test)]
    pub(super) fn looks(&self) -> usize {
        self.looks.so_far()
    }
}
