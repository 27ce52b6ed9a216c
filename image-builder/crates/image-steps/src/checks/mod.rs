//! What is found out about templates before any work, beside what the language itself says.
//!
//! Each check looks at steps and target as they are after expansion, and says only what is wrong whatever the files are that
//! a build will find.

mod media;
mod outputs;
mod paths;
mod together;

pub(crate) use outputs::{OutputFiles, refuse_taken_name};
pub use together::{Neighbour, check_together};

use crate::target;
use template::{Diagnostic, Template};

/// Everything that is wrong with a template by itself, and what may be: errors and warnings. `output_name` is what its
/// image is called without an extension.
pub(crate) fn problems(template: &Template, output_name: &str) -> Vec<Diagnostic> {
    let mut found = target::problems(template, output_name);
    found.extend(OutputFiles::of(template, output_name).problems());
    found.extend(paths::archives_to_the_side(template));
    found.extend(media::problems(template));
    found
}
