//! A plugin for the daemon's tests, whose behaviour is written at the end of its own executable.
//!
//! A test copies this program to `sysconfig-plugin-NAME` and appends a script: builds of different behaviour
//! then differ in contents, as builds do. The plugin owns `test.NAME = { file = "…", text = "…" }` and keeps the
//! file's text as configured.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sysconfig_plugin::describe::capability;
use sysconfig_plugin::{
    Context, Description, Diagnostic, Emitter, Event, Level, Outcome, PlannedStep, Plugin, PluginError, Risk, Secret,
};

/// What a test can ask for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Script {
    /// The name in the description, when it is not the file's.
    name: Option<String>,
    version: Option<String>,
    /// Claimed keys, when it is not `test.NAME`.
    claims: Option<Vec<String>>,
    after: Vec<String>,
    subscribe: Vec<String>,
    /// Written before the text.
    prefix: String,
    observe_sleep_ms: u64,
    apply_sleep_ms: u64,
    /// Has a command write the file, after so many seconds; from its start there is the file `command` beside the other.
    command_sleep_s: Option<u32>,
    /// Gets a line for each step that is to be carried out or taken back, before anything else is done about it.
    calls: Option<PathBuf>,
    /// Never comes back from `apply`.
    hang_in_apply: bool,
    /// Ends the process in the middle of `apply`, as long as this file exists.
    die_in_apply_while: Option<PathBuf>,
    /// Does nothing in `apply` as long as this file exists.
    stall_in_apply_while: Option<PathBuf>,
    /// Ends the process in `hello`.
    die_at_start: bool,
    /// The same, as long as this file exists.
    die_at_start_while: Option<PathBuf>,
    /// Moves, before it says hello, into the process group of a child that it starts.
    leave_group: bool,
    /// Ends the process in `validate`.
    die_in_validate: bool,
    /// Refuses every configuration.
    refuse: bool,
    /// Warns of so many things, each in 2000 bytes.
    warnings: usize,
    destructive: bool,
    /// Does not say where its resource is configured.
    keyless: bool,
    /// Emits an event on this topic in `apply`.
    emit: Option<String>,
    /// Emits what is in the file of the same name whenever it observes; `null` when there is none.
    emit_file: Option<(String, PathBuf)>,
    /// Says what is in the file, on this topic, when the file appears, and never again.
    blurt: Option<(String, PathBuf)>,
    /// Answers every event with one on this topic, which is never the same.
    answer_events: Option<String>,
    /// Says something new on this topic whenever it observes.
    chatter: Option<String>,
    print: Option<String>,
    /// Values of the text are secret.
    sensitive: bool,
    /// Says that it wrote, and does not.
    lie: bool,
    /// Finds nothing wrong afterwards, either.
    believe: bool,
    /// Writes, and says that it failed, as long as this file exists.
    fail_after_writing_while: Option<PathBuf>,
    /// Writes so many files, FILE and FILE.1 to FILE.N-1, in a step each; one when it is 0.
    files: usize,
    /// Can undo, and does so unless the file `undo-fails` beside the written one names it; no sooner than the file
    /// `undo-stalls` is gone, and in the meantime there is `undo-has-stalled`.
    undo: bool,
}

struct Scripted {
    name: String,
    script: Script,
    last_event: Option<Value>,
    answers: u32,
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Config(Map<String, Value>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    file: PathBuf,
    text: Secret,
    #[serde(default, rename = "allow-destructive")]
    _allow_destructive: bool,
}

#[derive(Serialize, Deserialize)]
struct Write {
    file: PathBuf,
    text: String,
    before: Option<String>,
}

impl Scripted {
    fn wanted(&self, config: &Config) -> Result<Wanted, PluginError> {
        let (_, value) = config.0.iter().next().ok_or_else(|| PluginError::new("nothing is configured"))?;
        let mut wanted: Wanted = serde_json::from_value(value.clone())
            .map_err(|error| PluginError::new(format!("the configuration has the wrong shape: {error}")))?;
        let event = self.last_event.as_ref().map(Value::to_string).unwrap_or_default();
        wanted.text = Secret::new(format!("{}{}{event}", self.script.prefix, wanted.text.expose()));
        Ok(wanted)
    }
}

impl Scripted {
    fn files(&self, wanted: &Wanted) -> Vec<PathBuf> {
        let further = (1..self.script.files).map(|number| wanted.file.with_extension(number.to_string()));
        std::iter::once(wanted.file.clone()).chain(further).collect()
    }

    fn note_call(&self, what: &str, change: &Write) -> Result<(), PluginError> {
        let Some(calls) = &self.script.calls else { return Ok(()) };
        let line = format!("{what} {}\n", change.file.display());
        let file = std::fs::File::options().create(true).append(true).open(calls);
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .map_err(|error| PluginError::new("cannot note the call").source(error))
    }

