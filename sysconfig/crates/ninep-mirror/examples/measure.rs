//! Measures latency and bandwidth of a share: `cargo run --release --example measure -- --socket PATH FILE`.
//!
//! Takes the options of `ninep-mirror` that say where the share is, and reads one of its files. On an illumos guest
//! without an endpoint it takes the device.

use std::time::{Duration, Instant};

use clap::Parser;
use ninep_mirror::path::SharePath;
use ninep_mirror::report::chain;
use ninep_mirror::service::{Connector, Options};
use ninep_mirror::session::{Session, SessionError, SessionOptions};
use ninep_mirror::stop::Stop;
use ninep_mirror::transport::vio9p::System;

/// Requests of which the latency is measured.
const REQUESTS: u32 = 2000;

/// Measures latency and bandwidth of a share.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// A file of the share, the larger the better
    file: String,
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a program")]
fn main() -> std::process::ExitCode {
    match measure(&Arguments::parse()) {
        Ok(lines) => {
            println!("{lines}");
            std::process::ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("measure: {}", chain(&*error));
            std::process::ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<String, Box<dyn std::error::Error>> {
    let Arguments { options, file } = arguments;
    let session = SessionOptions {
        message_size: options.message_size(),
        user_id: options.user,
        tree: options.tree.clone().into_bytes(),
        request_timeout: options.request_timeout,
        stop: Stop::default(),
    };
    let connector = Connector::new(options.endpoint(), System::default(), session, options.expect.clone())
        .with_tag(options.tag.clone());
    let (mut session, endpoint) = connector.connect()?;
    let path = SharePath::parse(file.as_bytes())?;
    let (median, worst) = latency(&mut session, &path)?;
    let (bytes, time) = bandwidth(&mut session, &path)?;
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let rate = bytes as f64 / time.as_secs_f64() / f64::from(1 << 20);
    Ok(format!(
        "{endpoint}: messages of {} bytes; getattr {median:?} in the median, {worst:?} at most; {rate:.1} MiB/s",
        session.msize()
    ))
}

fn latency(session: &mut Session, path: &SharePath) -> Result<(Duration, Duration), SessionError> {
    let names: Vec<_> = path.names().collect();
    let fid = session.walk(&names)?;
    let mut times = Vec::new();
    for _ in 0..REQUESTS {
        let begin = Instant::now();
        session.attributes(&fid)?;
        times.push(begin.elapsed());
    }
    session.clunk(fid)?;
    times.sort_unstable();
    Ok((times[times.len() / 2], times[times.len() - 1]))
}

fn bandwidth(session: &mut Session, path: &SharePath) -> Result<(u64, Duration), SessionError> {
    let names: Vec<_> = path.names().collect();
    let fid = session.walk(&names)?;
    let chunk_bytes = session.open_for_reading(&fid)?;
    let begin = Instant::now();
    let mut offset = 0;
    loop {
        let got = session.read(&fid, offset, chunk_bytes)?.len();
        if got == 0 {
            break;
        }
        offset += u64::try_from(got).unwrap_or(0);
    }
    let time = begin.elapsed();
    session.clunk(fid)?;
    Ok((offset, time))
}
