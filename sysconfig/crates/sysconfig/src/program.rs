//! From the command line to a running engine.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use sysconfig_protocol::admin::{Activity, Problem};
use sysconfig_protocol::{ProtocolRange, Severity};

use crate::admin::{self, AdminError, Desk, Lookout};
use crate::board::Board;
use crate::config::{self, ConfigErrors, Configuration, Contents, Fingerprint, Pending, Reading, Settings, Sources};
use crate::engine::{Engine, EngineError, Event, Parts, Turns, reading_files};
use crate::log::{Log, SYSTEM_CONSOLE};
use crate::options::Arguments;
use crate::plugin::Stop;
use crate::service::instance::{self, InstanceError, InstanceLock};
use crate::service::lease::{self, StateLease};
use crate::service::readiness::{self, Readiness, Role};
use crate::service::signals;
use crate::state::confirmation::{Confirmation, PluginPlaces};
use crate::text::chain;

/// The configuration is faulty. SMF puts a service that exits so into maintenance at once instead of trying again.
const EXIT_CONFIG: u8 = 96;

/// Within this time any configuration is read whose file system answers.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The subject of log lines.
const SELF: &str = "sysconfig";

/// The whole of the program.
pub fn run(arguments: Arguments) -> ExitCode {
    if arguments.self_check {
        return self_check();
    }
    let role = match readiness::role(arguments.smf) {
        Ok(Role::First) => readiness::start_daemon_and_wait().map(Err),
        Ok(Role::Daemon(readiness)) => Ok(Ok(readiness)),
        Err(error) => Err(error),
    };
    match role {
        Ok(Ok(readiness)) => run_daemon(&arguments.absolute(), readiness),
        Ok(Err(exit_code)) => ExitCode::from(exit_code),
        Err(error) => give_up(&Log::to_stderr(None), &error, None),
    }
}

/// One line that says what this build is, for whoever has to choose between two.
fn self_check() -> ExitCode {
    let protocol = ProtocolRange::SUPPORTED;
    let line = serde_json::json!({
        "name": "sysconfig",
        "version": env!("CARGO_PKG_VERSION"),
        "protocol": { "min": protocol.min, "max": protocol.max },
    });
    match writeln!(std::io::stdout(), "{line}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run_daemon(arguments: &Arguments, readiness: Readiness) -> ExitCode {
    let console = readiness.is_service().then_some(Path::new(SYSTEM_CONSOLE));
    let log = Log::to_stderr(console);
    // Plugins inherit it: files that they make for everybody must not come out unreadable.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    log.info(SELF, format!("version {} starting as process {}", env!("CARGO_PKG_VERSION"), std::process::id()));
    let sources = sources_of(arguments);
    let first = match Pending::begin(&sources, Reading::STRICT.is_strict) {
        Ok(pending) => FirstReading { pending, began: Instant::now() },
        Err(errors) => return refuse(&log, &errors),
    };
    // Where it is faulty, nothing is touched. Where it does not answer, who asks for the status is to know.
    let early = first.pending.wait(AT_ONCE).map(|contents| accept(contents, arguments, &log));
    if let Some(Err(errors)) = &early {
        return refuse(&log, errors);
    }
    let (run_lock, state) = match take_directories(arguments, &log) {
        Ok(locks) => locks,
        Err(error) => return give_up(&log, &error, error.help()),
    };
    let (sender, receiver) = channel();
    let (board, stop) = (Board::new(arguments.paths()), Stop::default());
    let socket = match listen(arguments, &log, &board, &stop, &sender) {
        Ok(socket) => socket,
        Err(error) => {
            let help = error.downcast_ref().and_then(AdminError::help);
            return give_up(&log, error.as_ref(), help);
        }
    };
    let read = match early.or_else(|| first.wait(arguments, (&log, &board, &stop))) {
        Some(Ok(read)) => read,
        // Whoever waits for the engine is told that there will be none.
        None => {
            drop(receiver);
            return ExitCode::SUCCESS;
        }
        Some(Err(errors)) => {
            drop(receiver);
            return refuse(&log, &errors);
        }
    };
    board.set_config_seen(read.seen.clone());
    let common = Common { arguments, log: &log, state, board, stop, readiness, events: (sender, receiver) };
    let result = run_engine(common, read);
    drop((socket, run_lock));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let help = error.downcast_ref().and_then(EngineError::help);
            give_up(&log, error.as_ref(), help)
        }
    }
}

/// What is there before the configuration is.
struct Common<'a> {
    arguments: &'a Arguments,
    log: &'a Log,
    state: StateLease,
    board: Board,
    stop: Stop,
    readiness: Readiness,
    events: (Sender<Event>, Receiver<Event>),
}

fn run_engine(common: Common<'_>, read: Accepted) -> Result<(), Box<dyn Error>> {
    let Accepted { config, seen: config_seen, faults } = read;
    let Common { arguments, log, state, board, stop, readiness, events } = common;
    // The engine does so again, and tells what is wrong.
    drop(log.configure(&config.settings.logging));
    let plugin_input = await_former_plugins(arguments, &config, log)?;
    let parts = Parts {
        sources: sources_of(arguments),
        config,
        config_seen,
        faults,
        plugin_path: arguments.plugin_path.clone(),
        state,
        log: log.clone(),
        board,
        readiness,
        plugin_input,
        stop,
        events,
    };
    Ok(Engine::new(parts)?.run()?)
}

fn sources_of(arguments: &Arguments) -> Sources {
    Sources { file: arguments.config.clone(), directory: arguments.config_dir.clone() }
}

