//! Reading of values whose faults are told without the values.
//!
//! serde quotes what it cannot use (``invalid type: integer `12345`, expected a string``), and what it cannot use may be a
//! password that somebody wrote without its quotation marks. Errors end in logs and answers, so everything that comes
//! from a configuration or a plugin is read with [`from_value`], which names kinds only.
//!
//! What is generic here is in every plugin once for each type that it reads, so whatever does not depend on the type is in
//! functions of its own that are not inlined.

use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::Value;

/// A value does not have the shape that it should have. Values are not in the message, unless a type puts them there with
/// [`serde::de::Error::custom`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.message)]
pub struct ShapeError(Box<Misshape>);

/// On the heap, because every reader of every type hands it on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Misshape {
    message: String,
    key: String,
    help: Option<String>,
}

impl ShapeError {
    /// Which part of the value has the wrong shape, as configuration files write it: `interface[0].mtu`. Empty for the
    /// value itself.
    pub fn key(&self) -> &str {
        &self.0.key
    }

    /// What to write instead, where that can be said.
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    // These are called from every reader, so they are not to become a part of each.

    /// The same error of a value that holds this one under a key.
    #[cold]
    #[inline(never)]
    fn within(mut self, outer: &str) -> Self {
        let inner = &self.0.key;
        let separator = if inner.is_empty() || inner.starts_with('[') { "" } else { "." };
        self.0.key = format!("{outer}{separator}{inner}");
        self
    }

    /// The same error of a list that holds this value.
    #[cold]
    #[inline(never)]
    fn within_item(self, index: usize) -> Self {
        self.within(&format!("[{index}]"))
    }

    #[cold]
    #[inline(never)]
    fn said(message: fmt::Arguments<'_>) -> Self {
        Self(Box::new(Misshape { message: message.to_string(), key: String::new(), help: None }))
    }

    fn helped(mut self, help: Option<String>) -> Self {
        self.0.help = help;
        self
    }
}

/// Reads a value.
///
/// # Errors
///
/// When it does not have the type's shape.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, ShapeError> {
    T::deserialize(Shape(value))
}

/// What a value is, without the value.
fn kind(unexpected: Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(_) => "boolean".to_owned(),
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "integer".to_owned(),
        Unexpected::Float(_) => "floating point number".to_owned(),
        Unexpected::Char(_) | Unexpected::Str(_) => "string".to_owned(),
        Unexpected::Unit => "null".to_owned(),
        // Free text, in which serde quotes large integers.
        Unexpected::Other(_) => "another type".to_owned(),
        other => other.to_string(),
    }
}

impl serde::de::Error for ShapeError {
    #[cold]
    #[inline(never)]
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::said(format_args!("{message}"))
    }

    #[cold]
    #[inline(never)]
    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        // In serde's words a list is a sequence, and a table a map, which is what one pair of brackets makes of a list of tables.
        let is_list = expected.to_string() == "a sequence";
        let help = is_list
            .then(|| "a list is meant: [ ] around its values, or [[ ]] around the name of its tables".to_owned());
        Self::said(format_args!("invalid type: {}, expected {expected}", kind(unexpected))).helped(help)
    }

    #[cold]
    #[inline(never)]
    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::said(format_args!("invalid value: {}, expected {expected}", kind(unexpected)))
    }

    #[cold]
    #[inline(never)]
    fn missing_field(field: &'static str) -> Self {
        Self::said(format_args!("missing field `{field}`"))
    }

    #[cold]
    #[inline(never)]
    fn duplicate_field(field: &'static str) -> Self {
        Self::said(format_args!("duplicate field `{field}`"))
    }

    #[cold]
    #[inline(never)]
    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let near = expected.iter().map(|name| (strsim::osa_distance(&field.to_ascii_lowercase(), name), *name)).min();
        let near = near.filter(|(distance, _)| *distance <= field.chars().count().div_ceil(3));
        let names: Vec<_> = expected.iter().map(|name| format!("`{name}`")).collect();
        let one_of = if names.len() > 1 { "one of " } else { "" };
        let expected = if names.is_empty() { "none".to_owned() } else { format!("{one_of}{}", names.join(", ")) };
        Self::said(format_args!("unknown field `{field}`, expected {expected}"))
            .helped(near.map(|(_, name)| format!("did you mean {name}?")))
    }

    #[cold]
    #[inline(never)]
    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        let names: Vec<_> = expected.iter().map(|name| format!("`{name}`")).collect();
        Self::said(format_args!("unknown variant, expected one of {}", names.join(", ")))
    }
}

