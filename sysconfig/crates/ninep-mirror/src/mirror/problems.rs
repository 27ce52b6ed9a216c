//! What is not as it should be. Each is told once, and once more when it is over.

use std::collections::BTreeMap;

use crate::path::SharePath;
use crate::report::{Event, Report};

/// The problems by path; those of the whole share have none.
#[derive(Debug, Default)]
pub(super) struct Problems {
    known: BTreeMap<Option<SharePath>, Problem>,
    pass: u64,
}

#[derive(Debug)]
struct Problem {
    what: String,
    /// The pass in which it was met last.
    met: u64,
}

impl Problems {
    /// A problem was met.
    pub(super) fn note(&mut self, report: &mut dyn Report, path: Option<&SharePath>, what: &str) {
        let problem = Problem { what: what.to_owned(), met: self.pass };
        let before = self.known.insert(path.cloned(), problem);
        if before.is_none_or(|before| before.what != what) {
            report.event(&Event::Problem { path, what });
        }
    }

    /// A path is as it should be.
    pub(super) fn solve(&mut self, report: &mut dyn Report, path: &SharePath) {
        if !self.known.is_empty() && self.known.remove(&Some(path.clone())).is_some() {
            report.event(&Event::Solved { path: Some(path) });
        }
    }

    /// Everything was looked at: what was not met again is over.
    pub(super) fn end_pass(&mut self, report: &mut dyn Report) {
        let pass = self.pass;
        self.known.retain(|path, problem| {
            let remains = problem.met == pass;
            if !remains {
                report.event(&Event::Solved { path: path.as_ref() });
            }
            remains
        });
        self.pass += 1;
    }

    pub(super) fn count(&self) -> usize {
        self.known.len()
    }
}