/// A configuration to begin with.
struct Accepted {
    config: Configuration,
    /// The files as they were before they were read.
    seen: Fingerprint,
    /// Why the configuration is not what the files say.
    faults: Option<ConfigErrors>,
}

/// What the files say. Where they have faults, a change that waits for its confirmation is undone all the same: it may have cut off
/// whoever could mend them.
fn accept(
    Contents { fingerprint: seen, files }: Contents,
    arguments: &Arguments,
    log: &Log,
) -> Result<Accepted, ConfigErrors> {
    let faults = match files.and_then(config::parse) {
        Ok(config) => return Ok(Accepted { config, seen, faults: None }),
        Err(faults) => faults,
    };
    let waiting = Confirmation::plugins_of_waiting(&arguments.state_dir).unwrap_or_else(|fault| {
        let message =
            "what may wait for its confirmation is not undone, because others may have written the record of it";
        log.error(SELF, format!("{message}: {}\nhelp: {}", fault.message, fault.help));
        None
    });
    let Some(plugins) = waiting else { return Err(faults) };
    let PluginPlaces { path, allow_untrusted_owner } = plugins;
    let mut settings = Settings::default();
    settings.plugins.path = path.into_iter().map(Into::into).collect();
    settings.plugins.allow_untrusted_owner = allow_untrusted_owner;
    // Whoever mends the files may have no other way to say so.
    settings.daemon.watch_configuration = true;
    Ok(Accepted { config: Configuration::of_settings(settings), seen, faults: Some(faults) })
}

fn refuse(log: &Log, errors: &ConfigErrors) -> ExitCode {
    log.error(SELF, format!("{errors}\n{}", config::render(errors)));
    ExitCode::from(EXIT_CONFIG)
}

/// The configuration as it is read at the start.
struct FirstReading {
    pending: Pending,
    began: Instant,
}

impl FirstReading {
    /// Waits however long the file system takes to answer: that is told, also to who asks for the status. None when the daemon
    /// is to end meanwhile.
    fn wait(
        &self,
        arguments: &Arguments,
        (log, board, stop): (&Log, &Board, &Stop),
    ) -> Option<Result<Accepted, ConfigErrors>> {
        /// How soon the end of the daemon is noticed.
        const PAUSE: Duration = Duration::from_millis(50);
        let patience = Reading::STRICT.patience;
        board.set_activity(reading_files());
        let mut is_told = false;
        while !stop.is_requested() {
            if let Some(contents) = self.pending.wait(PAUSE) {
                board.set_activity(Activity::Idle);
                board.update(|status| status.problems.clear());
                return Some(accept(contents, arguments, log));
            }
            if !is_told && self.began.elapsed() >= patience {
                is_told = true;
                let report = config::render(&self.pending.silence(patience));
                let message = "the configuration cannot be read, and nothing is done before it can";
                log.error(SELF, format!("{message}:\n{report}"));
                board.update(|status| status.problems = vec![unread(report)]);
            }
        }
        None
    }
}

fn unread(report: String) -> Problem {
    let (subject, severity) = ("config".to_owned(), Severity::Error);
    Problem { subject, message: report, help: None, place: None, severity }
}

/// The locks of both directories: two daemons must share neither.
fn take_directories(arguments: &Arguments, log: &Log) -> Result<(InstanceLock, StateLease), InstanceError> {
    if !arguments.beside_service {
        instance::refuse_beside_service(&arguments.run_dir)?;
    }
    instance::prepare_directory(&arguments.run_dir)?;
    lease::refuse_run_directory(&arguments.run_dir, &arguments.state_dir)?;
    let run = instance::lock_directory(&arguments.run_dir)?;
    let (state, trouble) = StateLease::take(&arguments.state_dir)?;
    if let Some(trouble) = trouble {
        // What that keeps from being done is in the status.
        log.error(SELF, format!("going on without a state directory that can be written: {}", chain(&trouble)));
    }
    Ok((run, state))
}

/// A daemon that was killed may have left plugins in the middle of a step.
fn await_former_plugins(arguments: &Arguments, config: &Configuration, log: &Log) -> Result<File, InstanceError> {
    let patience = config.settings.plugins.deadlines.stop;
    let waiting = || log.info(SELF, "waiting for the plugins of an earlier daemon to finish their step");
    let (file, are_gone) = instance::await_former_plugins(&arguments.run_dir, patience, waiting)?;
    if !are_gone {
        let seconds = patience.as_secs_f64();
        log.warn(SELF, format!("what an earlier daemon started still runs after {seconds} s; going on beside it"));
    }
    Ok(file)
}

fn listen(
    arguments: &Arguments,
    log: &Log,
    board: &Board,
    stop: &Stop,
    sender: &Sender<Event>,
) -> Result<admin::AdminSocket, Box<dyn Error>> {
    let (flag, events) = (stop.clone(), sender.clone());
    signals::listen(move |request| {
        if request == signals::Request::Stop {
            flag.request();
        }
        // The engine is gone only when the process is about to be.
        drop(events.send(Event::Signal(request)));
    })?;
    let desk = Desk {
        board: board.clone(),
        engine: sender.clone(),
        turns: Turns::default(),
        log: log.clone(),
        state_directory: arguments.state_dir.clone(),
        sources: sources_of(arguments),
        lookout: Lookout::default(),
    };
    Ok(admin::listen(&arguments.run_dir, desk)?)
}

fn give_up(log: &Log, error: &dyn Error, help: Option<&str>) -> ExitCode {
    let help = help.map(|help| format!("\nhelp: {help}")).unwrap_or_default();
    log.error(SELF, format!("{}{help}", chain(error)));
    ExitCode::FAILURE
}
