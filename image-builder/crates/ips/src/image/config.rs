//! `pkg5.image`: how an image is set up, beside which packages it has.

use super::ini::{Ini, Literal};
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

/// A publisher as an image knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublisherConfig {
    /// Its name.
    pub name: Publisher,
    /// Where its repositories are; each ends in a slash.
    pub origins: Vec<String>,
    /// Where copies of its files are.
    pub mirrors: Vec<String>,
    /// Whether its installed packages are only replaced by its own.
    pub is_sticky: bool,
    /// Whether it is left alone.
    pub is_disabled: bool,
    /// SHA-1 hashes of certificates that are trusted for this publisher.
    pub approved_ca_certs: Vec<String>,
}

impl PublisherConfig {
    /// A sticky publisher with these origins.
    #[must_use]
    pub fn new(name: Publisher, origins: &[&str]) -> Self {
        let origins = origins.iter().map(|origin| with_slash(origin)).collect();
        Self { name, origins, mirrors: Vec::new(), is_sticky: true, is_disabled: false, approved_ca_certs: Vec::new() }
    }
}

/// The address of a repository as images keep it: with a slash at its end.
#[must_use]
pub fn with_slash(uri: &str) -> String {
    format!("{}/", uri.trim_end_matches('/'))
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
const AUTHORITY: &str = "authority_";

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
        let text = self.property(name).unwrap_or_default();
        match Literal::texts(text) {
            Some(texts) => texts,
            None => vec![text.to_owned()],
        }
    }

    /// Sets a property that is a list of texts.
    pub fn set_property_list(&mut self, name: &str, values: &[String]) {
        self.set_property(name, &Literal::list(values).to_string());
    }

    /// Sets a property.
    pub fn set_property(&mut self, name: &str, value: &str) {
        self.other.set("property", name, value);
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
            ini.set("variant", name, value);
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

fn word(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

fn wrong(section: &str, name: &str, value: &str, wanted: &'static str) -> ConfigError {
    let (section, name) = (section.to_owned(), name.to_owned());
    ConfigError::Value { section, name, value: crate::text::shown(value), wanted }
}

fn read_variants(ini: &mut Ini) -> Variants {
    let section = ini.0.remove("variant").unwrap_or_default();
    let mut variants = Variants::new(section.get("variant.arch").map_or("", String::as_str));
    section.iter().for_each(|(name, value)| variants.set(name, value));
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
        });
        let source = || Source::from_name(value).ok_or_else(|| fail("who chose it"));
        match what {
            "version" => choice.mediation.version = Some(value.parse().map_err(|_| fail("a version"))?),
            "version-source" => choice.version_source = source()?,
            "implementation-source" => choice.implementation_source = source()?,
            "implementation" => {
                let version = section.get(&format!("{name}.implementation-version"));
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

fn write_mediator(ini: &mut Ini, name: &str, choice: &Choice) {
    let mut set = |what: &str, value: String| ini.set("mediators", &format!("{name}.{what}"), value);
    if let Some(version) = &choice.mediation.version {
        set("version", version.to_string());
        set("version-source", choice.version_source.name().to_owned());
    }
    if let Some(implementation) = &choice.mediation.implementation {
        set("implementation", implementation.name.clone());
        set("implementation-source", choice.implementation_source.name().to_owned());
        if let Some(version) = &implementation.version {
            set("implementation-version", version.to_string());
        }
    }
}

fn read_publishers(ini: &mut Ini) -> Result<Vec<PublisherConfig>, ConfigError> {
    let mut publishers = Vec::new();
    let sections: Vec<String> = ini.0.keys().filter(|name| name.starts_with(AUTHORITY)).cloned().collect();
    for section in sections {
        let name = section.strip_prefix(AUTHORITY).unwrap_or_default();
        let name = name.parse().map_err(|_| wrong(&section, "prefix", name, "the name of a publisher"))?;
        let text = |key: &str| ini.get(&section, key).unwrap_or_default();
        let list = |key: &str| {
            let value = text(key);
            Literal::texts(value).ok_or_else(|| wrong(&section, key, value, "a list of texts"))
        };
        publishers.push(PublisherConfig {
            name,
            origins: list("origins")?,
            mirrors: list("mirrors")?,
            is_sticky: !text("sticky").eq_ignore_ascii_case("false"),
            is_disabled: text("disabled").eq_ignore_ascii_case("true"),
            approved_ca_certs: list("approved_ca_certs")?,
        });
    }
    let order = ini.get("property", "publisher-search-order").unwrap_or_default();
    let order = Literal::texts(order)
        .ok_or_else(|| wrong("property", "publisher-search-order", order, "a list of publishers"))?;
    publishers.sort_by_key(|publisher| {
        let rank = order.iter().position(|name| name == publisher.name.as_str());
        (rank.unwrap_or(usize::MAX), publisher.name.clone())
    });
    // What is understood is written anew; the rest of each section stays.
    for publisher in &publishers {
        if let Some(section) = ini.0.get_mut(&format!("{AUTHORITY}{}", publisher.name)) {
            section.retain(|key, _| !WRITTEN.contains(&key.as_str()));
            if section.is_empty() {
                ini.0.remove(&format!("{AUTHORITY}{}", publisher.name));
            }
        }
    }
    Ok(publishers)
}

const WRITTEN: [&str; 8] =
    ["prefix", "origins", "origin_info", "mirrors", "mirror_info", "sticky", "disabled", "approved_ca_certs"];

fn write_publisher(ini: &mut Ini, publisher: &PublisherConfig) {
    let info = |uris: &[String]| {
        let text = |text: &str| Literal::Text(text.to_owned());
        let pairs = |uri: &String| {
            let pairs = [("uri", uri.as_str()), ("proxy", ""), ("disabled", "false")];
            Literal::Dict(pairs.map(|(key, value)| (text(key), text(value))).to_vec())
        };
        Literal::List(uris.iter().map(pairs).collect()).to_string()
    };
    let values = [
        publisher.name.to_string(),
        Literal::list(&publisher.origins).to_string(),
        info(&publisher.origins),
        Literal::list(&publisher.mirrors).to_string(),
        info(&publisher.mirrors),
        word(publisher.is_sticky).to_owned(),
        word(publisher.is_disabled).to_owned(),
        Literal::list(&publisher.approved_ca_certs).to_string(),
    ];
    for (key, value) in WRITTEN.into_iter().zip(values) {
        ini.set(&format!("{AUTHORITY}{}", publisher.name), key, value);
    }
}
