//! The loop: connect, mirror, begin again.

use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::backoff::Backoff;
use super::connect::{ConnectError, Connector};
use super::options::Options;
use super::output::Output;
use super::readiness;
use crate::mirror::{Mirror, MirrorError};
use crate::report::{Event, chain};
use crate::session::{Session, SessionOptions};
use crate::stop::Stop;
use crate::transport::vio9p::{Driver, System};

/// Files that are looked at between two looks at the executables: some tens of milliseconds in an emulated guest.
const PORTION: usize = 16;
/// A pause while a pass waits for files that keep changing.
const RESTLESS_PAUSE: Duration = Duration::from_millis(50);
/// Looking at everything takes at most one part in so many of the time.
const PASS_SHARE: u32 = 10;
/// The same for executables.
const EXECUTABLES_SHARE: u32 = 4;

/// How often things are looked at, at most.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// From the end of a pass to the next.
    pub interval: Duration,
    /// From a look at the executables to the next.
    pub executables_interval: Duration,
    /// End after one complete round.
    pub once: bool,
}

/// How the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// On request, or after one complete round.
    Done,
    /// After one complete round in which some files could not be copied.
    Incomplete,
    /// It could not go on.
    Failed,
    /// There is no share, or not the expected one.
    NoShare,
}

impl Outcome {
    /// The exit status, as `--help` says.
    #[must_use]
    pub fn exit_status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::NoShare => 3,
            Self::Incomplete => 4,
        }
    }
}

/// What SMF is told, by its `smf_include.sh`: without a share, trying again would not help; otherwise the mirror has tried
/// for as long as it could. Any other status would have SMF try again.
fn smf_status(status: u8) -> u8 {
    const FATAL: u8 = 95;
    const CONFIG: u8 = 96;
    match status {
        0 => 0,
        status if status == Outcome::NoShare.exit_status() => CONFIG,
        _ => FATAL,
    }
}

/// The exit status for a wrong option.
#[must_use]
pub fn usage_status(is_smf: bool) -> u8 {
    if is_smf { 96 } else { 2 }
}

/// Runs the program.
#[expect(clippy::print_stderr, reason = "why a program does not start is told on standard error")]
pub fn run(options: &Options) -> ExitCode {
    if options.smf && !readiness::is_second_process() {
        let ended = readiness::start_and_wait(std::env::args_os().skip(1), options.ready_within);
        if let Err(error) = &ended {
            eprintln!("ninep-mirror: cannot start the mirror: {error}");
        }
        return ExitCode::from(smf_status(ended.unwrap_or(Outcome::Failed.exit_status())));
    }
    let stop = Stop::default();
    if let Err(error) = listen(&stop) {
        eprintln!("ninep-mirror: cannot wait for signals: {error}");
        return ExitCode::from(Outcome::Failed.exit_status());
    }
    let output = Output::new(io::stdout(), options.json, options.verbose);
    let mirror = match Mirror::open(&options.dest, options.plan(), Box::new(output), stop.clone()) {
        Ok(mirror) => mirror,
        Err(error) => {
            eprintln!("ninep-mirror: {}", chain(&error));
            return ExitCode::from(Outcome::Failed.exit_status());
        }
    };
    let mut runner = Runner::new(connector(options, &stop), mirror, pace(options), stop);
    if options.smf {
        runner.on_first_round(readiness::ready);
    }
    ExitCode::from(runner.run().exit_status())
}

fn connector(options: &Options, stop: &Stop) -> Connector<System> {
    let session = SessionOptions {
        message_size: options.message_size(),
        user_id: options.user,
        tree: options.tree.clone().into_bytes(),
        request_timeout: options.request_timeout,
        stop: stop.clone(),
    };
    Connector::new(options.endpoint(), System::default(), session, options.expect.clone()).with_tag(options.tag.clone())
}

fn pace(options: &Options) -> Pace {
    let &Options { interval, executables_interval, once, .. } = options;
    Pace { interval, executables_interval, once }
}

