//! The kinds of values that fields take, and what their absence means.

use super::{FieldSet, FieldSpec, Fields, Presence, Shape};
use crate::diagnostic::Diagnostic;
use crate::json::{Node, Value};
use crate::owner::{self, Table};
use crate::suggest::{nearest, quoted_list};

/// How one JSON value becomes one Rust value.
pub(crate) trait Kind: Sized {
    type Value;

    /// The JSON type, for messages and schema.
    fn shape(&self) -> Shape;

    /// Reads a value that is there; `None` when an error was reported.
    fn read(&self, fields: &mut Fields<'_, '_, '_>, key: &str, node: &Node) -> Option<Self::Value>;

    /// Whether `${…}` is expanded, and whether `${@…}` may multiply an element.
    fn expansion(&self) -> (bool, bool) {
        (false, false)
    }

    /// A field that must be there.
    fn required(self) -> Required<Self> {
        Required(self)
    }

    /// A field that may be absent or null.
    fn optional(self) -> Optional<Self> {
        Optional(self)
    }

    /// A field whose absence means `default`.
    fn or<D>(self, default: D) -> Defaulted<Self, D> {
        Defaulted(self, default)
    }
}

/// A kind together with what its absence means: one line of a field table.
pub(crate) trait Slot {
    type Value;

    /// The row for documentation and schema.
    fn spec(&self, name: &'static str, doc: &'static str) -> FieldSpec;

    /// Takes the field out of the object; `None` when an error was reported.
    fn take(&self, fields: &mut Fields<'_, '_, '_>, key: &str) -> Option<Self::Value>;
}

#[derive(Debug)]
pub(crate) struct Required<K>(K);

#[derive(Debug)]
pub(crate) struct Optional<K>(K);

#[derive(Debug)]
pub(crate) struct Defaulted<K, D>(K, D);

fn spec_of<K: Kind>(kind: &K, name: &'static str, doc: &'static str, presence: Presence) -> FieldSpec {
    let (expanded, multi_valued) = kind.expansion();
    FieldSpec { name, doc: doc.trim(), shape: kind.shape(), presence, expanded, multi_valued }
}

impl<K: Kind> Slot for Required<K> {
    type Value = K::Value;

    fn spec(&self, name: &'static str, doc: &'static str) -> FieldSpec {
        spec_of(&self.0, name, doc, Presence::Required)
    }

    fn take(&self, fields: &mut Fields<'_, '_, '_>, key: &str) -> Option<K::Value> {
        match fields.member(key) {
            Some(member) => self.0.read(fields, key, &member.node),
            None => fields.missing(key),
        }
    }
}

impl<K: Kind> Slot for Optional<K> {
    type Value = Option<K::Value>;

    fn spec(&self, name: &'static str, doc: &'static str) -> FieldSpec {
        spec_of(&self.0, name, doc, Presence::Optional)
    }

    fn take(&self, fields: &mut Fields<'_, '_, '_>, key: &str) -> Option<Option<K::Value>> {
        match fields.member(key) {
            Some(member) if member.node.value != Value::Null => self.0.read(fields, key, &member.node).map(Some),
            _ => Some(None),
        }
    }
}

/// A default value: as Rust, and as the JSON that one could have written.
pub(crate) trait DefaultValue<T> {
    fn value(&self) -> T;
    fn json(&self) -> String;
}

impl DefaultValue<bool> for bool {
    fn value(&self) -> bool {
        *self
    }

    fn json(&self) -> String {
        self.to_string()
    }
}

impl DefaultValue<String> for &'static str {
    fn value(&self) -> String {
        (*self).to_owned()
    }

    fn json(&self) -> String {
        format!("\"{self}\"")
    }
}

impl DefaultValue<u64> for u64 {
    fn value(&self) -> u64 {
        *self
    }

    fn json(&self) -> String {
        self.to_string()
    }
}

impl DefaultValue<u8> for u8 {
    fn value(&self) -> u8 {
        *self
    }

    fn json(&self) -> String {
        self.to_string()
    }
}

/// The default of a list: no elements.
#[derive(Debug)]
pub(crate) struct Empty;

impl<T> DefaultValue<Vec<T>> for Empty {
    fn value(&self) -> Vec<T> {
        Vec::new()
    }

    fn json(&self) -> String {
        "[]".to_owned()
    }
}

impl<K: Kind, D: DefaultValue<K::Value>> Slot for Defaulted<K, D> {
    type Value = K::Value;

    fn spec(&self, name: &'static str, doc: &'static str) -> FieldSpec {
        spec_of(&self.0, name, doc, Presence::Default(self.1.json()))
    }

    fn take(&self, fields: &mut Fields<'_, '_, '_>, key: &str) -> Option<K::Value> {
        match fields.member(key) {
            Some(member) => self.0.read(fields, key, &member.node),
            None => Some(self.1.value()),
        }
    }
}

/// `true` or `false`.
pub(crate) const FLAG: Flag = Flag;

#[derive(Debug)]
pub(crate) struct Flag;

impl Kind for Flag {
    type Value = bool;

    fn shape(&self) -> Shape {
        Shape::Flag
    }

