//! The `features` that a main template declares.

use crate::diagnostic::{Diagnostic, Origin};
use crate::features::{DeclaredFeature, Features, is_feature_name, is_feature_value};
use crate::field::{Env, Fault, FieldSet, Fields, Kind, TEXT, Text, field_set};
use crate::json::{Member, Value};
use crate::lookup::Lookup;
use crate::suggest::{nearest, quoted_list};

field_set! {
    /// One entry of `features`.
    struct Declaration {
        /// The value when no directive names the feature.
        default: Option<String> = VALUE.optional();
        /// What it is for.
        doc: Option<String> = TEXT.optional();
    }
}

const VALUE: Text = Text::with_rule(|value| {
    if is_feature_value(value) { Ok(()) } else { Err(Fault::value("must be printable ASCII, and not empty")) }
});

/// What the template declares, and the features in force.
pub(super) fn effective(
    lookup: &Lookup<'_>,
    place: &Origin,
    members: &[Member],
    found: &mut Vec<Diagnostic>,
) -> (Option<Vec<DeclaredFeature>>, Features) {
    let mut features = lookup.request.features.clone();
    let none = Features::default();
    let diagnostics = std::mem::take(found);
    let mut env = Env { features: &none, declared: None, lookup, lenient: lookup.request.lenient, diagnostics };
    let mut fields = Fields::new(&mut env, place.clone(), "a template", members);
    let member = fields.member("features").filter(|member| member.node.value != Value::Null);
    let declared = member.and_then(|member| read(&mut fields, member));
    if let (Some(member), Some(declared)) = (member, &declared) {
        let here = place.with_span(member.key_span);
        env.diagnostics.extend(features.mentioned().filter_map(|name| undeclared(name, declared, &here)));
        features.apply_defaults(declared);
    }
    *found = env.diagnostics;
    (declared, features)
}

fn read(fields: &mut Fields<'_, '_, '_>, member: &Member) -> Option<Vec<DeclaredFeature>> {
    let Value::Object(entries) = &member.node.value else {
        return fields.wrong_type("features", &member.node, "an object");
    };
    let mut declared: Vec<DeclaredFeature> = Vec::new();
    for entry in entries {
        let Declaration { default, doc } = read_one(fields, entry).unwrap_or(Declaration { default: None, doc: None });
        if let Some(first) = entries.iter().find(|earlier| earlier.key == entry.key).filter(|first| *first != entry) {
            let message = format!("feature `{}` is declared twice", entry.key.escape_debug());
            let error = Diagnostic::error("template::duplicate-key", message);
            fields.fail::<()>(entry.key_span, "again here", error.also(first.key_span, "first here"));
        }
        declared.push(DeclaredFeature { name: entry.key.clone(), default, doc });
    }
    Some(declared)
}

fn read_one(fields: &mut Fields<'_, '_, '_>, entry: &Member) -> Option<Declaration> {
    if !is_feature_name(&entry.key) {
        let message = format!("`{}` is not a feature name", entry.key.escape_debug());
        let help = "a name starts with a letter, goes on with letters, digits, `_` and `-`, and does not end in `-`";
        let error = Diagnostic::error("template::bad-value", message);
        fields.fail::<()>(entry.key_span, "", error.help(help));
    }
    let Value::Object(members) = &entry.node.value else {
        return fields.wrong_type(&entry.key, &entry.node, "an object with `default` and `doc`");
    };
    let place = fields.at(entry.node.span);
    let mut inner = Fields::new(fields.env, place, format!("feature `{}`", entry.key), members);
    inner.check_keys(&Declaration::keys());
    Declaration::read(&mut inner)
}

/// A name on the command line that the template does not declare.
fn undeclared(name: &str, declared: &[DeclaredFeature], here: &Origin) -> Option<Diagnostic> {
    let names = || declared.iter().map(|feature| feature.name.as_str());
    if names().any(|known| known == name) {
        return None;
    }
    let help = match nearest(name, names()) {
        Some(near) => format!("did you mean `-F {near}`?"),
        None if declared.is_empty() => "the template declares that it has no features".to_owned(),
        None => format!("declared are {}", quoted_list(names())),
    };
    let message = format!("feature `{name}` was given, but the template does not declare it");
    Some(Diagnostic::error("template::undeclared-feature", message).at(here, "declared here").help(help))
}
