//! `pkg5.image`: how an image is set up, beside which packages it has.

use super::ini::{Ini, Literal};
use super::publisher::{PublisherConfig, read_publishers, write_publisher};
use crate::facet::{self, Facets};
use crate::fmri::Publisher;
use crate::mediator::{Choice, Implementation, Mediation, Mediators, Source};
use crate::resolve::RankedPublisher;
use crate::text::{quote_component, unquote_component};
use crate::variant::Variants;

/// A configuration is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A line breaks the grammar.
    #[error("line {line}: {reason}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// A value is not what it has to be.
    #[error("`{name}` in section `{section}` is `{value}`, which is not {wanted}")]
    Value {
        /// The section.
        section: String,
        /// The name of the value.
        name: String,
        /// The value.
        value: String,
        /// What is wanted there.
        wanted: &'static str,
    },
    /// The image is of a form that is not known.
    #[error("the image has format {found}, and only 4 is known")]
    Version {
        /// The format found.
        found: String,
    },
}

/// The configuration of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageConfig {
    /// The publishers in search order.
    pub publishers: Vec<PublisherConfig>,
    /// The variants.
    pub variants: Variants,
    /// The facets.
    pub facets: Facets,
    /// The mediators.
    pub mediators: Mediators,
    /// Everything else, properties among it, as it stands in the file.
    other: Ini,
}

const IMAGE_FORMAT: &str = "4";
/// What begins the name of the section of a publisher.
pub(super) const AUTHORITY: &str = "authority_";

impl ImageConfig {
    /// The configuration of a new image for an architecture (`i386` for all of x86).
    #[must_use]
    pub fn new(arch: &str) -> Self {
        let mut other = Ini::default();
        other.set("CONFIGURATION", "version", "3");
        other.set("image", "version", IMAGE_FORMAT);
        Self {
            publishers: Vec::new(),
            variants: Variants::new(arch),
            facets: Facets::default(),
            mediators: Mediators::new(),
            other,
        }
    }

    /// Reads `pkg5.image`.
    ///
    /// # Errors
    /// A line or a value breaks its grammar, or the image is of another format.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let mut ini = Ini::parse(text)?;
        match ini.get("image", "version") {
            Some(IMAGE_FORMAT) => {}
            found => return Err(ConfigError::Version { found: found.unwrap_or("none").to_owned() }),
        }
        let mut config = Self::new("");
        config.variants = read_variants(&mut ini);
        for section in ["facet", "inherited_facet"] {
            read_facets(&mut ini, section, &mut config.facets)?;
        }
        config.mediators = read_mediators(&mut ini)?;
        config.publishers = read_publishers(&mut ini)?;
        config.other = ini;
        Ok(config)
    }

    /// A property, as text.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        self.other.get("property", name)
    }

    /// A property that is a list of texts; one that is no list is one text.
    #[must_use]
    pub fn property_list(&self, name: &str) -> Vec<String> {
        list_or_text(self.property(name).unwrap_or_default())
    }

    /// A property of a publisher that is a list of texts; one that is no list is one text.
    #[must_use]
    pub fn publisher_property_list(&self, publisher: &Publisher, name: &str) -> Vec<String> {
        list_or_text(self.publisher_property(publisher, name).unwrap_or_default())
    }

    /// Sets a property that is a list of texts.
    pub fn set_property_list(&mut self, name: &str, values: &[String]) {
        self.set_property(name, &Literal::list(values).to_string());
    }

    /// Sets a property.
    pub fn set_property(&mut self, name: &str, value: &str) {
        self.other.set("property", name, value);
    }

    /// A property of a publisher, as text; the ones of the image are others.
    #[must_use]
    pub fn publisher_property(&self, publisher: &Publisher, name: &str) -> Option<&str> {
        self.other.get(&format!("{AUTHORITY}{publisher}"), &format!("property.{name}"))
    }

    /// Sets a property of a publisher.
    pub fn set_publisher_property(&mut self, publisher: &Publisher, name: &str, value: &str) {
        self.other.set(&format!("{AUTHORITY}{publisher}"), &format!("property.{name}"), value);
    }

    /// The publisher with this name.
    #[must_use]
    pub fn publisher(&self, name: &Publisher) -> Option<&PublisherConfig> {
        self.publishers.iter().find(|publisher| publisher.name == *name)
    }

    /// The publishers as resolution sees them.
    #[must_use]
    pub fn ranked_publishers(&self) -> Vec<RankedPublisher> {
        let enabled = self.publishers.iter().filter(|publisher| !publisher.is_disabled);
        enabled.map(|p| RankedPublisher { name: p.name.clone(), is_sticky: p.is_sticky }).collect()
    }

    /// The text of `pkg5.image`.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut ini = self.other.clone();
        let order: Vec<String> = self.publishers.iter().map(|publisher| publisher.name.to_string()).collect();
        ini.set("property", "publisher-search-order", Literal::list(&order).to_string());
        for (name, value) in self.variants.iter() {
            ini.set("variant", &quote_component(name), value);
        }
        let facets = self.facets.local().map(|facet| ("facet", facet));
        let inherited = self.facets.inherited().map(|facet| ("inherited_facet", facet));
        for (section, (name, value)) in facets.chain(inherited) {
            ini.set(section, &quote_component(name), word(value));
        }
        for (name, choice) in &self.mediators {
            write_mediator(&mut ini, name, choice);
        }
        for publisher in &self.publishers {
            write_publisher(&mut ini, publisher);
        }
        ini.to_string()
    }
}

