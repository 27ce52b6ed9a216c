//! Reads the members of one object by a declarative table and collects everything that is wrong with it.
//!
//! A table is a struct declared with [`field_set!`]: one line per field says its JSON key, its Rust type and,
//! by a [`Slot`] such as `MODE.required()` or `FLAG.or(false)`, how the value is checked and what its absence
//! means. The same lines give the [`FieldSpec`]s from which documentation and schema are made, so that they
//! cannot drift from what is accepted.

mod kind;
mod text;

use std::sync::Arc;

use serde::Serialize;

use crate::diagnostic::{Diagnostic, Origin, Span};
use crate::expand::{ExpandError, ExpandErrorKind, Parsed};
use crate::features::{DeclaredFeature, Features, is_feature_name};
use crate::json::{Member, Node, Value, span_in_literal};
use crate::lookup::Lookup;
use crate::suggest::{nearest, quoted_list};

pub(crate) use kind::{DefaultValue, Empty, FLAG, GROUP, Integer, Keyword, Kind, MODE, Nested, OWNER, Slot};
pub(crate) use text::{
    BELOW_ROOT, COMPRESSION, DATASET_NAME, Fault, HOST_PATH, IMAGE_PATH, INCLUDE_NAME, NEW_OUTPUT_NAME, NOT_EMPTY,
    OUTPUT_NAME, RELATIVE_PATH, SOURCE_PATH, TEXT, Text,
};

/// The JSON value that a field takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// A string.
    Text,
    /// A string of octal digits.
    Octal,
    /// One of these strings.
    Keyword(Vec<&'static str>),
    /// A whole number within these bounds, both included.
    Integer {
        /// Smallest value.
        min: u64,
        /// Largest value.
        max: u64,
    },
    /// A whole number, or the string `auto`.
    IntegerOrAuto,
    /// `true` or `false`.
    Flag,
    /// A list of strings.
    TextList,
    /// An object with these members.
    Object(Vec<FieldSpec>),
}

impl Shape {
    /// The words used in messages: "a string".
    #[must_use]
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Text | Self::Keyword(_) => "a string",
            Self::Octal => "a string of octal digits",
            Self::Integer { .. } => "a whole number",
            Self::IntegerOrAuto => "a whole number or \"auto\"",
            Self::Flag => "true or false",
            Self::TextList => "a list of strings",
            Self::Object(_) => "an object",
        }
    }
}

/// What the absence of a field means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// It must be there.
    Required,
    /// It may be absent or `null`.
    Optional,
    /// Its absence means this value, written as JSON.
    Default(String),
}

/// One row of a field table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldSpec {
    /// The JSON key.
    pub name: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// The value it takes.
    pub shape: Shape,
    /// Whether it may be absent.
    pub presence: Presence,
    /// Whether `${…}` is expanded in it.
    pub expanded: bool,
    /// Whether `${@…}` may multiply an element; lists only.
    pub multi_valued: bool,
}

/// What every reader of one load shares.
pub(crate) struct Env<'a> {
    pub(crate) features: &'a Features,
    pub(crate) declared: Option<&'a [DeclaredFeature]>,
    pub(crate) lookup: &'a Lookup<'a>,
    pub(crate) lenient: bool,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Env<'_> {
    /// An error, which `--lenient` turns into a warning.
    pub(crate) fn strict(&self, code: &'static str, message: impl Into<String>) -> Diagnostic {
        if self.lenient { Diagnostic::warning(code, message) } else { Diagnostic::error(code, message) }
    }

    /// Reports a feature name that the template uses but does not declare.
    pub(crate) fn check_declared(&mut self, name: &str, place: &Origin) {
        let Some(declared) = self.declared else { return };
        let names = || declared.iter().map(|feature| feature.name.as_str());
        if names().any(|known| known == name) {
            return;
        }
        let help = nearest(name, names()).map_or_else(
            || format!("declare it under `features` in the main template, which declares {}", quoted_list(names())),
            |near| format!("did you mean `{near}`?"),
        );
        let message = format!("feature `{name}` is not declared");
        self.diagnostics.push(Diagnostic::error("template::undeclared-feature", message).at(place, "").help(help));
    }
}

/// The members of one object under reading.
pub(crate) struct Fields<'e, 'a, 'n> {
    pub(crate) env: &'e mut Env<'a>,
    /// The whole object.
    place: Origin,
    /// What the object is, for messages: "step `ensure_file`".
    what: Arc<str>,
    members: &'n [Member],
    /// What the unknown keys were probably meant to be.
    misspelt: Vec<&'static str>,
}

