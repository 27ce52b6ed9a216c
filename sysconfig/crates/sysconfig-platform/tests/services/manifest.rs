//! A check of service bundles: the content model of `service_bundle.dtd.1`, as far as our manifests use it, and what
//! `svccfg` and `svc.startd` want beyond it. Facts: illumos-gate's DTD, smf_method(7), svccfg(8).

use std::collections::BTreeSet;

use roxmltree::{Document, Node, ParsingOptions};

/// The one document type that `svccfg validate` takes for a service bundle.
pub(crate) const DTD: &str = "/usr/share/lib/xml/dtd/service_bundle.dtd.1";

/// How often a child may stand in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    Optional,
    One,
    Any,
    OneOrMore,
}

use Count::{Any, One, OneOrMore, Optional};

/// What an element holds: its children in their order, the attributes that it needs, and those that it may have.
struct Model {
    name: &'static str,
    children: &'static [(&'static str, Count)],
    required: &'static [&'static str],
    optional: &'static [&'static str],
}

const GROUPINGS: &[&str] = &["require_all", "require_any", "exclude_all", "optional_all"];
const RESTARTS: &[&str] = &["error", "restart", "refresh", "none"];
const BOOLEANS: &[&str] = &["true", "false"];

const MODELS: &[Model] = &[
    Model { name: "service_bundle", children: &[("service", OneOrMore)], required: &["type", "name"], optional: &[] },
    Model {
        name: "service",
        children: &[
            ("create_default_instance", Optional),
            ("single_instance", Optional),
            ("restarter", Optional),
            ("dependency", Any),
            ("dependent", Any),
            ("method_context", Optional),
            ("exec_method", Any),
            ("notification_parameters", Any),
            ("property_group", Any),
            ("instance", Any),
            ("stability", Optional),
            ("template", Optional),
        ],
        required: &["name", "version", "type"],
        optional: &[],
    },
    Model {
        name: "instance",
        children: &[
            ("restarter", Optional),
            ("dependency", Any),
            ("dependent", Any),
            ("method_context", Optional),
            ("exec_method", Any),
            ("notification_parameters", Any),
            ("property_group", Any),
            ("template", Optional),
        ],
        required: &["name", "enabled"],
        optional: &[],
    },
    Model { name: "create_default_instance", children: &[], required: &["enabled"], optional: &[] },
    Model { name: "single_instance", children: &[], required: &[], optional: &[] },
    Model {
        name: "dependency",
        children: &[("service_fmri", Any), ("stability", Optional), ("propval", Any)],
        required: &["name", "grouping", "restart_on", "type"],
        optional: &["delete"],
    },
    Model {
        name: "dependent",
        children: &[("service_fmri", One), ("stability", Optional), ("propval", Any)],
        required: &["name", "grouping", "restart_on"],
        optional: &["delete", "override"],
    },
    Model { name: "service_fmri", children: &[], required: &["value"], optional: &[] },
    Model {
        name: "exec_method",
        children: &[("method_context", Optional), ("stability", Optional), ("propval", Any)],
        required: &["type", "name", "exec", "timeout_seconds"],
        optional: &["delete"],
    },
    Model {
        name: "property_group",
        children: &[("stability", Optional), ("propval", Any)],
        required: &["name", "type"],
        optional: &["delete"],
    },
    Model { name: "propval", children: &[], required: &["name", "type", "value"], optional: &["override"] },
    Model { name: "stability", children: &[], required: &["value"], optional: &[] },
    Model {
        name: "template",
        children: &[("common_name", One), ("description", Optional), ("documentation", Optional), ("pg_pattern", Any)],
        required: &[],
        optional: &[],
    },
    Model { name: "common_name", children: &[("loctext", OneOrMore)], required: &[], optional: &[] },
    Model { name: "description", children: &[("loctext", OneOrMore)], required: &[], optional: &[] },
    Model { name: "loctext", children: &[], required: &["lang"], optional: &[] },
];

/// Attributes whose values are chosen from a list: element, attribute, values.
const CHOICES: &[(&str, &str, &[&str])] = &[
    ("service_bundle", "type", &["manifest", "profile"]),
    ("service", "type", &["service", "restarter", "milestone"]),
    ("instance", "enabled", BOOLEANS),
    ("create_default_instance", "enabled", BOOLEANS),
    ("dependency", "grouping", GROUPINGS),
    ("dependency", "restart_on", RESTARTS),
    ("dependency", "type", &["service", "path"]),
    ("dependent", "grouping", GROUPINGS),
    ("dependent", "restart_on", RESTARTS),
    ("exec_method", "type", &["method", "monitor"]),
    ("stability", "value", &["Standard", "Stable", "Evolving", "Unstable", "External", "Obsolete"]),
    (
        "propval",
        "type",
        &["count", "integer", "host", "hostname", "time", "astring", "ustring", "boolean", "fmri", "uri"],
    ),
];

/// Parses a bundle; its document type is one of another system, and nothing is fetched.
pub(crate) fn parse(text: &str) -> Result<Document<'_>, String> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|error| format!("not well-formed: {error}"))
}