/// A value to read, as a deserializer.
struct Shape(Value);

/// The items of a list.
struct Items {
    rest: std::vec::IntoIter<Value>,
    taken: usize,
}

impl Items {
    /// Something in place of a list is told as not `expected`.
    #[inline(never)]
    fn of(value: Value, expected: &dyn Expected) -> Result<Self, ShapeError> {
        match value {
            Value::Array(items) => Ok(Self { rest: items.into_iter(), taken: 0 }),
            other => Err(unfit(&other, expected)),
        }
    }

    #[inline(never)]
    fn advance(&mut self) -> Option<Value> {
        self.taken += 1;
        self.rest.next()
    }

    /// For what may be read before its end is met: serde's lists read to their end, and tuples know their length.
    #[inline(never)]
    fn end(&self) -> Result<(), ShapeError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(ShapeError::said(format_args!(
                "invalid length {}, expected {} elements",
                self.taken + left,
                self.taken
            ))),
        }
    }
}

impl<'de> SeqAccess<'de> for Items {
    type Error = ShapeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ShapeError> {
        let Some(item) = self.advance() else { return Ok(None) };
        seed.deserialize(Shape(item)).map(Some).map_err(|error| error.within_item(self.taken - 1))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// The members of an object. Every visitor of one reads them to their end.
struct Members {
    rest: serde_json::map::IntoIter,
    /// The one whose key was read; its value is taken from here.
    key: String,
    value: Value,
}

impl Members {
    /// Something in place of an object is told as not `expected`.
    #[inline(never)]
    fn of(value: Value, expected: &dyn Expected) -> Result<Self, ShapeError> {
        match value {
            Value::Object(members) => Ok(Self { rest: members.into_iter(), key: String::new(), value: Value::Null }),
            other => Err(unfit(&other, expected)),
        }
    }

    /// Whether there was another one.
    #[inline(never)]
    fn advance(&mut self) -> bool {
        let Some((key, value)) = self.rest.next() else { return false };
        self.key = key;
        self.value = value;
        true
    }
}

impl<'de> MapAccess<'de> for Members {
    type Error = ShapeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ShapeError> {
        if !self.advance() {
            return Ok(None);
        }
        seed.deserialize(Key(&self.key)).map(Some).map_err(|error| error.within(&self.key))
    }

    // One for each type of a member, and not one for each member.
    #[inline(never)]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ShapeError> {
        seed.deserialize(Shape(self.value.take())).map_err(|error| error.within(&self.key))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// A variant by its name, or an object of one member: the name, and what the variant holds.
struct Variant {
    name: String,
    value: Option<Value>,
}

impl Variant {
    #[inline(never)]
    fn of(value: Value) -> Result<Self, ShapeError> {
        match value {
            Value::String(name) => return Ok(Self { name, value: None }),
            Value::Object(members) => {
                let mut members = members.into_iter();
                if let (Some((name, value)), None) = (members.next(), members.next()) {
                    return Ok(Self { name, value: Some(value) });
                }
            }
            _ => (),
        }
        Err(ShapeError::said(format_args!("expected the name of a variant, or a table of one")))
    }

    /// What it holds; what holds nothing is told as not `expected`.
    #[inline(never)]
    fn held(&mut self, expected: &str) -> Result<Value, ShapeError> {
        self.value.take().ok_or_else(|| ShapeError::invalid_type(Unexpected::UnitVariant, &expected))
    }
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = ShapeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), ShapeError> {
        Ok((seed.deserialize(Key(&self.name))?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant {
    type Error = ShapeError;

    #[inline(never)]
    fn unit_variant(self) -> Result<(), ShapeError> {
        match self.value {
            None => Ok(()),
            Some(_) => self.newtype_variant_seed(std::marker::PhantomData),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(mut self, seed: T) -> Result<T::Value, ShapeError> {
        let value = self.held("newtype variant")?;
        seed.deserialize(Shape(value)).map_err(|error| error.within(&self.name))
    }

    fn tuple_variant<V: Visitor<'de>>(mut self, length: usize, visitor: V) -> Result<V::Value, ShapeError> {
        let value = self.held("tuple variant")?;
        Shape(value).deserialize_tuple(length, visitor).map_err(|error| error.within(&self.name))
    }

    fn struct_variant<V: Visitor<'de>>(
        mut self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        let value = self.held("struct variant")?;
        Shape(value).deserialize_map(visitor).map_err(|error| error.within(&self.name))
    }
}

/// Methods that read one kind of value. The rest is refused here, as serde refuses it, and not by each type's visitor.
macro_rules! scalars {
    ($($method:ident: $pattern:pat => $visit:ident($($argument:expr)?);)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
            match self.0 {
                $pattern => visitor.$visit($($argument)?),
                other => Err(unfit(&other, &visitor)),
            }
        }
    )*};
}

macro_rules! numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
            match self.0 {
                Value::Number(number) => read_number(&number, visitor),
                other => Err(unfit(&other, &visitor)),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Shape {
    type Error = ShapeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(truth) => visitor.visit_bool(truth),
            Value::Number(number) => read_number(&number, visitor),
            Value::String(text) => visitor.visit_string(text),
            list @ Value::Array(_) => Shape(list).deserialize_seq(visitor),
            object @ Value::Object(_) => Shape(object).deserialize_map(visitor),
        }
    }

    // What follows is not left to `deserialize_any`, because a visitor of a struct takes a list of its members, too: whoever
    // wrote a list where a table belongs would not be told. And each struct's reader of lists would be in every plugin.

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        let mut members = Members::of(self.0, &visitor)?;
        visitor.visit_map(&mut members)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        let mut items = Items::of(self.0, &visitor)?;
        visitor.visit_seq(&mut items)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ShapeError> {
        let mut items = Items::of(self.0, &visitor)?;
        let value = visitor.visit_seq(&mut items)?;
        items.end().map(|()| value)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ShapeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        visitor.visit_enum(Variant::of(self.0)?)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        visitor.visit_unit()
    }

    scalars! {
        deserialize_bool: Value::Bool(truth) => visit_bool(truth);
        deserialize_char: Value::String(text) => visit_string(text);
        deserialize_str: Value::String(text) => visit_string(text);
        deserialize_string: Value::String(text) => visit_string(text);
        deserialize_unit: Value::Null => visit_unit();
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 deserialize_u8 deserialize_u16
        deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
    }

    forward_to_deserialize_any! {
        bytes byte_buf unit_struct identifier
    }
}

fn read_number<'de, V: Visitor<'de>>(number: &serde_json::Number, visitor: V) -> Result<V::Value, ShapeError> {
    match (number.as_u64(), number.as_i64(), number.as_f64()) {
        (Some(unsigned), ..) => visitor.visit_u64(unsigned),
        (None, Some(signed), _) => visitor.visit_i64(signed),
        (None, None, float) => visitor.visit_f64(float.unwrap_or(f64::NAN)),
    }
}

/// A value of another kind than belongs there.
#[cold]
#[inline(never)]
fn unfit(value: &Value, expected: &dyn Expected) -> ShapeError {
    let is = match value {
        Value::Null => Unexpected::Unit,
        Value::Bool(truth) => Unexpected::Bool(*truth),
        Value::Number(number) if number.is_f64() => Unexpected::Float(f64::NAN),
        Value::Number(_) => Unexpected::Unsigned(0),
        Value::String(text) => Unexpected::Str(text),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
    };
    serde::de::Error::invalid_type(is, expected)
}

/// The key of an object. JSON has texts only, and other types are written as texts, as `serde_json` does.
struct Key<'a>(&'a str);

/// Methods that read a key as another type than text.
macro_rules! parsed_keys {
    ($($method:ident $visit:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
            match self.0.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(ShapeError::invalid_type(Unexpected::Str(self.0), &visitor)),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Key<'_> {
    type Error = ShapeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        visitor.visit_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ShapeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        visitor.visit_enum(Variant { name: self.0.to_owned(), value: None })
    }

    parsed_keys! {
        deserialize_bool visit_bool
        deserialize_i8 visit_i8 deserialize_i16 visit_i16 deserialize_i32 visit_i32 deserialize_i64 visit_i64
        deserialize_i128 visit_i128
        deserialize_u8 visit_u8 deserialize_u16 visit_u16 deserialize_u32 visit_u32 deserialize_u64 visit_u64
        deserialize_u128 visit_u128 deserialize_f32 visit_f32 deserialize_f64 visit_f64
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
