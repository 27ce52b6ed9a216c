//! The command line: options in, one call into the library, words out.

mod arguments;
mod output;

use arguments::{Arguments, SnapshotArguments, UpArguments, Verb};
use clap::Parser;
use dev_vm::hypervisor::Hypervisor;
use dev_vm::{
    DownOptions, Foreign, GdbTarget, Host, LaunchError, LogOptions, State, StateError, Stopped, Vm, VmDirectory, VmName,
};
use output::{Failure, Row, StderrProgress, exit, say, write_json, write_out};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use workspace_location::Location;

/// Reads the command line, does what it says and answers the exit status.
pub(crate) fn run() -> ExitCode {
    let arguments = Arguments::parse();
    // `ssh` does so too: its own failures cannot be mistaken for the remote program's.
    let own_failure = match arguments.verb {
        Verb::Ssh { .. } | Verb::Exec { .. } => Some(255),
        _ => None,
    };
    match dispatch(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            let code = own_failure.unwrap_or(failure.code());
            failure.report();
            ExitCode::from(code)
        }
    }
}

fn dispatch(arguments: Arguments) -> Result<u8, Failure> {
    let images = match &arguments.dir {
        Some(text) => Location::parse(text).directory()?,
        None => default_images(),
    };
    let host = Host::from_environment();
    let state = host.state_directory.clone().ok_or(StateError::NoStateDirectory)?;
    if let Verb::List { json } = arguments.verb {
        return list(&VmDirectory::list(&images, &state)?, &host, json);
    }
    let vm = Vm::new(VmDirectory::new(&images, &state, arguments.name)?, host);
    match arguments.verb {
        Verb::Up { hypervisor, up } => match hypervisor.unwrap_or_else(|| vm.host().hypervisor()) {
            Hypervisor::Qemu => start(&vm, up),
            other => start_with(&vm, other, up),
        },
        Verb::Down { force, timeout } => stop(&vm, force, timeout),
        Verb::Status { json } => status(&vm, json),
        Verb::Wait { timeout } => {
            let services = watching(|progress| vm.wait(Duration::from_secs(timeout), progress))?;
            say("ready");
            Ok(output::tell_services(&services))
        }
        Verb::Reboot { timeout } => {
            let timeout = Duration::from_secs(timeout);
            let ready = watching(|progress| vm.reboot(timeout, progress))?;
            say(&format!("ready again after {:.1} s", ready.after.unwrap_or_default().as_secs_f64()));
            Ok(output::tell_services(&ready.services))
        }
        Verb::Console => {
            say("attached to the serial console; Ctrl-] detaches, Enter shows the prompt");
            vm.console()?;
            say("\ndetached");
            Ok(exit::OK)
        }
        Verb::Ssh { arguments } => Ok(code(vm.ssh(&arguments)?)),
        Verb::Exec { terminal, command } => Ok(code(vm.exec(&command, terminal)?)),
        Verb::Logs { follow, all, raw } => {
            let options = LogOptions { follow, all, raw };
            vm.logs(options, &mut std::io::stdout().lock())?;
            Ok(exit::OK)
        }
        Verb::Reset => {
            vm.reset()?;
            say("the machine starts from its image again");
            Ok(exit::OK)
        }
        Verb::Snapshot(arguments) => snapshot(&vm, arguments),
        Verb::Restore { snapshot } => {
            vm.restore(&snapshot)?;
            say(&format!("the disk is as it was at `{snapshot}`"));
            Ok(exit::OK)
        }
        Verb::Print { hypervisor, up } => {
            let options = up.into_options(default_share());
            let text = vm.print(hypervisor, &options, &mut StderrProgress::default())?;
            write_out(&text);
            Ok(exit::OK)
        }
        Verb::Gdb { plugin, kernel: _, symbols } => debug(&vm, plugin, symbols),
        Verb::List { .. } => Ok(exit::OK),
    }
}

const VERBS: &str = "`dev-vm ssh` enters it, `dev-vm console` attaches to its console, `dev-vm down` stops it";

fn start(vm: &Vm, up: UpArguments) -> Result<u8, Failure> {
    let json = up.json;
    let options = up.into_options(default_share());
    let ready = watching(|progress| vm.up(&options, progress))?;
    match ready.after {
        Some(after) => say(&format!("ready after {:.1} s", after.as_secs_f64())),
        None => say("started; `dev-vm wait` waits until it is ready"),
    }
    let code = output::tell_services(&ready.services);
    say(VERBS);
    if json {
        write_json(&vm.status()?);
    }
    Ok(code)
}

