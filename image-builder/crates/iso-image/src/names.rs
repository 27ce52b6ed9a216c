//! The names in directory records: as they are, as far as they fit. Rock Ridge has the whole ones.

use std::collections::BTreeSet;

/// Bytes of a name, as with `mkisofs -l`.
const NAME_BYTES: usize = 31;

/// Gives each of a directory's names, which come sorted, one of its own for the directory record.
pub(crate) fn assign<'n>(names: impl Iterator<Item = &'n [u8]> + Clone) -> Vec<Vec<u8>> {
    // Names that fit keep theirs, so that nothing cut takes one of them.
    let mut taken: BTreeSet<Vec<u8>> = names.clone().filter(|name| fits(name)).map(<[u8]>::to_vec).collect();
    names.map(|name| if fits(name) { name.to_vec() } else { cut(name, &mut taken) }).collect()
}

fn fits(name: &[u8]) -> bool {
    name.len() <= NAME_BYTES
}

/// The beginning of a name and a number, with the end after the last point where it is a short one.
fn cut(name: &[u8], taken: &mut BTreeSet<Vec<u8>>) -> Vec<u8> {
    let point = name.iter().rposition(|byte| *byte == b'.').filter(|at| *at > 0 && name.len() - at <= 5);
    let (stem, extension) = name.split_at(point.unwrap_or(name.len()));
    let mut number = 0_u64;
    loop {
        let tail = [format!("~{number}").as_bytes(), extension].concat();
        let kept = stem.len().min(NAME_BYTES - tail.len());
        let candidate = [&stem[..kept], &tail].concat();
        if taken.insert(candidate.clone()) {
            return candidate;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let long = "a".repeat(40);
        let twice = [format!("{long}1.conf"), format!("{long}2.conf"), "short.name.with.points".to_owned()];
        let names: Vec<String> = assign(twice.iter().map(String::as_bytes))
            .into_iter()
            .map(|name| String::from_utf8(name).expect("ASCII"))
            .collect();
        assert_eq!(
            names,
            [
                format!("{}~0.conf", "a".repeat(24)),
                format!("{}~1.conf", "a".repeat(24)),
                "short.name.with.points".to_owned(),
            ]
        );
    }

    #[test]
    fn a_cut_name_does_not_take_one_that_fits() {
        let fitting = format!("{}~0", "b".repeat(29));
        let long = "b".repeat(50);
        let names = assign([long.as_bytes(), fitting.as_bytes()].into_iter());
        assert_eq!(names[0], format!("{}~1", "b".repeat(29)).into_bytes());
        assert_eq!(names[1], fitting.into_bytes());
    }
}
