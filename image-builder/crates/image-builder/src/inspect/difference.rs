//! One difference between two images, and the step that did it.

use super::provenance::Provenance;
use serde_json::{Value, json};

/// One difference.
pub(super) struct Difference {
    /// `-` only in the first, `+` only in the second, `~` in both.
    sign: char,
    /// A dataset, path or partition.
    what: String,
    /// How it differs.
    how: Vec<String>,
    /// The path in the image, where it is one of the files that a manifest names.
    pub(super) path: Option<Vec<u8>>,
    /// The step that did it, and where that is written.
    step: Option<String>,
    /// The step that had made what is not there any more, though no step removed it.
    made_by: Option<String>,
}

impl Difference {
    pub(super) fn new(sign: char, what: impl Into<String>, how: Vec<String>) -> Self {
        Self { sign, what: what.into(), how, path: None, step: None, made_by: None }
    }

    /// Adds something that differs.
    pub(super) fn add(&mut self, how: impl Into<String>) {
        self.how.push(how.into());
    }

    /// Whether something is in both and does not differ.
    pub(super) fn is_none(&self) -> bool {
        self.sign == '~' && self.how.is_empty()
    }

    /// Finds the step by what lies beside the first output, and beside the second.
    pub(super) fn find_step(&mut self, beside: &[Option<Provenance>; 2]) {
        let Some(path) = &self.path else { return };
        let [before, after] = beside.each_ref().map(Option::as_ref);
        if self.sign == '-' {
            self.step = after.and_then(|after| after.removed(path));
            self.made_by = before.filter(|_| self.step.is_none()).and_then(|before| before.made(path));
        } else {
            self.step = after.and_then(|after| after.made(path));
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({ "sign": self.sign, "what": self.what, "how": self.how, "step": self.step, "made_by": self.made_by })
    }

    pub(super) fn to_line(&self) -> String {
        let how = if self.how.is_empty() { String::new() } else { format!(": {}", self.how.join(", ")) };
        let step = match (&self.step, &self.made_by) {
            (Some(step), _) => format!("  [{step}]"),
            (None, Some(step)) => format!("  [no step makes it now; it was {step}]"),
            (None, None) => String::new(),
        };
        format!("{} {}{how}{step}", self.sign, self.what)
    }
}
