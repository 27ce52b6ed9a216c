//! Where the values of a target or step stand, for what only the builder finds out about them.

use crate::diagnostic::Span;
use crate::json::{Member, Node, Value};
use crate::zfs;

/// The values of one object by their keys.
#[derive(Debug, Clone)]
pub(crate) struct ValuePlaces(Vec<ValuePlace>);

#[derive(Debug, Clone)]
struct ValuePlace {
    key: String,
    span: Span,
    /// The texts of a list as they are written.
    elements: Vec<(String, Span)>,
}

impl ValuePlaces {
    pub(crate) fn of(members: &[Member]) -> Self {
        let place = |member: &Member| {
            let elements = texts(&member.node).map(|(text, span)| (text.to_owned(), span)).collect();
            ValuePlace { key: member.key.clone(), span: member.node.span, elements }
        };
        Self(members.iter().map(place).collect())
    }

    /// The value of `key`; the last one where the key is repeated, as that one counts.
    pub(crate) fn value(&self, key: &str) -> Option<Span> {
        self.place(key).map(|place| place.span)
    }

    /// The last element called `name` in the list at `key`; the list itself, if expansion made the element.
    pub(crate) fn element(&self, key: &str, name: &str) -> Option<Span> {
        let place = self.place(key)?;
        let texts = place.elements.iter().map(|(text, span)| (text.as_str(), *span));
        Some(last_called(name, texts).unwrap_or(place.span))
    }

    fn place(&self, key: &str) -> Option<&ValuePlace> {
        self.0.iter().rev().find(|place| place.key == key)
    }
}

/// The last element called `name` in a list that is being read; the list itself, if expansion made the element.
pub(crate) fn element_span(list: &Node, name: &str) -> Span {
    last_called(name, texts(list)).unwrap_or(list.span)
}

fn texts(list: &Node) -> impl DoubleEndedIterator<Item = (&str, Span)> {
    let elements = match &list.value {
        Value::List(elements) => elements.as_slice(),
        _ => &[],
    };
    elements.iter().filter_map(|element| match &element.value {
        Value::Text(text) => Some((text.as_str(), element.span)),
        _ => None,
    })
}

fn last_called<'t>(name: &str, texts: impl DoubleEndedIterator<Item = (&'t str, Span)>) -> Option<Span> {
    texts.rev().find(|(text, _)| zfs::is_called(text, name)).map(|(_, span)| span)
}
