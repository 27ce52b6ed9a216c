//! Features: names with values that choose between variants of a template.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// Why a `-F` directive was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeatureError {
    /// The name breaks the rule for names.
    #[error("feature `{directive}`: `{name}` is not a feature name")]
    BadName {
        /// The directive as given.
        directive: String,
        /// The part that should be a name.
        name: String,
    },
    /// A value has a character that is not printable ASCII.
    #[error("feature `{directive}`: the value has a character other than printable ASCII")]
    BadValue {
        /// The directive as given.
        directive: String,
    },
    /// Nothing follows the operator.
    #[error("feature `{directive}`: no value after `{operator}`")]
    EmptyValue {
        /// The directive as given.
        directive: String,
        /// `=`, `+=`, `-=` or `~=`.
        operator: &'static str,
    },
    /// `^NAME=VALUE`.
    #[error("feature `{directive}`: `^` removes the whole feature and takes no value")]
    RemovalWithValue {
        /// The directive as given.
        directive: String,
    },
}

impl FeatureError {
    /// What to write instead.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::BadName { .. } => {
                "a name starts with a letter, goes on with letters, digits, `_` and `-`, and does not end in `-`"
            }
            Self::BadValue { .. } => "values are printable ASCII; spaces are allowed",
            Self::EmptyValue { .. } => {
                "write NAME alone for a feature without a particular value, or ^NAME to remove it"
            }
            Self::RemovalWithValue { .. } => "write NAME-=VALUE to remove one value",
        }
    }
}

/// A feature that the template declares at its top level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeclaredFeature {
    /// Its name.
    pub name: String,
    /// Its value when no directive names it; `None` leaves it undefined.
    pub default: Option<String>,
    /// What it is for.
    pub doc: Option<String>,
}

/// The features of one build: each defined name has one or more values, in the order in which they were given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Features {
    values: BTreeMap<String, Vec<String>>,
    /// Every name a directive spoke of, removals included: a declared default applies to the others only.
    #[serde(skip)]
    mentioned: BTreeSet<String>,
}

impl Features {
    /// No features.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies directives in order.
    ///
    /// # Errors
    /// The first directive that cannot be understood.
    pub fn from_directives<S: AsRef<str>>(directives: impl IntoIterator<Item = S>) -> Result<Self, FeatureError> {
        let mut features = Self::default();
        for directive in directives {
            features.apply(directive.as_ref())?;
        }
        Ok(features)
    }

    /// Applies one directive: `NAME`, `NAME=VALUE`, `NAME+=VALUE`, `NAME-=VALUE`, `NAME~=VALUE` or `^NAME`.
    ///
    /// # Errors
    /// When the directive cannot be understood; nothing changes then.
    pub fn apply(&mut self, directive: &str) -> Result<(), FeatureError> {
        let parsed = Directive::parse(directive)?;
        let name = parsed.name.to_owned();
        self.mentioned.insert(name.clone());
        match parsed.action {
            Action::Set(value) => {
                self.values.insert(name, vec![value.to_owned()]);
            }
            Action::Add(value) => self.add(name, value),
            Action::Take(value) => self.take(&name, value),
            Action::Remove => {
                self.values.remove(&name);
            }
        }
        Ok(())
    }

    fn add(&mut self, name: String, value: &str) {
        let values = self.values.entry(name).or_default();
        if !values.iter().any(|known| known == value) {
            values.push(value.to_owned());
        }
    }

    fn take(&mut self, name: &str, value: &str) {
        if let Some(values) = self.values.get_mut(name) {
            values.retain(|known| known != value);
            if values.is_empty() {
                self.values.remove(name);
            }
        }
    }

    /// Gives declared features that no directive named their default value.
    pub(crate) fn apply_defaults(&mut self, declared: &[DeclaredFeature]) {
        for feature in declared {
            if let Some(default) = &feature.default {
                if !self.mentioned.contains(&feature.name) {
                    self.values.insert(feature.name.clone(), vec![default.clone()]);
                }
            }
        }
    }

    /// Whether the feature has any value.
    #[must_use]
    pub fn is_defined(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// The values in the order in which they were given; empty when undefined.
    #[must_use]
    pub fn values(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// Defined features, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.values.iter().map(|(name, values)| (name.as_str(), values.as_slice()))
    }

    /// These features, and of what no directive here spoke of, those of another build.
    #[must_use]
    pub fn completed_by(&self, other: &Self) -> Self {
        let mut completed = self.clone();
        for name in other.mentioned.iter().filter(|name| !self.mentioned.contains(*name)) {
            completed.mentioned.insert(name.clone());
            if let Some(values) = other.values.get(name) {
                completed.values.insert(name.clone(), values.clone());
            }
        }
        completed
    }

    /// Directives that lead to these features, as [`Features::from_directives`] reads them.
    #[must_use]
    pub fn to_directives(&self) -> Vec<String> {
        let of = |name: &String| match self.values(name) {
            [] => vec![format!("^{name}")],
            values => {
                let sign = |at: usize| if at == 0 { "=" } else { "+=" };
                values.iter().enumerate().map(|(at, value)| format!("{name}{}{value}", sign(at))).collect()
            }
        };
        self.mentioned.iter().flat_map(of).collect()
    }

    /// Every name that a directive spoke of, removals included.
    pub fn mentioned(&self) -> impl Iterator<Item = &str> {
        self.mentioned.iter().map(String::as_str)
    }
}

/// Whether a directive or a declaration may define this name.
pub(crate) fn is_feature_name(name: &str) -> bool {
    let starts_well = name.starts_with(|first: char| first.is_ascii_alphabetic());
    starts_well && !name.ends_with('-') && name.bytes().all(is_name_byte)
}

/// The characters of a name inside `${…}`.
pub(crate) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// Whether a directive may give this value.
pub(crate) fn is_feature_value(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

enum Action<'a> {
    Set(&'a str),
    Add(&'a str),
    Take(&'a str),
    Remove,
}

struct Directive<'a> {
    name: &'a str,
    action: Action<'a>,
}

impl<'a> Directive<'a> {
    fn parse(text: &'a str) -> Result<Self, FeatureError> {
        let directive = || text.to_owned();
        if let Some(name) = text.strip_prefix('^') {
            if name.contains('=') {
                return Err(FeatureError::RemovalWithValue { directive: directive() });
            }
            return Self::named(text, name, Action::Remove);
        }
        let Some((left, value)) = text.split_once('=') else {
            return Self::named(text, text, Action::Add("1"));
        };
        // A name never ends in one of these, so that the last character before `=` decides.
        let (name, operator, action) = if let Some(name) = left.strip_suffix('+') {
            (name, "+=", Action::Add(value))
        } else if let Some(name) = left.strip_suffix('-') {
            (name, "-=", Action::Take(value))
        } else if let Some(name) = left.strip_suffix('~') {
            (name, "~=", Action::Take(value))
        } else {
            (left, "=", Action::Set(value))
        };
        if value.is_empty() {
            return Err(FeatureError::EmptyValue { directive: directive(), operator });
        }
        if !is_feature_value(value) {
            return Err(FeatureError::BadValue { directive: directive() });
        }
        Self::named(text, name, action)
    }

    fn named(text: &str, name: &'a str, action: Action<'a>) -> Result<Self, FeatureError> {
        if is_feature_name(name) {
            Ok(Self { name, action })
        } else {
            Err(FeatureError::BadName { directive: text.to_owned(), name: name.to_owned() })
        }
    }
}