/// Everything that is wrong with a bundle; its services may wait for those of `known` and for each other's.
pub(crate) fn problems(text: &str, known: &BTreeSet<String>) -> Vec<String> {
    let document = match parse(text) {
        Ok(document) => document,
        Err(problem) => return vec![problem],
    };
    let mut problems = Vec::new();
    if !text.contains(&format!("<!DOCTYPE service_bundle SYSTEM \"{DTD}\">")) {
        problems.push(format!("the document type is not {DTD}"));
    }
    if document.root_element().tag_name().name() != "service_bundle" {
        problems.push("the root is not service_bundle".to_owned());
    }
    for node in document.descendants().filter(Node::is_element) {
        shape(node, &mut problems);
        meaning(node, known, &mut problems);
    }
    problems
}

/// The content model.
fn shape(node: Node<'_, '_>, problems: &mut Vec<String>) {
    let name = node.tag_name().name();
    let Some(model) = MODELS.iter().find(|model| model.name == name) else {
        return problems.push(format!("{name} is no element that a manifest of ours has"));
    };
    let children: Vec<&str> = elements(node).map(|child| child.tag_name().name()).collect();
    let mut rest = children.as_slice();
    for (child, count) in model.children {
        let found = rest.iter().take_while(|name| *name == child).count();
        let (least, most) = match count {
            Optional => (0, 1),
            One => (1, 1),
            Any => (0, usize::MAX),
            OneOrMore => (1, usize::MAX),
        };
        if found < least || found > most {
            problems.push(format!("{name} holds {found} of {child}"));
        }
        rest = &rest[found..];
    }
    if let Some(child) = rest.first() {
        problems.push(format!("{child} is in the wrong place in {name}"));
    }
    for attribute in model.required.iter().filter(|attribute| attribute_of(node, attribute).is_none()) {
        problems.push(format!("{name} has no {attribute}"));
    }
    for attribute in node.attributes() {
        let attribute = attribute.name();
        if !model.required.contains(&attribute) && !model.optional.contains(&attribute) {
            problems.push(format!("{name} has no attribute {attribute}"));
        }
    }
    for (_, attribute, values) in CHOICES.iter().filter(|(element, ..)| *element == name) {
        if let Some(value) = attribute_of(node, attribute).filter(|value| !values.contains(value)) {
            problems.push(format!("{attribute} of {name} is {value}"));
        }
    }
}

/// What no DTD says.
fn meaning(node: Node<'_, '_>, known: &BTreeSet<String>, problems: &mut Vec<String>) {
    let attribute = |name: &str| attribute_of(node, name).unwrap_or_default();
    match node.tag_name().name() {
        "service" => service(node, problems),
        "service_fmri" if !known.contains(attribute("value")) => {
            problems.push(format!("{} is no service that is known", attribute("value")));
        }
        "exec_method" if attribute("timeout_seconds").parse::<u32>().is_err() => {
            problems.push(format!("{} is no number of seconds", attribute("timeout_seconds")));
        }
        "exec_method" => {
            // `sh -c` runs the words; `:kill` and `:true` are svc.startd's own.
            let program = attribute("exec").split(' ').next().unwrap_or_default();
            if ![":kill", ":true"].contains(&program) && !program.starts_with('/') {
                problems.push(format!("{program} is no absolute path"));
            }
        }
        _ => (),
    }
}

fn service(node: Node<'_, '_>, problems: &mut Vec<String>) {
    let name = attribute_of(node, "name").unwrap_or_default();
    if name.starts_with("svc:") || name.starts_with('/') {
        problems.push(format!("the name of a service is not the FMRI {name}"));
    }
    let methods: Vec<_> = elements(node).filter(|child| child.tag_name().name() == "exec_method").collect();
    let method = |wanted: &str| methods.iter().find(|method| attribute_of(**method, "name") == Some(wanted));
    let duration = node.descendants().find(|node| attribute_of(*node, "name") == Some("duration"));
    let is_transient = duration.and_then(|node| attribute_of(node, "value")) == Some("transient");
    let is_profile = node.parent().and_then(|bundle| attribute_of(bundle, "type")) == Some("profile");
    for wanted in ["start", "stop"].into_iter().filter(|wanted| !is_profile && method(wanted).is_none()) {
        problems.push(format!("{name} has no {wanted} method"));
    }
    let stop = method("stop").and_then(|stop| attribute_of(*stop, "exec"));
    if is_transient && stop.is_some_and(|exec| exec.starts_with(":kill")) {
        problems.push(format!("{name} is transient, and has no contract to kill"));
    }
    let mut names: Vec<_> = elements(node).filter(|child| child.tag_name().name().starts_with("depend")).collect();
    names.sort_by_key(|node| attribute_of(*node, "name"));
    for pair in names.windows(2).filter(|pair| attribute_of(pair[0], "name") == attribute_of(pair[1], "name")) {
        problems.push(format!("two dependencies are called {}", attribute_of(pair[0], "name").unwrap_or_default()));
    }
}

pub(crate) fn elements<'a, 'input>(node: Node<'a, 'input>) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(Node::is_element)
}

/// An attribute, whatever its namespace: `xml:lang` is `lang`.
pub(crate) fn attribute_of<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.attributes().find(|attribute| attribute.name() == name).map(|attribute| attribute.value())
}
