//! Fields that hold text: the rules for paths and names, and lists of texts.

use std::borrow::Cow;

use super::{Fields, Kind, Shape};
use crate::diagnostic::Diagnostic;
use crate::json::{Node, Value};

/// Why a text breaks a rule: a fragment that follows the field's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: &'static str,
    pub(crate) message: Cow<'static, str>,
    pub(crate) help: Option<Cow<'static, str>>,
}

impl Fault {
    pub(crate) fn path(message: impl Into<Cow<'static, str>>) -> Self {
        Self { code: "template::bad-path", message: message.into(), help: None }
    }

    pub(crate) fn value(message: impl Into<Cow<'static, str>>) -> Self {
        Self { code: "template::bad-value", message: message.into(), help: None }
    }

    pub(crate) fn help(mut self, help: impl Into<Cow<'static, str>>) -> Self {
        self.help = Some(help.into());
        self
    }
}

type Rule = fn(&str) -> Result<(), Fault>;

/// A string that obeys a rule, after expansion where that is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text {
    rule: Rule,
    expanded: bool,
}

/// Any text at all, the empty one included.
pub(crate) const TEXT: Text = Text::with_rule(|_| Ok(()));

/// Any text but the empty one.
pub(crate) const NOT_EMPTY: Text = Text::with_rule(not_empty);

/// A path in the image: absolute, without `..`.
pub(crate) const IMAGE_PATH: Text = Text::with_rule(absolute);

/// A path in the image that is not the root itself.
pub(crate) const BELOW_ROOT: Text = Text::with_rule(below_root);

/// A path on the host: absolute, without `..`.
pub(crate) const HOST_PATH: Text = Text::with_rule(absolute);

/// A path below one of the directories that hold source files: relative, without `..`.
pub(crate) const SOURCE_PATH: Text = Text::with_rule(relative);

/// A path below the image root that is written without its leading `/`.
pub(crate) const RELATIVE_PATH: Text = Text::with_rule(relative);

/// A file in the output area: relative, without `..`.
pub(crate) const OUTPUT_NAME: Text = Text::with_rule(relative);

/// A file that is made in the output area: a plain name.
pub(crate) const NEW_OUTPUT_NAME: Text = Text::with_rule(new_output_name);

/// A template to include: relative, without `..` and without `.json`.
pub(crate) const INCLUDE_NAME: Text = Text::with_rule(include_name);

/// A dataset or snapshot name without its pool.
pub(crate) const DATASET_NAME: Text = Text::with_rule(dataset_name);

/// A value of the ZFS property `compression`.
pub(crate) const COMPRESSION: Text = Text::with_rule(compression);

impl Text {
    pub(crate) const fn with_rule(rule: Rule) -> Self {
        Self { rule, expanded: false }
    }

    /// Expands `${…}` before the rule is applied.
    pub(crate) const fn expanded(mut self) -> Self {
        self.expanded = true;
        self
    }

    /// A list of such texts.
    pub(crate) const fn list(self) -> List {
        List { element: self, multi_valued: false }
    }

    /// Applies the rule; `written` is the text before expansion.
    fn check(
        &self,
        fields: &mut Fields<'_, '_, '_>,
        key: &str,
        node: &Node,
        written: &str,
        text: String,
    ) -> Option<String> {
        let rule = (self.rule)(&text).and_then(|()| no_nul(&text));
        let Err(fault) = rule else { return Some(text) };
        let mut error = Diagnostic::error(fault.code, format!("`{key}` {}", fault.message));
        if let Some(help) = fault.help {
            error = error.help(help);
        }
        let label = if written == text { String::new() } else { format!("expands to \"{}\"", text.escape_debug()) };
        fields.fail(node.span, &label, error)
    }
}

impl Kind for Text {
    type Value = String;

    fn shape(&self) -> Shape {
        Shape::Text
    }

    fn expansion(&self) -> (bool, bool) {
        (self.expanded, false)
    }

    fn read(&self, fields: &mut Fields<'_, '_, '_>, key: &str, node: &Node) -> Option<String> {
        let Value::Text(written) = &node.value else {
            return fields.wrong_type(key, node, "a string");
        };
        let text = if self.expanded { fields.expand(node, written)? } else { written.clone() };
        self.check(fields, key, node, written, text)
    }
}

/// A list of texts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct List {
    element: Text,
    multi_valued: bool,
}

impl List {
    /// Lets `${@name}` make several elements of one.
    pub(crate) const fn multi_valued(mut self) -> Self {
        self.multi_valued = true;
        self.element.expanded = true;
        self
    }

