//! Reading of values whose faults are told without the values.
//!
//! serde quotes what it cannot use (``invalid type: integer `12345`, expected a string``), and what it cannot use may be a
//! password that somebody wrote without its quotation marks. Errors end in logs and answers, so everything that comes
//! from a configuration or a plugin is read with [`from_value`], which names kinds only.

use std::fmt;

use serde::de::value::StringDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

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
}

impl ShapeError {
    /// Which part of the value has the wrong shape, as configuration files write it: `interface[0].mtu`. Empty for the
    /// value itself.
    pub fn key(&self) -> &str {
        &self.0.key
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
        Self(Box::new(Misshape { message: message.to_string(), key: String::new() }))
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
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::said(format_args!("{message}"))
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::said(format_args!("invalid type: {}, expected {expected}", kind(unexpected)))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::said(format_args!("invalid value: {}, expected {expected}", kind(unexpected)))
    }

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

impl<'de> SeqAccess<'de> for Items {
    type Error = ShapeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ShapeError> {
        let Some(item) = self.rest.next() else { return Ok(None) };
        self.taken += 1;
        seed.deserialize(Shape(item)).map(Some).map_err(|error| error.within_item(self.taken - 1))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// The members of an object.
struct Members {
    rest: serde_json::map::IntoIter,
    /// The one whose key was read.
    open: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Members {
    type Error = ShapeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ShapeError> {
        self.open = self.rest.next();
        let Some((key, _)) = &self.open else { return Ok(None) };
        seed.deserialize(Key(key.clone())).map(Some).map_err(|error| error.within(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ShapeError> {
        let (key, value) = self.open.take().ok_or_else(|| ShapeError::said(format_args!("a value without its key")))?;
        seed.deserialize(Shape(value)).map_err(|error| error.within(&key))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// A variant that holds something, written as an object of one member.
struct Variant {
    name: String,
    value: Value,
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = ShapeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), ShapeError> {
        Ok((seed.deserialize(Key(self.name.clone()))?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant {
    type Error = ShapeError;

    fn unit_variant(self) -> Result<(), ShapeError> {
        self.newtype_variant_seed(std::marker::PhantomData)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ShapeError> {
        seed.deserialize(Shape(self.value)).map_err(|error| error.within(&self.name))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ShapeError> {
        Shape(self.value).deserialize_seq(visitor).map_err(|error| error.within(&self.name))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, ShapeError> {
        Shape(self.value).deserialize_map(visitor).map_err(|error| error.within(&self.name))
    }
}

fn no_variant() -> ShapeError {
    ShapeError::said(format_args!("expected the name of a variant, or a table of one"))
}

/// More was there than was read.
fn too_many(there: usize, read: usize) -> ShapeError {
    ShapeError::said(format_args!("invalid length {there}, expected {read} elements"))
}

impl<'de> Deserializer<'de> for Shape {
    type Error = ShapeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(truth) => visitor.visit_bool(truth),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(unsigned), ..) => visitor.visit_u64(unsigned),
                (None, Some(signed), _) => visitor.visit_i64(signed),
                (None, None, float) => visitor.visit_f64(float.unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_string(text),
            Value::Array(items) => read_items(items, visitor),
            Value::Object(members) => read_members(members, visitor),
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
        match self.0 {
            Value::Object(members) => read_members(members, visitor),
            other => Err(unfit(&other, &visitor)),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self.0 {
            Value::Array(items) => read_items(items, visitor),
            other => Err(unfit(&other, &visitor)),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ShapeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        self.deserialize_seq(visitor)
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
        match self.0 {
            Value::String(text) => visitor.visit_enum(text.into_deserializer()),
            Value::Object(members) => {
                let mut members = members.into_iter();
                match (members.next(), members.next()) {
                    (Some((name, value)), None) => visitor.visit_enum(Variant { name, value }),
                    _ => Err(no_variant()),
                }
            }
            _ => Err(no_variant()),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct identifier
    }
}

fn read_items<'de, V: Visitor<'de>>(items: Vec<Value>, visitor: V) -> Result<V::Value, ShapeError> {
    let mut items = Items { rest: items.into_iter(), taken: 0 };
    let value = visitor.visit_seq(&mut items)?;
    let (left, taken) = (items.rest.len(), items.taken);
    if left == 0 { Ok(value) } else { Err(too_many(taken + left, taken)) }
}

fn read_members<'de, V: Visitor<'de>>(members: Map<String, Value>, visitor: V) -> Result<V::Value, ShapeError> {
    let there = members.len();
    let mut members = Members { rest: members.into_iter(), open: None };
    let value = visitor.visit_map(&mut members)?;
    let left = members.rest.len();
    if left == 0 { Ok(value) } else { Err(too_many(there, there - left)) }
}

/// A list, a table or anything else where another one of them belongs.
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
struct Key(String);

/// Methods that read a key as another type than text.
macro_rules! parsed_keys {
    ($($method:ident $visit:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
            match self.0.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(ShapeError::invalid_type(Unexpected::Str(&self.0), &visitor)),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Key {
    type Error = ShapeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        visitor.visit_string(self.0)
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
        let name: StringDeserializer<ShapeError> = self.0.into_deserializer();
        visitor.visit_enum(name)
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