impl<'e, 'a, 'n> Fields<'e, 'a, 'n> {
    pub(crate) fn new(env: &'e mut Env<'a>, place: Origin, what: impl Into<Arc<str>>, members: &'n [Member]) -> Self {
        Self { env, place, what: what.into(), members, misspelt: Vec::new() }
    }

    /// The last member with this key, and its value, unless the value is null and so as good as absent.
    pub(crate) fn member(&self, key: &str) -> Option<&'n Member> {
        self.members.iter().rev().find(|member| member.key == key)
    }

    /// Reports keys that are not in the table, and keys that stand there twice.
    pub(crate) fn check_keys(&mut self, known: &[&'static str]) {
        for (index, member) in self.members.iter().enumerate() {
            if !known.contains(&member.key.as_str()) {
                let message = format!("{} has no key `{}`", self.what, member.key.escape_debug());
                let near = nearest(&member.key, known.iter().copied());
                let help = near.map_or_else(|| known_keys(known), |near| format!("did you mean `{near}`?"));
                // A lenient load goes on, and then the key is really missing.
                self.misspelt.extend(known.iter().filter(|key| !self.env.lenient && Some(**key) == near));
                let error = self.env.strict("template::unknown-key", message);
                self.push(error.at(&self.at(member.key_span), "unknown key").help(help));
            }
            if let Some(first) = self.members[..index].iter().find(|earlier| earlier.key == member.key) {
                let message = format!("`{}` stands twice in {}", member.key.escape_debug(), self.what);
                let error = self.env.strict("template::duplicate-key", message);
                let error = error.at(&self.at(member.key_span), "again here").also(first.key_span, "first here");
                self.push(error.help("remove one of them"));
            }
        }
    }

    /// A place in this object's file.
    pub(crate) fn at(&self, span: Span) -> Origin {
        self.place.with_span(span)
    }

    /// The place of the whole object.
    pub(crate) fn place(&self) -> &Origin {
        &self.place
    }

    /// What the object is, for messages.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        self.env.diagnostics.push(diagnostic);
    }

    /// Reports an error at a value and gives nothing back, so that a reader can end with it.
    pub(crate) fn fail<T>(&mut self, span: Span, label: &str, error: Diagnostic) -> Option<T> {
        self.push(error.at(&self.at(span), label));
        None
    }

    /// Reports a value of the wrong JSON type.
    pub(crate) fn wrong_type<T>(&mut self, key: &str, node: &Node, wanted: &str) -> Option<T> {
        self.wrong_type_of(&format!("`{key}`"), node, wanted)
    }

    /// Reports a list element of the wrong JSON type.
    pub(crate) fn wrong_element<T>(&mut self, key: &str, node: &Node, wanted: &str) -> Option<T> {
        self.wrong_type_of(&format!("an element of `{key}`"), node, wanted)
    }

    fn wrong_type_of<T>(&mut self, subject: &str, node: &Node, wanted: &str) -> Option<T> {
        let found = node.value.describe();
        let message = format!("{subject} must be {wanted}, not {found}");
        let mut error = Diagnostic::error("template::wrong-type", message);
        if let (Value::Number(number), true) = (&node.value, wanted.starts_with("a string")) {
            error = error.help(format!("write it in quotes: \"{number}\""));
        }
        self.fail(node.span, found, error)
    }

    /// Reports a key that is not there; `label` goes under the place where it belongs.
    pub(crate) fn missing<T>(&mut self, key: &str) -> Option<T> {
        // A misspelt key has been reported already, with this one as its correction.
        if self.misspelt.contains(&key) {
            return None;
        }
        let message = format!("{} needs `{key}`", self.what);
        // The whole object may be long; its first character is enough to find it.
        let start = self.place.span().start;
        let label = format!("no `{key}` in this object");
        self.fail(Span::new(start, start + 1), &label, Diagnostic::error("template::missing-key", message))
    }

    /// Expands a text that may have one value only.
    pub(crate) fn expand(&mut self, node: &Node, text: &str) -> Option<String> {
        let parsed = self.parse_expansion(node, text)?;
        let result = parsed.single(self.env.features);
        result.map_err(|errors| self.expansion_errors(node, &errors)).ok()
    }

    /// Expands a list element, which may become none or several.
    pub(crate) fn expand_multi(&mut self, node: &Node, text: &str) -> Option<Vec<String>> {
        let parsed = self.parse_expansion(node, text)?;
        let result = parsed.multi(self.env.features);
        result.map_err(|errors| self.expansion_errors(node, &errors)).ok()
    }

    fn parse_expansion(&mut self, node: &Node, text: &str) -> Option<Parsed> {
        let parsed = Parsed::parse(text).map_err(|error| self.expansion_errors(node, &[error])).ok()?;
        if self.env.declared.is_some() {
            for mention in parsed.mentions() {
                let place = self.at(self.inside(node, &mention.range));
                self.env.check_declared(&mention.name, &place);
            }
        }
        Some(parsed)
    }

    fn inside(&self, node: &Node, range: &std::ops::Range<usize>) -> Span {
        span_in_literal(self.place.source().text(), node.span, range)
    }

    fn expansion_errors(&mut self, node: &Node, errors: &[ExpandError]) {
        for error in errors {
            let place = self.at(self.inside(node, &error.range));
            let diagnostic = match &error.kind {
                // The missing declaration has been reported already, and is the cause.
                ExpandErrorKind::Undefined(name) if self.is_undeclared(name) => continue,
                ExpandErrorKind::Undefined(name) => self.undefined_feature(name, &place),
                kind => describe_expansion(kind).at(&place, ""),
            };
            self.push(diagnostic);
        }
    }

    fn is_undeclared(&self, name: &str) -> bool {
        self.env.declared.is_some_and(|declared| declared.iter().all(|feature| feature.name != name))
    }

    fn undefined_feature(&self, name: &str, place: &Origin) -> Diagnostic {
        let near = nearest(name, self.env.features.iter().map(|(name, _)| name));
        let help = match near {
            Some(near) => format!("did you mean `{near}`? Otherwise define it with `-F {name}=VALUE`"),
            None if !is_feature_name(name) => {
                "no feature can be called so: a name begins with a letter and does not end in `-`".to_owned()
            }
            None => format!("define it with `-F {name}=VALUE`"),
        };
        let message = format!("feature `{name}` is not defined");
        Diagnostic::error("template::undefined-feature", message).at(place, "").help(help)
    }
}

