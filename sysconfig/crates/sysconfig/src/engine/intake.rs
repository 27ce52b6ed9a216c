//! What plugins say about themselves and their parts, as far as it is kept: an answer may be as long as a line, and all of it
//! together must fit into one, in `status`.

use std::collections::BTreeSet;

use sysconfig_protocol::admin::{Failure, Problem};
use sysconfig_protocol::{Claim, Description, Diagnostic, ErrorObject, Severity, Step};

use crate::config::{OWN_TABLES, is_within, overlaps};
use crate::text::{cut, json_bytes};

/// Longer texts are cut.
const TEXT_BYTES: usize = 2048;
/// Causes of an error, and their help, in one text.
const CHAIN_BYTES: usize = 8192;
/// The findings of one answer that are kept.
const FINDINGS: usize = 100;
/// What a plugin may say about itself, without the schemas of its keys.
const DESCRIPTION_BYTES: usize = 16 * 1024;
/// All problems of a status together.
const PROBLEMS_BYTES: usize = 1024 * 1024;

/// The findings of an answer; errors come first where there are too many.
pub(super) fn findings(mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let all = found.len();
    if all > FINDINGS {
        found.sort_by_key(|diagnostic| !diagnostic.is_error());
        found.truncate(FINDINGS);
        let message = format!("{} of {all} findings are not shown", all - FINDINGS);
        found.push(Diagnostic { key: String::new(), message, help: None, severity: Severity::Warning });
    }
    for Diagnostic { key, message, help, .. } in &mut found {
        *key = cut(key, TEXT_BYTES);
        *message = cut(message, TEXT_BYTES);
        *help = help.as_deref().map(|help| cut(help, TEXT_BYTES));
    }
    found
}

/// What a plugin answers instead of doing what it was asked for.
pub(super) fn refusal(what: &str, object: &ErrorObject) -> Failure {
    Failure {
        message: cut(&format!("{what}{}", object.chain()), CHAIN_BYTES),
        help: object.advice().map(|help| cut(help, TEXT_BYTES)),
    }
}

/// Why a description is not taken.
pub(super) fn judge(description: &Description) -> Result<(), String> {
    if let Some(fault) = description.claims.iter().find_map(|claim| fault_of_claim(&claim.key)) {
        return Err(fault);
    }
    let without_schemas = |claim: &Claim| json_bytes(&claim.key);
    let claims: usize = description.claims.iter().map(without_schemas).sum();
    let rest = Description { claims: Vec::new(), ..description.clone() };
    match claims.saturating_add(json_bytes(&rest)) {
        ..=DESCRIPTION_BYTES => Ok(()),
        bytes => Err(format!(
            "its description takes {bytes} bytes without the schemas, and {DESCRIPTION_BYTES} are the limit"
        )),
    }
}