/// Starts the thread `signals`.
fn listen(stop: &Stop) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let stop = stop.clone();
    let run = move || {
        for signal in signals.forever() {
            if signal == SIGHUP { stop.wake() } else { stop.request() }
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(run)?;
    Ok(())
}

/// Keeps a mirror in step over sessions that come and go.
#[derive(Debug)]
pub struct Runner<D> {
    connector: Connector<D>,
    mirror: Mirror,
    pace: Pace,
    backoff: Backoff,
    stop: Stop,
    first_round: Option<fn()>,
}

/// When what is looked at next, within a session.
#[derive(Debug)]
struct Schedule {
    next_pass: Instant,
    next_executables: Instant,
    /// How long the looks of this pass took.
    pass_time: Duration,
}

impl<D: Driver> Runner<D> {
    /// For a mirror and the way to its share.
    pub fn new(connector: Connector<D>, mirror: Mirror, pace: Pace, stop: Stop) -> Self {
        Self { connector, mirror, pace, backoff: Backoff::default(), stop, first_round: None }
    }

    /// Calls this when the first round is complete.
    pub fn on_first_round(&mut self, call: fn()) {
        self.first_round = Some(call);
    }

    /// Runs until the end is asked for, or one round is complete if that is all.
    pub fn run(&mut self) -> Outcome {
        while !self.stop.is_requested() {
            if let Some(outcome) = self.attempt() {
                return outcome;
            }
        }
        Outcome::Done
    }

    /// One session, and the wait after it failed. The outcome when there will be no other.
    fn attempt(&mut self) -> Option<Outcome> {
        let (mut session, endpoint) = match self.connector.connect() {
            Ok(connected) => connected,
            Err(error) => {
                // Without a device there will be none later, of another tag it stays, and nothing will tell several apart
                // that were all asked: a machine gets its shares when it is started.
                let hopeless = self.pace.once
                    || matches!(
                        error,
                        ConnectError::NoDevice
                            | ConnectError::OtherTag { .. }
                            | ConnectError::Ambiguous { .. }
                            | ConnectError::Untold { is_any_busy: false, .. }
                    );
                return self.failed(&error, hopeless.then_some(Outcome::NoShare));
            }
        };
        let msize = session.msize();
        self.mirror.tell(&Event::Connected { endpoint: &endpoint, msize });
        let served = self.serve(&mut session);
        self.mirror.session_ended();
        let saved = self.mirror.save_records();
        match served.and_then(|outcome| saved.map(|()| outcome)) {
            Ok(outcome) => {
                session.close();
                Some(outcome)
            }
            Err(_) if self.stop.is_requested() => Some(Outcome::Done),
            Err(error) => {
                self.connector.session_failed(&error, msize);
                let outcome = match error {
                    MirrorError::WrongShare { .. } => Outcome::NoShare,
                    _ => Outcome::Failed,
                };
                // Another start makes the destination anew.
                let is_gone = self.mirror.is_destination_gone();
                self.failed(&error, (self.pace.once || is_gone).then_some(outcome))
            }
        }
    }

    fn failed(&mut self, error: &(dyn std::error::Error + 'static), end: Option<Outcome>) -> Option<Outcome> {
        let retry_after = end.is_none().then(|| self.backoff.failed());
        self.mirror.tell(&Event::Lost { error, retry_after });
        if let Some(wait) = retry_after {
            self.stop.wait(wait);
        }
        end
    }

    /// Mirrors over one session, until it fails or there is no more to do.
    fn serve(&mut self, session: &mut Session) -> Result<Outcome, MirrorError> {
        let now = Instant::now();
        let mut schedule = Schedule {
            next_pass: now,
            next_executables: now + self.pace.executables_interval,
            pass_time: Duration::ZERO,
        };
        while !self.stop.is_requested() {
            if let Some(outcome) = self.step(session, &mut schedule)? {
                return Ok(outcome);
            }
        }
        Ok(Outcome::Done)
    }

    /// Does the most urgent thing, or waits for it.
    fn step(&mut self, session: &mut Session, schedule: &mut Schedule) -> Result<Option<Outcome>, MirrorError> {
        let now = Instant::now();
        if now >= schedule.next_executables {
            self.mirror.look_at_executables(session)?;
            let pause = self.pace.executables_interval.max(now.elapsed() * EXECUTABLES_SHARE);
            schedule.next_executables = Instant::now() + pause;
        } else if self.mirror.next_settle().is_some_and(|at| at <= now) {
            self.mirror.settle(session)?;
        } else if self.mirror.is_pass_complete() {
            return self.finish_pass(schedule);
        } else if self.mirror.is_in_pass() {
            if self.mirror.look_at_some(session, PORTION)? {
                self.wait(schedule, Some(now + RESTLESS_PAUSE));
            } else {
                schedule.pass_time += now.elapsed();
            }
        } else if now >= schedule.next_pass {
            self.mirror.begin_pass(session)?;
            schedule.pass_time = now.elapsed();
        } else {
            self.wait(schedule, None);
        }
        Ok(None)
    }

    fn finish_pass(&mut self, schedule: &mut Schedule) -> Result<Option<Outcome>, MirrorError> {
        let round = self.mirror.finish_pass()?;
        self.backoff.succeeded();
        if let Some(call) = self.first_round.take() {
            call();
        }
        if self.pace.once {
            return Ok(Some(if round.problems == 0 { Outcome::Done } else { Outcome::Incomplete }));
        }
        schedule.next_pass = Instant::now() + self.pace.interval.max(schedule.pass_time * PASS_SHARE);
        Ok(None)
    }

    /// Waits for whatever comes first. A wake, which SIGHUP causes, makes a pass due.
    fn wait(&self, schedule: &mut Schedule, also: Option<Instant>) {
        let pass = if self.mirror.is_in_pass() { None } else { Some(schedule.next_pass) };
        let next = [Some(schedule.next_executables), self.mirror.next_settle(), pass, also].into_iter().flatten().min();
        let time = next.map_or(RESTLESS_PAUSE, |next| next.saturating_duration_since(Instant::now()));
        if self.stop.wait(time) {
            schedule.next_pass = Instant::now();
        }
    }
}
