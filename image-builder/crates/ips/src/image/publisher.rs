//! The publishers of an image, in its configuration.

use super::config::{AUTHORITY, ConfigError, word, wrong};
use super::ini::{Ini, Literal};
use crate::fmri::Publisher;

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
    /// What the image says of origins and of mirrors beside their addresses; nothing of those that are new.
    origin_info: Vec<Literal>,
    mirror_info: Vec<Literal>,
}

impl PublisherConfig {
    /// A sticky publisher with these origins.
    #[must_use]
    pub fn new(name: Publisher, origins: &[&str]) -> Self {
        let origins = origins.iter().map(|origin| with_slash(origin)).collect();
        Self {
            name,
            origins,
            mirrors: Vec::new(),
            is_sticky: true,
            is_disabled: false,
            approved_ca_certs: Vec::new(),
            origin_info: Vec::new(),
            mirror_info: Vec::new(),
        }
    }

    /// The origins that are asked: all but those that somebody has disabled.
    pub fn enabled_origins(&self) -> impl Iterator<Item = &str> {
        enabled(&self.origins, &self.origin_info)
    }

    /// The mirrors that are asked.
    pub fn enabled_mirrors(&self) -> impl Iterator<Item = &str> {
        enabled(&self.mirrors, &self.mirror_info)
    }

    /// Replaces the origins, of which nothing is known then but that they are asked.
    pub fn set_origins(&mut self, origins: Vec<String>) {
        self.origins = origins;
        self.origin_info.clear();
    }

    /// Replaces the mirrors in the same way.
    pub fn set_mirrors(&mut self, mirrors: Vec<String>) {
        self.mirrors = mirrors;
        self.mirror_info.clear();
    }
}

/// What is said of an address; several things, if it is reached by several proxies.
fn said_of<'i>(uri: &'i str, infos: &'i [Literal]) -> impl Iterator<Item = &'i Literal> {
    infos.iter().filter(move |info| info.text_at("uri") == Some(uri))
}

fn enabled<'i>(uris: &'i [String], infos: &'i [Literal]) -> impl Iterator<Item = &'i str> {
    let is_disabled = |uri: &str| {
        said_of(uri, infos).filter_map(|info| info.text_at("disabled")).any(|word| word.eq_ignore_ascii_case("true"))
    };
    uris.iter().map(String::as_str).filter(move |uri| !is_disabled(uri))
}

/// The address of a repository as images keep it: with a slash at its end.
#[must_use]
pub fn with_slash(uri: &str) -> String {
    format!("{}/", uri.trim_end_matches('/'))
}

pub(super) fn read_publishers(ini: &mut Ini) -> Result<Vec<PublisherConfig>, ConfigError> {
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
        let infos = |key: &str| match Literal::parse(text(key)) {
            Some(Literal::List(infos)) => worth_keeping(&infos),
            _ => Vec::new(),
        };
        publishers.push(PublisherConfig {
            origin_info: infos("origin_info"),
            mirror_info: infos("mirror_info"),
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

/// What is said of an address of which there is nothing to say.
fn fresh(uri: &str) -> Literal {
    let text = |text: &str| Literal::Text(text.to_owned());
    let pairs = [("uri", uri), ("proxy", ""), ("disabled", "false")];
    Literal::Dict(pairs.map(|(key, value)| (text(key), text(value))).to_vec())
}

/// What says more than that there is nothing to say.
fn worth_keeping(infos: &[Literal]) -> Vec<Literal> {
    let says_more = |info: &Literal| {
        let uri = info.text_at("uri").unwrap_or_default();
        *info != fresh(uri) || said_of(uri, infos).count() > 1
    };
    infos.iter().filter(|info| says_more(info)).cloned().collect()
}

/// What is said of addresses, as long as they are there; of those that are new, that they are asked directly.
fn info(uris: &[String], known: &[Literal]) -> String {
    let of = |uri: &String| {
        let said: Vec<Literal> = said_of(uri, known).cloned().collect();
        if said.is_empty() { vec![fresh(uri)] } else { said }
    };
    Literal::List(uris.iter().flat_map(of).collect()).to_string()
}

pub(super) fn write_publisher(ini: &mut Ini, publisher: &PublisherConfig) {
    let values = [
        publisher.name.to_string(),
        Literal::list(&publisher.origins).to_string(),
        info(&publisher.origins, &publisher.origin_info),
        Literal::list(&publisher.mirrors).to_string(),
        info(&publisher.mirrors, &publisher.mirror_info),
        word(publisher.is_sticky).to_owned(),
        word(publisher.is_disabled).to_owned(),
        Literal::list(&publisher.approved_ca_certs).to_string(),
    ];
    for (key, value) in WRITTEN.into_iter().zip(values) {
        ini.set(&format!("{AUTHORITY}{}", publisher.name), key, value);
    }
}