    fn element(&self, fields: &mut Fields<'_, '_, '_>, key: &str, node: &Node, out: &mut Vec<String>) -> Option<()> {
        let Value::Text(written) = &node.value else {
            return fields.wrong_element(key, node, "a string");
        };
        let texts = if self.multi_valued {
            fields.expand_multi(node, written)?
        } else if self.element.expanded {
            vec![fields.expand(node, written)?]
        } else {
            vec![written.clone()]
        };
        for text in texts {
            // `${feature?text}` is how a template says "this element only with that feature".
            let dropped = text.trim().is_empty() && !written.trim().is_empty();
            if !dropped {
                out.push(self.element.check(fields, key, node, written, text)?);
            }
        }
        Some(())
    }
}

impl Kind for List {
    type Value = Vec<String>;

    fn shape(&self) -> Shape {
        Shape::TextList
    }

    fn expansion(&self) -> (bool, bool) {
        (self.element.expanded, self.multi_valued)
    }

    fn read(&self, fields: &mut Fields<'_, '_, '_>, key: &str, node: &Node) -> Option<Vec<String>> {
        let Value::List(elements) = &node.value else {
            return fields.wrong_type(key, node, "a list of strings");
        };
        let mut texts = Vec::new();
        let mut good = true;
        for element in elements {
            good &= self.element(fields, key, element, &mut texts).is_some();
        }
        good.then_some(texts)
    }
}

fn not_empty(text: &str) -> Result<(), Fault> {
    if text.is_empty() { Err(Fault::value("must not be empty")) } else { Ok(()) }
}

fn no_nul(text: &str) -> Result<(), Fault> {
    if text.contains('\0') { Err(Fault::value("has a NUL character")) } else { Ok(()) }
}

fn no_dot_dot(text: &str) -> Result<(), Fault> {
    if text.split('/').any(|component| component == "..") {
        return Err(Fault::path("must not have `..` in it"));
    }
    Ok(())
}

fn absolute(text: &str) -> Result<(), Fault> {
    if !text.starts_with('/') {
        return Err(Fault::path("must start with `/`"));
    }
    no_dot_dot(text)
}

fn below_root(text: &str) -> Result<(), Fault> {
    absolute(text)?;
    if text.split('/').all(|component| component.is_empty() || component == ".") {
        return Err(Fault::path("must not be the root of the image").help("name something in it"));
    }
    Ok(())
}

/// What a file name may have, so that the checksum beside it has one, too.
const OUTPUT_NAME_BYTES: usize = 255 - ".sha256".len();

fn new_output_name(text: &str) -> Result<(), Fault> {
    relative(text)?;
    if text.contains('/') || text == "." {
        let fault = Fault::path("must be a name without `/`");
        return Err(fault.help("the output directory has no others in it"));
    }
    if text.len() > OUTPUT_NAME_BYTES {
        return Err(Fault::path(format!("must not have more than {OUTPUT_NAME_BYTES} bytes")));
    }
    Ok(())
}

fn relative(text: &str) -> Result<(), Fault> {
    not_empty(text)?;
    if text.starts_with('/') {
        return Err(Fault::path("must not start with `/`"));
    }
    no_dot_dot(text)
}

fn include_name(text: &str) -> Result<(), Fault> {
    relative(text)?;
    if text.ends_with(".json") {
        return Err(Fault::path("is written without `.json`"));
    }
    Ok(())
}

fn dataset_name(text: &str) -> Result<(), Fault> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:% /".contains(&byte);
    if text.is_empty() || text.starts_with('/') || text.ends_with('/') || text.contains("//") {
        return Err(Fault::value("must be a name without `/` at either end"));
    }
    if !text.bytes().all(good) {
        return Err(Fault::value("has a character that ZFS does not allow in a name")
            .help("letters, digits, `-`, `_`, `.` and `:` are allowed"));
    }
    no_dot_dot(text)
}

fn compression(text: &str) -> Result<(), Fault> {
    let level = text.strip_prefix("gzip-");
    let gzip = level.is_some_and(|level| matches!(level.as_bytes(), [b'1'..=b'9']));
    if gzip || ["on", "off", "lzjb", "lz4", "gzip", "zle"].contains(&text) {
        return Ok(());
    }
    let fault = Fault::value("is not a compression that illumos ZFS knows");
    Err(fault.help("known: `on`, `off`, `lzjb`, `lz4`, `zle`, `gzip`, and `gzip-1` to `gzip-9`"))
}
