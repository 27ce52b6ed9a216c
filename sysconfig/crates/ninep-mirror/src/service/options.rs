//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Parser};

use super::endpoint::Endpoint;
use crate::mirror::{Limits, Plan};
use crate::path::SharePath;
use crate::selection::{DEFAULT_EXCLUDES, DEFAULT_EXECUTABLES, Glob, Rules};
use crate::session::MessageSize;

/// Keeps a directory in step with a share of the host, read over 9P2000.L.
///
/// Copies what git tracks in the share, and the executables that cargo left in sysconfig/target/release and
/// sysconfig/target/*/release. What vanishes from the share is removed, if the mirror made it. The share is only read.
///
/// PATTERNs are those of .gitignore: * ? **, anchored at the share's root when they contain a slash.
///
/// Signals: SIGTERM and SIGINT end the program after the file at hand; SIGHUP begins a round at once.
///
/// Exit status: 0 stopped on request, or one complete round; 1 cannot go on; 2 wrong option; 3 there is no share, or
/// not the expected one; 4 one complete round, and some files could not be copied. With --smf they are SMF's own: 0 the
/// first round is complete, and the mirror goes on; 95 it cannot go on; 96 a wrong option, no share, or not the expected one.
#[derive(Debug, Clone, Parser)]
#[command(name = "ninep-mirror", version, verbatim_doc_comment)]
#[command(group = ArgGroup::new("endpoint").multiple(false))]
pub struct Options {
    /// Where the share appears
    #[arg(long, value_name = "DIR", default_value = "/repo")]
    pub dest: PathBuf,
    /// The device of the share; without one, the only device in /dev/9p, or the one that fits --expect
    #[arg(long, value_name = "PATH", group = "endpoint")]
    pub device: Option<PathBuf>,
    /// Read from a server at a UNIX socket
    #[arg(long, value_name = "PATH", group = "endpoint")]
    pub socket: Option<PathBuf>,
    /// Read from a server at a TCP address
    #[arg(long, value_name = "HOST:PORT", group = "endpoint")]
    pub tcp: Option<String>,
    /// The mount tag of the share; a device whose share has another one is not taken, and of several that tell none, none
    /// without --expect
    #[arg(long, value_name = "TAG", conflicts_with_all = ["socket", "tcp"])]
    pub tag: Option<String>,
    /// What the share holds, as sysconfig/Cargo.toml; a share without it is another one, and nothing is touched
    #[arg(long, value_name = "PATH", value_parser = parse_path)]
    pub expect: Option<SharePath>,
    /// Copy only what fits this; may be given several times
    #[arg(long, value_name = "PATTERN")]
    pub include: Vec<Glob>,
    /// Do not copy what fits this, nor /images and target; may be given several times
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<Glob>,
    /// Copy executables that fit this although nobody tracks them; may be given several times
    #[arg(long, value_name = "PATTERN", value_parser = parse_executables, default_values = DEFAULT_EXECUTABLES)]
    pub executables: Vec<Glob>,
    /// Copy files that git does not track, too
    #[arg(long)]
    pub untracked: bool,
    /// The time between two rounds, such as 5s; longer where a round takes long
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "5s")]
    pub interval: Duration,
    /// The time between two looks at the executables
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "250ms")]
    pub executables_interval: Duration,
    /// How long a file must stay the same before it is copied
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "250ms")]
    pub settle: Duration,
    /// How long the server may take for one answer
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "10s")]
    pub request_timeout: Duration,
    /// The largest message in bytes; found out where it is not given
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1024..=1 << 20))]
    pub msize: Option<u32>,
    /// The user as whom the server reads
    #[arg(long, value_name = "UID", default_value_t = 0)]
    pub user: u32,
    /// Which tree of a server that has several; virtual machines have one for each share
    #[arg(long, value_name = "NAME", default_value = "")]
    pub tree: String,
    /// End after one complete round
    #[arg(long)]
    pub once: bool,
    /// Run as an SMF contract service: return when the first round is complete
    #[arg(long, conflicts_with = "once")]
    pub smf: bool,
    /// With --smf, how long the first round may take
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "240s")]
    pub ready_within: Duration,
    /// Print one line of JSON for everything that happens
    #[arg(long)]
    pub json: bool,
    /// Name every file that is copied or removed
    #[arg(long, short)]
    pub verbose: bool,
}

impl Options {
    /// Where the server is.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        match (&self.device, &self.socket, &self.tcp) {
            (Some(path), _, _) => Endpoint::Device(path.clone()),
            (_, Some(path), _) => Endpoint::Socket(path.clone()),
            (_, _, Some(address)) => Endpoint::Tcp(address.clone()),
            _ => Endpoint::AnyDevice,
        }
    }

    /// What to mirror.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let mut exclude: Vec<Glob> =
            DEFAULT_EXCLUDES.iter().map(|text| text.parse().expect("the default patterns are patterns")).collect();
        exclude.extend(self.exclude.iter().cloned());
        let rules = Rules { include: self.include.clone(), exclude, executables: self.executables.clone() };
        let limits = Limits { settle: self.settle, ..Limits::default() };
        Plan { rules, tracked_only: !self.untracked, expected: self.expect.clone(), limits }
    }

    /// How large messages are to be.
    #[must_use]
    pub fn message_size(&self) -> MessageSize {
        self.msize.map_or(MessageSize::Automatic, MessageSize::AtMost)
    }
}

fn parse_path(text: &str) -> Result<SharePath, crate::path::PathError> {
    SharePath::parse(text.as_bytes())
}

/// Executables are looked for several times a second, so their patterns must name the directories nearly.
fn parse_executables(text: &str) -> Result<Glob, String> {
    let glob: Glob = text.parse().map_err(|error: crate::selection::GlobError| error.to_string())?;
    if glob.parts().iter().any(|part| part == b"**") {
        return Err("it must begin with / and name each directory on the way; ** is too much to look at".to_owned());
    }
    Ok(glob)
}

/// Reads a time such as `250ms`, `5s` or `2m`.
///
/// # Errors
///
/// When it has no unit, is no number, zero, or longer than a day.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return Err("a time is a number with the unit ms, s or m".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "a time begins with a number".to_owned())?;
    match number.checked_mul(factor_ms) {
        Some(milliseconds @ 1..=86_400_000) => Ok(Duration::from_millis(milliseconds)),
        _ => Err("a time is between 1ms and 1440m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Options as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn times_have_units() {
        for (text, milliseconds) in [("250ms", Some(250)), ("5s", Some(5000)), ("2m", Some(120_000))] {
            assert_eq!(parse_duration(text).ok(), milliseconds.map(Duration::from_millis));
        }
        for text in ["5", "s", "", "-1s", "0s", "1h", "99999999999999999999s", "2000m"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn endpoints_exclude_each_other() {
        let parse = |arguments: &[&str]| Options::try_parse_from([&["ninep-mirror"], arguments].concat());
        assert_eq!(parse(&[]).unwrap().endpoint(), Endpoint::AnyDevice);
        assert_eq!(parse(&["--tcp", "h:1"]).unwrap().endpoint(), Endpoint::Tcp("h:1".to_owned()));
        assert!(parse(&["--tcp", "h:1", "--socket", "s"]).is_err());
        assert!(parse(&["--executables", "*.so"]).is_err(), "this would look everywhere");
    }
}
