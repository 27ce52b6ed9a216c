//! The daemon's own keys: `[daemon]`, `[plugins]` and `[logging]`.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use sysconfig_protocol::Level;

use super::SourceFile;
use super::assign::nearest;
use super::error::{ConfigError, ConfigErrors};
use super::schema::own_key;
use super::tree::{Entry, Kind, Node, Table, dotted};

/// The tables that are the daemon's own.
pub(crate) const OWN_TABLES: [&str; 3] = ["daemon", "plugins", "logging"];

/// The daemon's own settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `[daemon]`.
    pub daemon: DaemonSettings,
    /// `[plugins]`.
    pub plugins: PluginSettings,
    /// `[logging]`.
    pub logging: LoggingSettings,
}

/// `[daemon]`: when it acts by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DaemonSettings {
    /// `watch-configuration`: whether changed configuration files are taken over without a request. Whether they are
    /// also applied, `plugins.reload-applies` says.
    pub watch_configuration: bool,
    /// `drift-interval`: how often the machine is compared with the configuration when nothing else happens; none,
    /// which is written `"off"` and the default, is never.
    pub drift_interval: Option<Duration>,
}

/// `[plugins]`: where they are and how they are treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginSettings {
    /// `path`: the directories that plugins are looked for in, a string or a list. Absolute.
    pub path: Vec<PathBuf>,
    /// `hot-reload`: whether changed files are picked up.
    pub hot_reload: bool,
    /// `poll-interval`: how often the directories are looked at; a changed file is used when two looks agree.
    pub poll_interval: Duration,
    /// `reload-applies`: whether a plugin or a configuration that was picked up is applied at once, or only planned.
    pub reload_applies: bool,
    /// `allow-untrusted-owner`: whether plugins may belong to somebody else than root, and be writable by their
    /// group, as on a share of a development host. Never by everybody.
    pub allow_untrusted_owner: bool,
    /// `[plugins.deadlines]`.
    pub deadlines: Deadlines,
}

/// `[plugins.deadlines]`: how long the daemon waits for a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadlines {
    /// `start`: from the start of the process to the answer to `hello`.
    pub start: Duration,
    /// `answer`: requests that do not touch the machine.
    pub answer: Duration,
    /// `observe`: looking at the machine.
    pub observe: Duration,
    /// `apply`: one step.
    pub apply: Duration,
    /// `stop`: from `shutdown` to SIGTERM, and from there to SIGKILL; also the longest time that the daemon's own
    /// end waits for a step in progress.
    pub stop: Duration,
}

/// `[logging]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggingSettings {
    /// `level`: the least important lines that are written.
    pub level: Level,
    /// `output`: where to.
    pub output: LogOutput,
}

/// `[logging] output`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogOutput {
    /// `console`: standard error, which is the service's log or the journal; warnings of a service also go to the
    /// system console.
    Console,
    /// `syslog`: the system log, facility `daemon`.
    Syslog,
    /// An absolute path: that file is appended to, and opened anew on SIGHUP.
    File(PathBuf),
}

impl Default for PluginSettings {
    fn default() -> Self {
        Self {
            path: vec![PathBuf::from("/usr/lib/sysconfig-plugins")],
            hot_reload: true,
            poll_interval: Duration::from_millis(250),
            reload_applies: false,
            allow_untrusted_owner: false,
            deadlines: Deadlines::default(),
        }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(10),
            answer: Duration::from_secs(10),
            observe: Duration::from_secs(60),
            apply: Duration::from_secs(300),
            stop: Duration::from_secs(10),
        }
    }
}

impl Default for LoggingSettings {
    fn default() -> Self {
        Self { level: Level::Info, output: LogOutput::Console }
    }
}

impl Settings {
    /// Takes the daemon's tables out of the merged files, which leaves the description of the machine.
    pub(super) fn take_from(tree: &mut Table, files: &[SourceFile]) -> Result<Self, ConfigErrors> {
        let mut settings = Self::default();
        let mut errors = Vec::new();
        for (name, read) in OWN_TABLES.into_iter().zip([read_daemon as Reader, read_plugins, read_logging]) {
            let Some(entry) = tree.remove(name) else { continue };
            let mut fields = match Fields::new(name, entry, files, &mut errors) {
                Some(fields) => fields,
                None => continue,
            };
            read(&mut settings, &mut fields);
            fields.finish();
        }
        if errors.is_empty() { Ok(settings) } else { Err(errors.into()) }
    }
}