    fn step(&self, file: PathBuf, text: &str, before: Option<String>) -> PlannedStep<Write> {
        let risk = if self.script.destructive { Risk::Destructive } else { Risk::Safe };
        let path = file.display().to_string();
        let change = Write { file, text: text.to_owned(), before: before.clone() };
        let step = PlannedStep::new("write", &path, format!("write {path}"), risk, change);
        let own = format!("test.{}", self.name);
        let key = self.script.claims.as_ref().and_then(|claims| claims.first()).unwrap_or(&own);
        let step = if self.script.keyless { step } else { step.of(key) };
        match self.script.sensitive {
            true => step.sensitive_field("text", before, text),
            false => step.field("text", before, text),
        }
    }
}

impl Plugin for Scripted {
    type Config = Config;
    type State = Vec<Option<String>>;
    type Change = Write;

    fn describe(&self) -> Description {
        if self.script.die_at_start || self.script.die_at_start_while.as_deref().is_some_and(Path::exists) {
            std::process::exit(9);
        }
        if self.script.leave_group {
            leave_group();
        }
        let name = self.script.name.as_ref().unwrap_or(&self.name);
        let mut description = Description::new(name).version(self.script.version.as_deref().unwrap_or("1.0.0"));
        let own = vec![format!("test.{}", self.name)];
        for claim in self.script.claims.as_ref().unwrap_or(&own) {
            description = description.claim(claim, json!({ "type": "object" }));
        }
        for earlier in &self.script.after {
            description = description.after(earlier);
        }
        if self.script.undo {
            description = description.capability(capability::UNDO);
        }
        for topic in &self.script.subscribe {
            description = description.subscribe(topic);
        }
        description
    }

    fn validate(&self, config: &Config) -> Vec<Diagnostic> {
        if self.script.die_in_validate {
            std::process::exit(8);
        }
        let key = config.0.keys().next().cloned().unwrap_or_default();
        match self.wanted(config) {
            _ if self.script.refuse => vec![Diagnostic::error(key, "this build refuses everything")],
            Ok(wanted) if wanted.text.expose().contains("forbidden") => {
                vec![Diagnostic::error(format!("{key}.text"), "the text is forbidden").help("write another text")]
            }
            Ok(_) => {
                let warning = |number: usize| Diagnostic::warning(&key, format!("{number}{}", "w".repeat(2000)));
                (0..self.script.warnings).map(warning).collect()
            }
            Err(error) => vec![Diagnostic::error(key, error.to_string())],
        }
    }

    fn observe(&mut self, config: &Config, context: &Context) -> Result<Self::State, PluginError> {
        if let Some(line) = &self.script.print {
            #[expect(clippy::print_stderr, reason = "what a plugin prints is what the test is about")]
            {
                eprintln!("{line}");
            }
        }
        context.log(Level::Debug, "observing");
        if let Some((topic, file)) = &self.script.emit_file {
            let data = std::fs::read_to_string(file).map_or(Value::Null, Value::from);
            context.emit(topic, data);
        }
        if let Some(topic) = &self.script.chatter {
            self.answers += 1;
            context.emit(topic, json!(self.answers));
        }
        if let Some((topic, file)) = self.script.blurt.take() {
            say_once(topic, file, context.emitter());
        }
        std::thread::sleep(Duration::from_millis(self.script.observe_sleep_ms));
        let wanted = self.wanted(config)?;
        Ok(self.files(&wanted).iter().map(|file| std::fs::read_to_string(file).ok()).collect())
    }

    fn plan(&self, config: &Config, observed: &Self::State) -> Result<Vec<PlannedStep<Write>>, PluginError> {
        let wanted = self.wanted(config)?;
        let differing = self
            .files(&wanted)
            .into_iter()
            .zip(observed)
            .filter(|(_, text)| text.as_deref() != Some(wanted.text.expose()));
        Ok(differing.map(|(file, before)| self.step(file, wanted.text.expose(), before.clone())).collect())
    }

    fn apply(&mut self, change: &Write, context: &Context) -> Result<Outcome, PluginError> {
        self.note_call("apply", change)?;
        std::thread::sleep(Duration::from_millis(self.script.apply_sleep_ms));
        if self.script.hang_in_apply {
            std::thread::sleep(Duration::MAX);
        }
        while self.script.stall_in_apply_while.as_deref().is_some_and(Path::exists) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.script.die_in_apply_while.as_deref().is_some_and(Path::exists) {
            std::process::exit(7);
        }
        if let Some(topic) = &self.script.emit {
            context.emit(topic, json!("news"));
        }
        if self.script.lie {
            return Ok(Outcome::Changed);
        }
        if let Some(seconds) = self.script.command_sleep_s {
            return write_by_command(change, seconds);
        }
        std::fs::write(&change.file, &change.text).map_err(|error| {
            PluginError::new(format!("cannot write {}", change.file.display())).source(error).help("make its directory")
        })?;
        if self.script.fail_after_writing_while.as_deref().is_some_and(Path::exists) {
            return Err(PluginError::new("it was written and does not work"));
        }
        Ok(Outcome::Changed)
    }

