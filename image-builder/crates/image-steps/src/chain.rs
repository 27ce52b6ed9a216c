//! The way from the template that was asked for to one that it needs, and circles on it.

use crate::engine::EngineError;
use crate::error::BuildError;
use crate::request::BuildRequest;
use crate::wanted::CHAIN_MAX;
use template::{Diagnostic, Origin};

/// A template on the way from the one that was asked for to the one that is looked at.
pub(crate) struct Link {
    pub(crate) subject: String,
    /// What the template before it takes of it, and where; none for the first.
    pub(crate) taken: Option<(Vec<String>, Origin)>,
}

impl Link {
    /// The template that was asked for.
    pub(crate) fn first(request: &BuildRequest) -> Self {
        Self { subject: format!("{}/{}", request.group, request.name), taken: None }
    }
}

/// Templates need each other in a circle, and this is all of it, the first one again at the end.
fn circle(chain: &[Link]) -> EngineError {
    let subjects: Vec<&str> = chain.iter().map(|link| link.subject.as_str()).collect();
    let message = format!("templates need each other in a circle: {}", subjects.join(" needs "));
    let mut diagnostic = Diagnostic::error("build::circle", message);
    let mut help =
        "give one of these another name, or put a file there that no build has made, which is taken as it is:"
            .to_owned();
    for (taker, giver) in chain.iter().zip(&chain[1..]) {
        let Some((takes, place)) = &giver.taken else { continue };
        help.push_str(&format!("\n  {} takes {} of {} ({place})", taker.subject, takes.join(", "), giver.subject));
    }
    if let Some((_, place)) = chain.last().and_then(|last| last.taken.as_ref()) {
        diagnostic = diagnostic.at(place, "needed here");
    }
    EngineError::Step(Box::new(diagnostic.help(help)))
}

/// The way is too long to go on to `subject`, which is needed at `place`.
pub(crate) fn too_long(subject: &str, place: Option<&Origin>) -> BuildError {
    let message = format!("{subject} would be template {} on a way of templates that need each other", CHAIN_MAX + 1);
    let mut diagnostic = Diagnostic::error("build::chain-too-long", message);
    if let Some(place) = place {
        diagnostic = diagnostic.at(place, "needed here");
    }
    let help = format!(
        "{CHAIN_MAX} are possible: make one template of several, or build one after the other, each with `--no-deps`"
    );
    EngineError::Step(Box::new(diagnostic.help(help))).into()
}

/// Begins the template that is the last link of the chain.
///
/// # Errors
/// When it is on the chain already, or the chain is too long.
pub(crate) fn enter(chain: &[Link]) -> Result<(), BuildError> {
    let Some((last, before)) = chain.split_last() else { return Ok(()) };
    if chain.len() > CHAIN_MAX {
        return Err(too_long(&last.subject, last.taken.as_ref().map(|(_, place)| place)));
    }
    let begin = before.iter().position(|earlier| earlier.subject == last.subject);
    begin.map_or(Ok(()), |begin| Err(circle(&chain[begin..]).into()))
}