type Reader = fn(&mut Settings, &mut Fields<'_>);

fn read_daemon(settings: &mut Settings, fields: &mut Fields<'_>) {
    fields.read("watch-configuration", truth, &mut settings.daemon.watch_configuration);
    fields.read("drift-interval", drift_interval, &mut settings.daemon.drift_interval);
}

fn read_plugins(settings: &mut Settings, fields: &mut Fields<'_>) {
    let plugins = &mut settings.plugins;
    fields.read("path", paths, &mut plugins.path);
    fields.read("hot-reload", truth, &mut plugins.hot_reload);
    fields.read("poll-interval", poll_interval, &mut plugins.poll_interval);
    fields.read("reload-applies", truth, &mut plugins.reload_applies);
    fields.read("allow-untrusted-owner", truth, &mut plugins.allow_untrusted_owner);
    let deadlines = &mut plugins.deadlines;
    fields.read_table("deadlines", |fields| {
        fields.read("start", duration, &mut deadlines.start);
        fields.read("answer", duration, &mut deadlines.answer);
        fields.read("observe", duration, &mut deadlines.observe);
        fields.read("apply", duration, &mut deadlines.apply);
        fields.read("stop", duration, &mut deadlines.stop);
    });
}

fn read_logging(settings: &mut Settings, fields: &mut Fields<'_>) {
    fields.read("level", level, &mut settings.logging.level);
    fields.read("output", output, &mut settings.logging.output);
}

/// Why a value cannot be used: what is wrong, and what to write instead.
type Refusal = (String, Option<String>);

fn text(node: &Node) -> Result<&str, Refusal> {
    match &node.kind {
        Kind::Scalar(Value::String(text)) => Ok(text),
        _ => Err((format!("expected a string, found {}", node.kind_name()), None)),
    }
}

fn truth(node: &Node) -> Result<bool, Refusal> {
    match &node.kind {
        Kind::Scalar(Value::Bool(truth)) => Ok(*truth),
        _ => Err((format!("expected true or false, found {}", node.kind_name()), None)),
    }
}

fn paths(node: &Node) -> Result<Vec<PathBuf>, Refusal> {
    match &node.kind {
        Kind::List(items) => items.iter().map(path).collect(),
        Kind::Scalar(Value::String(_)) => Ok(vec![path(node)?]),
        _ => {
            let help = "write one directory, or a list of them: [\"/first\", \"/second\"]".to_owned();
            Err((format!("expected a string or a list of strings, found {}", node.kind_name()), Some(help)))
        }
    }
}

fn path(node: &Node) -> Result<PathBuf, Refusal> {
    let path = PathBuf::from(text(node)?);
    if path.is_absolute() {
        return Ok(path);
    }
    Err((format!("{:?} is not an absolute path", path.display().to_string()), None))
}

/// A number with a unit, as people write it: `250ms`, `5s`, `2m`.
fn duration(node: &Node) -> Result<Duration, Refusal> {
    let help = || Some("write a whole number and a unit: \"250ms\", \"5s\", \"2m\"".to_owned());
    let Kind::Scalar(Value::String(text)) = &node.kind else {
        return Err((format!("expected a duration, found {}", node.kind_name()), help()));
    };
    parse_duration(text).ok_or_else(|| (format!("{text:?} is not a duration between 1ms and 24h"), help()))
}

/// A whole number with a unit of `ms`, `s`, `m` or `h`, up to a day, which is more than any of our settings can mean.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let milliseconds_per_unit = match unit.trim_start() {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let milliseconds = number.parse::<u64>().ok()?.checked_mul(milliseconds_per_unit)?;
    (1..=86_400_000).contains(&milliseconds).then(|| Duration::from_millis(milliseconds))
}