fn known_keys(known: &[&'static str]) -> String {
    if known.is_empty() {
        return "it takes no keys".to_owned();
    }
    format!("known keys: {}", quoted_list(known.iter().copied()))
}

fn describe_expansion(kind: &ExpandErrorKind) -> Diagnostic {
    match kind {
        ExpandErrorKind::Syntax { message, help } => {
            let error = Diagnostic::error("template::expansion-syntax", message.clone());
            match help {
                Some(help) => error.help(*help),
                None => error,
            }
        }
        ExpandErrorKind::MultiValued { name, values } => {
            let message = format!("feature `{name}` has {values} values where one is wanted");
            let help = format!("give it one value with `-F {name}=VALUE`, or use `${{@{name}}}` in a list");
            Diagnostic::error("template::multi-valued-feature", message).help(help)
        }
        ExpandErrorKind::NotAList => {
            Diagnostic::error("template::expansion-syntax", "`${@…}` in a field that holds one value")
                .help("`@` gives one list element per value; write `${name}` here")
        }
        ExpandErrorKind::SecondList => {
            Diagnostic::error("template::expansion-syntax", "a second `${@…}` in one list element")
                .help("an element is repeated over the values of one feature; write another element")
        }
        ExpandErrorKind::Undefined(name) => {
            Diagnostic::error("template::undefined-feature", format!("feature `{name}` is not defined"))
        }
    }
}

/// A struct that is read from the members of an object.
pub(crate) trait FieldSet: Sized {
    /// The rows of its table.
    fn specs() -> Vec<FieldSpec>;

    /// Reads every field; `None` when an error was reported.
    fn read(fields: &mut Fields<'_, '_, '_>) -> Option<Self>;

    /// The keys alone.
    fn keys() -> Vec<&'static str>;
}

/// Declares a struct together with its field table; see the module's documentation.
macro_rules! field_set {
    (
        $(#[doc = $doc:literal])*
        $vis:vis struct $name:ident {
            $( $(#[doc = $field_doc:literal])* $field:ident: $type:ty = $slot:expr; )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
        $vis struct $name {
            $( $(#[doc = $field_doc])* pub $field: $type, )*
        }

        impl $crate::field::FieldSet for $name {
            fn specs() -> Vec<$crate::field::FieldSpec> {
                vec![ $( $crate::field::Slot::spec(&$slot, stringify!($field), concat!($($field_doc, "\n"),*)) ),* ]
            }

            fn keys() -> Vec<&'static str> {
                vec![ $( stringify!($field) ),* ]
            }

            fn read(fields: &mut $crate::field::Fields<'_, '_, '_>) -> Option<Self> {
                // Every field is read before the first missing one ends it, so that all errors are seen.
                $( let $field = $crate::field::Slot::take(&$slot, fields, stringify!($field)); )*
                let _ = fields;
                Some(Self { $( $field: $field?, )* })
            }
        }
    };
}
pub(crate) use field_set;