fn list_or_text(text: &str) -> Vec<String> {
    Literal::texts(text).unwrap_or_else(|| vec![text.to_owned()])
}

pub(super) fn word(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

pub(super) fn wrong(section: &str, name: &str, value: &str, wanted: &'static str) -> ConfigError {
    let (section, name) = (section.to_owned(), name.to_owned());
    ConfigError::Value { section, name, value: crate::text::shown(value), wanted }
}

fn read_variants(ini: &mut Ini) -> Variants {
    let section = ini.0.remove("variant").unwrap_or_default();
    let mut variants = Variants::new(section.get("variant.arch").map_or("", String::as_str));
    for (quoted, value) in &section {
        variants.set(unquote_component(quoted).as_deref().unwrap_or(quoted), value);
    }
    variants
}

fn read_facets(ini: &mut Ini, section: &str, facets: &mut Facets) -> Result<(), ConfigError> {
    for (quoted, value) in ini.0.remove(section).unwrap_or_default() {
        let name = unquote_component(&quoted).filter(|name| name.starts_with(facet::PREFIX));
        let name = name.ok_or_else(|| wrong(section, &quoted, &value, "for the name of a facet"))?;
        let value = match value.to_lowercase().as_str() {
            "true" => true,
            "false" => false,
            _ => return Err(wrong(section, &quoted, &value, "`True` or `False`")),
        };
        if section == "facet" {
            facets.set(&name, Some(value));
        } else {
            facets.set_inherited(&name, Some(value));
        }
    }
    Ok(())
}

fn read_mediators(ini: &mut Ini) -> Result<Mediators, ConfigError> {
    let section = ini.0.remove("mediators").unwrap_or_default();
    let mut mediators = Mediators::new();
    for (key, value) in &section {
        let fail = |wanted| wrong("mediators", key, value, wanted);
        let (name, what) = key.rsplit_once('.').ok_or_else(|| fail("for a part of a mediator"))?;
        let choice = mediators.entry(name.to_owned()).or_insert(Choice {
            mediation: Mediation::default(),
            version_source: Source::System,
            implementation_source: Source::System,
            is_version_open: false,
        });
        let source = || Source::from_name(value).ok_or_else(|| fail("who chose it"));
        match what {
            "version" => choice.mediation.version = Some(value.parse().map_err(|_| fail("a version"))?),
            "version-source" => choice.version_source = source()?,
            "implementation-source" => choice.implementation_source = source()?,
            "implementation" => {
                let version = section.get(&format!("{name}.implementation-version"));
                // A version of its own is one that the user left open.
                choice.is_version_open = version.is_some();
                let whole = version.map_or_else(|| value.clone(), |version| format!("{value}@{version}"));
                let parsed = Implementation::parse(&whole).ok_or_else(|| fail("an implementation"))?;
                choice.mediation.implementation = Some(parsed);
            }
            "implementation-version" => {}
            _ => return Err(fail("for a known part of a mediator")),
        }
    }
    Ok(mediators)
}

/// Both sources are always there: the client takes them out again without looking for them first.
fn write_mediator(ini: &mut Ini, name: &str, choice: &Choice) {
    let mut set = |what: &str, value: String| ini.set("mediators", &format!("{name}.{what}"), value);
    set("version-source", choice.version_source.name().to_owned());
    set("implementation-source", choice.implementation_source.name().to_owned());
    if let Some(version) = &choice.mediation.version {
        set("version", version.to_string());
    }
    match &choice.mediation.implementation {
        Some(Implementation { name, version: Some(version) })
            if choice.is_version_open && choice.implementation_source == Source::Local =>
        {
            set("implementation", name.clone());
            set("implementation-version", version.to_string());
        }
        Some(implementation) => set("implementation", implementation.to_string()),
        None => {}
    }
}