fn start_with(vm: &Vm, hypervisor: Hypervisor, up: UpArguments) -> Result<u8, Failure> {
    let json = up.json;
    let options = up.into_options(default_share());
    match watching(|progress| vm.up_with(hypervisor, &options, progress))? {
        Foreign::Ended => {
            say("the guest powered off");
            if json {
                write_json(&serde_json::json!({ "ended": "powered off" }));
            }
            Ok(exit::OK)
        }
        Foreign::Running { ready } => {
            match ready.after {
                Some(after) => say(&format!("ready after {:.1} s", after.as_secs_f64())),
                None => say("started"),
            }
            say(VERBS);
            if json {
                let (port, after) = (ready.ssh_port, ready.after.map(|after| after.as_secs_f64()));
                write_json(
                    &serde_json::json!({ "ssh_port": port, "ready_after_seconds": after, "services": ready.services }),
                );
            }
            Ok(output::tell_services(&ready.services))
        }
    }
}

/// Does something that waits for the guest, telling how far it is.
fn watching<T, E: Into<Failure>>(wait: impl FnOnce(&mut StderrProgress) -> Result<T, E>) -> Result<T, Failure> {
    let mut progress = StderrProgress::default();
    let result = wait(&mut progress);
    progress.end();
    result.map_err(|error| error.into().by_signal(&progress))
}

fn stop(vm: &Vm, force: bool, timeout: u64) -> Result<u8, Failure> {
    let timeout = Duration::from_secs(timeout);
    say(match vm.down(DownOptions { force, timeout })? {
        Stopped::WasNotRunning => "it was not running",
        Stopped::PoweredOff => "the guest powered off",
        Stopped::Quit if force => "stopped without asking the guest",
        Stopped::Quit => "the guest did not power off in time; stopped without it",
        Stopped::Killed => "QEMU did not answer and was killed",
    });
    Ok(exit::OK)
}

fn status(vm: &Vm, json: bool) -> Result<u8, Failure> {
    let status = vm.status()?;
    if json {
        write_json(&status);
    } else {
        write_out(&output::status_text(&status));
    }
    Ok(match status.state {
        State::Stopped => exit::NOT_RUNNING,
        State::Booting | State::Ready | State::Running => exit::OK,
    })
}

fn list(machines: &[VmDirectory], host: &Host, json: bool) -> Result<u8, Failure> {
    let row = |machine: &VmDirectory| match Vm::new(machine.clone(), host.clone()).status() {
        Ok(status) => Row::Status(Box::new(status)),
        Err(error) => Row::unreadable(machine.name(), &error),
    };
    let all: Vec<Row> = machines.iter().map(row).collect();
    if json {
        write_json(&all);
    } else {
        write_out(&output::list_text(&all));
    }
    Ok(exit::OK)
}

fn snapshot(vm: &Vm, arguments: SnapshotArguments) -> Result<u8, Failure> {
    match (arguments.snapshot, arguments.delete) {
        (Some(name), _) => {
            vm.snapshot(&name)?;
            say(&format!("`dev-vm restore {name}` comes back to this state"));
        }
        (None, Some(name)) => {
            vm.delete_snapshot(&name)?;
            say(&format!("the snapshot `{name}` is gone"));
        }
        (None, None) if arguments.json => write_json(&vm.snapshots()?),
        (None, None) => write_out(&output::snapshots_text(&vm.snapshots()?)),
    }
    Ok(exit::OK)
}

fn debug(vm: &Vm, plugin: Option<String>, symbols: Option<PathBuf>) -> Result<u8, Failure> {
    let target = match plugin {
        None => GdbTarget::Kernel { symbols },
        Some(name) => {
            // What the guest runs was built on this side of the share.
            let built = || {
                let share = vm.status().ok()?.share?.path;
                let file = format!("sysconfig/target/release/sysconfig-plugin-{name}");
                Some(share.join(file)).filter(|path| path.is_file())
            };
            let symbols = symbols.or_else(built);
            GdbTarget::Plugin { name, symbols }
        }
    };
    Ok(code(vm.gdb(&target, &mut |line| say(line))?))
}

/// An exit status as `ssh` and gdb give it; they have no others than 0 to 255.
fn code(status: i32) -> u8 {
    u8::try_from(status).unwrap_or(u8::MAX)
}

/// `./images`; else, inside a checkout that has one, its `images`.
fn default_images() -> PathBuf {
    let here = PathBuf::from("images");
    if here.is_dir() {
        return here;
    }
    let of_checkout = default_share().map(|root| root.join("images"));
    of_checkout.filter(|images| images.is_dir()).unwrap_or(here)
}

/// The enclosing checkout: what a new machine shares unless told otherwise.
fn default_share() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let root = here.ancestors().find(|directory| directory.join(".git").exists());
    root.map(Path::to_owned)
}

/// For options that are names.
fn parse_name(text: &str) -> Result<VmName, String> {
    text.parse::<VmName>().map_err(|error| {
        let hint = "use letters, digits, `.`, `_` and `-`";
        format!("{error}; {hint}")
    })
}

impl From<LaunchError> for Failure {
    fn from(error: LaunchError) -> Self {
        Self::launch(error)
    }
}