/// Why a key cannot be a plugin's.
fn fault_of_claim(key: &str) -> Option<String> {
    let is_bare = |segment: &str| {
        !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if !key.split('.').all(is_bare) {
        return Some(format!("it claims {key:?}, which is no key: letters, digits, - and _, with dots in between"));
    }
    let is_own = OWN_TABLES.iter().any(|table| overlaps(table, key));
    is_own.then(|| format!("it claims {key}, which is the daemon's own"))
}

/// Why the steps of a plan are not carried out: who approves of them, allows or undoes one, goes by its id and its key.
pub(super) fn fault_of_steps(steps: &[Step], claims: &[String]) -> Option<String> {
    let mut ids = BTreeSet::new();
    steps.iter().find_map(|step| {
        if !ids.insert(&*step.id) {
            return Some(format!("two steps have the id {:?}", cut(&step.id, 100)));
        }
        // `storage.pool[0]` is in `storage.pool`.
        let is_in = |claim: &String| {
            is_within(&step.key, claim) || step.key.strip_prefix(claim).is_some_and(|rest| rest.starts_with('['))
        };
        let is_own = step.key.is_empty() || claims.iter().any(is_in);
        (!is_own).then(|| format!("a step is of {:?}, which is not the plugin's", cut(&step.key, 100)))
    })
}

/// As many problems as fit into a status or another answer, and how many do not; errors before warnings where there are too many.
pub(crate) fn fitting(mut problems: Vec<Problem>) -> Vec<Problem> {
    if json_bytes(&problems) <= PROBLEMS_BYTES {
        return problems;
    }
    for Problem { message, help, .. } in &mut problems {
        *message = cut(message, CHAIN_BYTES);
        *help = help.as_deref().map(|help| cut(help, CHAIN_BYTES));
    }
    problems.sort_by_key(|problem| problem.severity != Severity::Error);
    let (all, mut left) = (problems.len(), PROBLEMS_BYTES);
    let fits = problems.iter().take_while(|problem| {
        let size = json_bytes(problem);
        let fits = size <= left;
        left = left.saturating_sub(size);
        fits
    });
    let shown = fits.count();
    problems.truncate(shown);
    problems.push(Problem {
        subject: "sysconfig".to_owned(),
        message: format!("{} of {all} problems are not shown", all - shown),
        help: Some("mend those that are, or see the log".to_owned()),
        place: None,
        severity: Severity::Warning,
    });
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_that_nobody_can_own_are_refused() {
        let claims = |key: &str| judge(&Description::new("x").claim(key, serde_json::Value::Null));
        for key in ["", "a..b", "a.", "\u{e4} \u{f6}", "*", "a.b c"] {
            assert!(claims(key).unwrap_err().contains("which is no key"), "{key}");
        }
        for key in ["plugins", "logging.level", "daemon.x"] {
            assert!(claims(key).unwrap_err().contains("the daemon's own"), "{key}");
        }
        for key in ["a", "network.interface", "x-1.y_2", "plugin"] {
            assert_eq!(claims(key), Ok(()), "{key}");
        }
    }

    #[test]
    fn steps_have_ids_of_their_own_and_keys_of_their_plugin() {
        let step = |id: &str, key: &str| Step {
            id: id.to_owned(),
            action: "set".to_owned(),
            resource: "thing".to_owned(),
            summary: "set the thing".to_owned(),
            changes: Vec::new(),
            risk: sysconfig_protocol::Risk::Safe,
            key: key.to_owned(),
            data: serde_json::Value::Null,
        };
        let fault = |steps: &[Step]| fault_of_steps(steps, &["x.foo".to_owned()]).unwrap_or_default();
        assert_eq!(fault(&[step("1", ""), step("2", "x.foo"), step("3", "x.foo.bar"), step("4", "x.foo[0].bar")]), "");
        assert_eq!(fault(&[step("1", ""), step("1", "")]), "two steps have the id \"1\"");
        for key in ["x.good", "x", "x.food"] {
            assert!(fault(&[step("1", key)]).contains("not the plugin's"), "{key}");
        }
    }

    #[test]
    fn errors_are_kept_where_there_are_too_many_findings() {
        let warning = Diagnostic { severity: Severity::Warning, ..Diagnostic::error("k", "w".repeat(5000)) };
        let mut found = vec![warning; 5000];
        found.push(Diagnostic::error("k", "the error"));
        let kept = findings(found);
        assert_eq!((kept.len(), &*kept[0].message), (FINDINGS + 1, "the error"));
        assert_eq!(kept[FINDINGS].message, "4901 of 5001 findings are not shown");
        assert!(json_bytes(&kept) < 400 * 1024);
    }

    #[test]
    fn schemas_may_be_long_and_nothing_else() {
        let schema = json!({ "description": "x".repeat(100_000) });
        assert_eq!(judge(&Description::new("a").claim("test.a", schema)), Ok(()));
        let many = (0..2000)
            .fold(Description::new("a"), |description, key| description.claim(format!("test.{key}"), json!({})));
        for description in [many, Description::new("a").version("1".repeat(20_000))] {
            assert!(judge(&description).unwrap_err().ends_with("16384 are the limit"));
        }
    }

    #[test]
    fn the_problems_of_a_status_have_a_limit() {
        let problem = |severity, message: &str| Problem {
            subject: "plugin a".to_owned(),
            message: message.to_owned(),
            help: None,
            place: None,
            severity,
        };
        let mut problems = vec![problem(Severity::Warning, &"w".repeat(2000)); 2999];
        problems.push(problem(Severity::Warning, &"w".repeat(2_000_000)));
        problems.push(problem(Severity::Error, "the error"));
        let kept = fitting(problems);
        assert!(json_bytes(&kept) < PROBLEMS_BYTES + 1000 && kept.len() > 300);
        assert_eq!(kept[0].message, "the error");
        assert!(kept.last().unwrap().message.ends_with("of 3001 problems are not shown"));
    }
}
