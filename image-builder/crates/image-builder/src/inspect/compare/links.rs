//! Whether files with several names have the same ones in both images.

use std::collections::HashMap;
use zfs_image::reader::File;

/// The files with more than one name, by their object numbers.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// For each name that both images have: its place in the list of differences, and what it is a name of in each.
    noted: Vec<(usize, [u64; 2])>,
    /// How many of the names lead to an object of the first image, or of the second.
    names: [HashMap<u64, u64>; 2],
    /// How many lead to the one in the first, and to the other in the second.
    shared: HashMap<[u64; 2], u64>,
}

impl Links {
    /// Notes a name that is in both images. Answers whether it is a name of several in one of them.
    pub(super) fn note(&mut self, place: usize, files: [&File; 2]) -> bool {
        // A directory has one name, whatever its link count.
        if files.iter().any(|file| file.is_directory()) || files.iter().all(|file| file.znode.links < 2) {
            return false;
        }
        self.put(place, files.map(|file| file.object));
        true
    }

    fn put(&mut self, place: usize, objects: [u64; 2]) {
        self.noted.push((place, objects));
        *self.shared.entry(objects).or_default() += 1;
        for (names, object) in self.names.iter_mut().zip(objects) {
            *names.entry(object).or_default() += 1;
        }
    }

    /// The places of those that are names of something together with others than before. Two sets of names are the same
    /// where each is as large as what they share.
    pub(super) fn regrouped(&self) -> impl Iterator<Item = usize> + '_ {
        let is_other = |(_, objects): &&(usize, [u64; 2])| {
            let shared = self.shared.get(objects);
            self.names.iter().zip(objects).any(|(names, object)| names.get(object) != shared)
        };
        self.noted.iter().filter(is_other).map(|(place, _)| *place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_regrouped_where_the_sets_differ() {
        for (objects, expected) in [
            // {a, b} and {c, d}, with other numbers.
            (vec![[1, 7], [1, 7], [2, 5], [2, 5]], vec![]),
            // {a, b} and {c, d} against {a, c} and {b, d}.
            (vec![[1, 7], [1, 5], [2, 7], [2, 5]], vec![0, 1, 2, 3]),
            // {a, b, c} against {a, b} and {c}.
            (vec![[1, 7], [1, 7], [1, 5], [3, 3]], vec![0, 1, 2]),
        ] {
            let mut links = Links::default();
            objects.iter().enumerate().for_each(|(place, objects)| links.put(place, *objects));
            assert_eq!(links.regrouped().collect::<Vec<_>>(), expected, "{objects:?}");
        }
    }
}