fn poll_interval(node: &Node) -> Result<Duration, Refusal> {
    let interval = duration(node)?;
    if interval < Duration::from_millis(20) {
        return Err(("polling more often than every 20ms would only burn the processor".to_owned(), None));
    }
    Ok(interval)
}

fn drift_interval(node: &Node) -> Result<Option<Duration>, Refusal> {
    if matches!(&node.kind, Kind::Scalar(Value::String(text)) if text == "off") {
        return Ok(None);
    }
    let interval = duration(node).map_err(|(message, _)| (message, Some("write \"5m\", or \"off\"".to_owned())))?;
    if interval < Duration::from_secs(1) {
        return Err(("looking at the whole machine more often than every second would keep it busy".to_owned(), None));
    }
    Ok(Some(interval))
}

fn level(node: &Node) -> Result<Level, Refusal> {
    const LEVELS: [Level; 5] = [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];
    let name = text(node)?;
    LEVELS.into_iter().find(|level| level.as_str() == name).ok_or_else(|| {
        let names = LEVELS.map(Level::as_str);
        (format!("{name:?} is not a level"), Some(suggestion(name, &names)))
    })
}

fn output(node: &Node) -> Result<LogOutput, Refusal> {
    match text(node)? {
        "console" => Ok(LogOutput::Console),
        "syslog" => Ok(LogOutput::Syslog),
        path if path.starts_with('/') => Ok(LogOutput::File(PathBuf::from(path))),
        other => Err((
            format!("{other:?} is not an output"),
            Some("write \"console\", \"syslog\" or the absolute path of a file".to_owned()),
        )),
    }
}

/// "did you mean", or all there is.
fn suggestion(word: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("known are: {}", known.join(", ")),
    }
}

/// Reads the keys of one table; whatever was not asked for is unknown.
struct Fields<'a> {
    name: String,
    table: Table,
    known: Vec<&'static str>,
    files: &'a [SourceFile],
    errors: &'a mut Vec<ConfigError>,
}

impl<'a> Fields<'a> {
    fn new(name: &str, entry: Entry, files: &'a [SourceFile], errors: &'a mut Vec<ConfigError>) -> Option<Self> {
        let Entry { node, .. } = entry;
        let kind_name = node.kind_name();
        let Kind::Table(table) = node.kind else {
            let message = format!("{name} must be a table, and is {kind_name}");
            errors.push(ConfigError::bad_value(&files[node.origin.file], node.origin.span, message, None));
            return None;
        };
        Some(Self { name: name.to_owned(), table, known: Vec::new(), files, errors })
    }

    /// Reads the key into `target`, which keeps its default when the key is not set.
    fn read<T>(&mut self, key: &'static str, reader: fn(&Node) -> Result<T, Refusal>, target: &mut T) {
        self.known.push(key);
        let Some(Entry { node, .. }) = self.table.remove(key) else { return };
        match reader(&node) {
            Ok(value) => *target = value,
            Err((message, help)) => {
                let message = format!("{}.{key}: {message}", self.name);
                let file = &self.files[node.origin.file];
                self.errors.push(ConfigError::bad_value(file, node.origin.span, message, help));
            }
        }
    }

    /// Reads a table below this one.
    fn read_table(&mut self, key: &'static str, read: impl FnOnce(&mut Fields<'_>)) {
        self.known.push(key);
        let Some(entry) = self.table.remove(key) else { return };
        let name = format!("{}.{key}", self.name);
        if let Some(mut fields) = Fields::new(&name, entry, self.files, self.errors) {
            read(&mut fields);
            fields.finish();
        }
    }

    /// Reports the keys that nobody asked for.
    fn finish(self) {
        for (key, entry) in self.table {
            let elsewhere = nearest(&key, self.known.iter().copied()).is_none().then(|| own_key(&key)).flatten();
            let help = match elsewhere {
                Some(other) => format!("did you mean {other}, which is another table's?"),
                None => suggestion(&key, &self.known),
            };
            let file = &self.files[entry.key.file];
            let dotted = dotted(&self.name, &key);
            self.errors.push(ConfigError::unknown_key(file, entry.key.span, dotted, Some(help)));
        }
    }
}