    fn verify(&self, config: &Config, observed: &Self::State) -> Vec<Diagnostic> {
        let left = if self.script.believe { Ok(Vec::new()) } else { self.plan(config, observed) };
        let still = |step: &PlannedStep<Write>| Diagnostic::error("", format!("still to do: {}", step.summary));
        left.map_or_else(
            |error| vec![Diagnostic::error("", error.to_string())],
            |steps| steps.iter().map(still).collect(),
        )
    }

    fn undo(&mut self, change: &Write, _: &Context) -> Result<Outcome, PluginError> {
        self.note_call("undo", change)?;
        let beside = |name: &str| change.file.with_file_name(name);
        let fails = std::fs::read_to_string(beside("undo-fails")).unwrap_or_default();
        if fails.split_whitespace().any(|name| name == self.name) {
            return Err(PluginError::new("cannot undo"));
        }
        while beside("undo-stalls").exists() {
            std::fs::write(beside("undo-has-stalled"), "")
                .map_err(|error| PluginError::new("cannot tell").source(error))?;
            std::thread::sleep(Duration::from_millis(5));
        }
        if std::fs::read_to_string(&change.file).ok() == change.before {
            return Ok(Outcome::AlreadySo);
        }
        let undone = match &change.before {
            Some(text) => std::fs::write(&change.file, text),
            None => std::fs::remove_file(&change.file),
        };
        undone.map_err(|error| PluginError::new("cannot put the text back").source(error))?;
        Ok(Outcome::Changed)
    }

    fn event(&mut self, event: &Event, context: &Context) {
        self.last_event = Some(event.data.clone()).filter(|data| !data.is_null() && self.script.chatter.is_none());
        if let Some(topic) = &self.script.answer_events {
            self.answers += 1;
            context.emit(topic, json!(self.answers));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a command that is ended from outside is what the test is about")]
fn write_by_command(change: &Write, seconds: u32) -> Result<Outcome, PluginError> {
    let script = ": >\"$3\"; sleep \"$4\"; printf %s \"$1\" >\"$2\"";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script, "sh", &change.text]).arg(&change.file).arg(change.file.with_file_name("command"));
    let status = command.arg(seconds.to_string()).status();
    let status = status.map_err(|error| PluginError::new("there is no shell").source(error))?;
    match status.code() {
        Some(0) => Ok(Outcome::Changed),
        Some(code) => Err(PluginError::new(format!("the command ended with {code}"))),
        None => Err(PluginError::new("the command was ended by a signal")),
    }
}

/// The child ends by itself when nobody writes to it any more, which is when this process ends.
#[expect(clippy::disallowed_methods, reason = "a child with a process group is what the test is about")]
fn leave_group() {
    use std::os::unix::process::CommandExt;
    static CHILD: std::sync::OnceLock<std::process::Child> = std::sync::OnceLock::new();
    let child = CHILD.get_or_init(|| {
        let mut command = std::process::Command::new("cat");
        command.process_group(0).stdin(std::process::Stdio::piped()).spawn().expect("there is cat")
    });
    let group = rustix::process::Pid::from_child(child);
    rustix::process::setpgid(None, Some(group)).expect("the group is there");
}

/// Says what is in a file as soon as there is one, whatever the daemon does at that moment.
fn say_once(topic: String, file: PathBuf, emitter: Emitter) {
    std::thread::spawn(move || {
        loop {
            match std::fs::read_to_string(&file) {
                Ok(text) => return emitter.emit(topic, text),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    });
}

fn main() -> std::process::ExitCode {
    let name = std::env::args().next().unwrap_or_default();
    let name = Path::new(&name).file_name().unwrap_or_default().to_string_lossy();
    let name = name.trim_start_matches("sysconfig-plugin-").to_owned();
    sysconfig_plugin::run(Scripted { name, script: read_script(), last_event: None, answers: 0 })
}

/// The script behind the last marker of the running executable.
fn read_script() -> Script {
    // In two pieces, because the marker must occur once only.
    let marker = ["SCR", "IPT{"].concat();
    let executable = std::env::current_exe().expect("the executable is known");
    let bytes = std::fs::read(executable).expect("the executable can be read");
    let found = bytes.windows(marker.len()).rposition(|window| window == marker.as_bytes());
    match found {
        Some(at) => serde_json::from_slice(&bytes[at + marker.len() - 1..]).expect("the script is valid"),
        None => Script::default(),
    }
}
