//! From the command line to a running engine.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::channel;

use sysconfig_protocol::ProtocolRange;

use crate::admin::{self, Desk};
use crate::board::Board;
use crate::config::{self, Configuration, Sources};
use crate::engine::{Engine, Event, Parts};
use crate::log::{Log, SYSTEM_CONSOLE};
use crate::options::Arguments;
use crate::plugin::Stop;
use crate::service::instance::{self, InstanceError};
use crate::service::readiness::{self, Readiness, Role};
use crate::service::signals;

/// The configuration is faulty. SMF puts a service that exits so into maintenance at once instead of trying again.
const EXIT_CONFIG: u8 = 96;

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
    let sources = Sources { file: arguments.config.clone(), directory: arguments.config_dir.clone() };
    let config = match config::load(&sources) {
        Ok(config) => config,
        Err(errors) => {
            log.error(SELF, format!("{errors}\n{}", config::render(&errors)));
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    if let Err(error) = log.configure(&config.settings.logging) {
        log.warn(SELF, chain(&error));
    }
    let locks = match take_directories(arguments) {
        Ok(locks) => locks,
        Err(error) => {
            let help = error.help();
            return give_up(&log, &error, help);
        }
    };
    let plugin_input = match await_former_plugins(arguments, &config, &log) {
        Ok(input) => input,
        Err(error) => return give_up(&log, &error, error.help()),
    };
    log.info(SELF, format!("version {} starting as process {}", env!("CARGO_PKG_VERSION"), std::process::id()));
    let (sender, receiver) = channel();
    let board = Board::new();
    let stop = Stop::default();
    let result = listen(arguments, &log, &board, &stop, &sender).and_then(|socket| {
        let parts = Parts {
            sources,
            config,
            plugin_path: arguments.plugin_path.clone(),
            state_directory: arguments.state_dir.clone(),
            log: log.clone(),
            board,
            readiness,
            plugin_input,
            stop,
            events: (sender, receiver),
        };
        Engine::new(parts)?.run()?;
        drop(socket);
        Ok(())
    });
    drop(locks);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => give_up(&log, error.as_ref(), None),
    }
}

/// The locks of both directories: two daemons must share neither.
fn take_directories(arguments: &Arguments) -> Result<[instance::InstanceLock; 2], InstanceError> {
    instance::prepare_directory(&arguments.run_dir)?;
    let run = instance::lock_directory(&arguments.run_dir)?;
    instance::prepare_directory(&arguments.state_dir)?;
    Ok([run, instance::lock_directory(&arguments.state_dir)?])
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
    sender: &std::sync::mpsc::Sender<Event>,
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
        log: log.clone(),
        state_directory: arguments.state_dir.clone(),
    };
    Ok(admin::listen(&arguments.run_dir, desk)?)
}

fn give_up(log: &Log, error: &dyn Error, help: Option<&str>) -> ExitCode {
    let help = help.map(|help| format!("\nhelp: {help}")).unwrap_or_default();
    log.error(SELF, format!("{}{help}", chain(error)));
    ExitCode::FAILURE
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}