    fn read(&self, fields: &mut Fields<'_, '_, '_>, key: &str, node: &Node) -> Option<bool> {
        match node.value {
            Value::Flag(flag) => Some(flag),
            _ => fields.wrong_type(key, node, self.shape().describe()),
        }
    }
}

/// A whole number within bounds.
#[derive(Debug)]
pub(crate) struct Integer<N> {
    pub(crate) min: N,
    pub(crate) max: N,
}

impl<N: Copy + Into<u64> + TryFrom<u64>> Kind for Integer<N> {
    type Value = N;

    fn shape(&self) -> Shape {
        Shape::Integer { min: self.min.into(), max: self.max.into() }
    }

    fn read(&self, fields: &mut Fields<'_, '_, '_>, key: &str, node: &Node) -> Option<N> {
        let Value::Number(digits) = &node.value else {
            return fields.wrong_type(key, node, self.shape().describe());
        };
        let (min, max) = (self.min.into(), self.max.into());
        let number = digits.parse::<u64>().ok().filter(|number| (min..=max).contains(number));
        match number.and_then(|number| N::try_from(number).ok()) {
            Some(number) => Some(number),
            None => {
                let message = format!("`{key}` must be a whole number from {min} to {max}");
                fields.fail(node.span, "", Diagnostic::error("template::bad-value", message))
            }
        }
    }
}

/// A string out of a fixed list.
#[derive(Debug)]
pub(crate) struct Keyword<T: 'static>(pub(crate) &'static [(&'static str, T)]);

impl<T: Copy> Keyword<T> {
    fn words(&self) -> impl Iterator<Item = &'static str> + use<T> {
        self.0.iter().map(|(word, _)| *word)
    }
}

impl<T: Copy> Kind for Keyword<T> {
    type Value = T;

    fn shape(&self) -> Shape {
        Shape::Keyword(self.words().collect())
    }

    fn read(&self, fields: &mut Fields<'_, '_, '_>, key: &str, node: &Node) -> Option<T> {
        let Value::Text(word) = &node.value else {
            return fields.wrong_type(key, node, self.shape().describe());
        };
        if let Some((_, value)) = self.0.iter().find(|(known, _)| known == word) {
            return Some(*value);
        }
        let message = format!("`{}` is not a value of `{key}`", word.escape_debug());
        let help = match nearest(word, self.words()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known values: {}", quoted_list(self.words())),
        };
        fields.fail(node.span, "", Diagnostic::error("template::bad-value", message).help(help))
    }
}

/// A user by name, as its id.
pub(crate) const OWNER: Named = Named(owner::USER);

/// A group by name, as its id.
pub(crate) const GROUP: Named = Named(owner::GROUP);

#[derive(Debug)]
pub(crate) struct Named(Table);

impl Kind for Named {
    type Value = u32;

    fn shape(&self) -> Shape {
        Shape::Keyword(self.0.names().collect())
    }

    fn read(&self, fields: &mut Fields<'_, '_, '_>, key: &str, node: &Node) -> Option<u32> {
        let Value::Text(name) = &node.value else {
            let message = format!("`{key}` must be the name of a {}, not {}", self.0.what, node.value.describe());
            return fields.fail(node.span, node.value.describe(), Diagnostic::error("template::wrong-type", message));
        };
        if let Some(id) = self.0.id(name) {
            return Some(id);
        }
        let message = format!("unknown {} `{}`", self.0.what, name.escape_debug());
        let help = match nearest(name, self.0.names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the {}s that a template can name are fixed: {}", self.0.what, quoted_list(self.0.names())),
        };
        fields.fail(node.span, "", Diagnostic::error(self.0.code, message).help(help))
    }
}

/// Permission bits as a string of octal digits.
pub(crate) const MODE: Mode = Mode;

#[derive(Debug)]
pub(crate) struct Mode;

impl Kind for Mode {
    type Value = u16;

    fn shape(&self) -> Shape {
        Shape::Octal
    }

    fn read(&self, fields: &mut Fields<'_, '_, '_>, key: &str, node: &Node) -> Option<u16> {
        let Value::Text(digits) = &node.value else {
            return fields.wrong_type(key, node, self.shape().describe());
        };
        let octal = !digits.is_empty() && digits.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
        if let Some(mode) = u16::from_str_radix(digits, 8).ok().filter(|mode| octal && *mode <= 0o7777) {
            return Some(mode);
        }
        let message = format!("`{}` is not a mode", digits.escape_debug());
        let help = "a mode is octal, from \"0\" to \"7777\", such as \"0644\" or \"4755\"";
        fields.fail(node.span, "", Diagnostic::error("template::bad-mode", message).help(help))
    }
}

/// An object with a table of its own.
#[derive(Debug)]
pub(crate) struct Nested<T>(std::marker::PhantomData<T>);

impl<T> Nested<T> {
    pub(crate) const fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<T: FieldSet> Kind for Nested<T> {
    type Value = T;

    fn shape(&self) -> Shape {
        Shape::Object(T::specs())
    }

    fn read(&self, fields: &mut Fields<'_, '_, '_>, key: &str, node: &Node) -> Option<T> {
        let Value::Object(members) = &node.value else {
            return fields.wrong_type(key, node, "an object");
        };
        let place = fields.at(node.span);
        let mut inner = Fields::new(fields.env, place, format!("`{key}`"), members);
        inner.check_keys(&T::keys());
        T::read(&mut inner)
    }
}
