//! The `vio9p` driver's rules, enforced by an imitation of it.

mod common;

use std::io::Write;
use std::time::Duration;

use common::device::FakeDriver;
use common::server::{T_ATTACH, T_VERSION, message};
use common::share::Sent;
use common::{Bench, Share, path, round, session_options};
use ninep_mirror::service::{ConnectError, Connector, Endpoint, Outcome, Pace, Runner};
use ninep_mirror::session::{MessageSize, SessionOptions};
use ninep_mirror::transport::vio9p::{Driver, OPEN_FLAGS};
use rustix::fs::OFlags;
use rustix::io::Errno;

const OLD_DRIVER: usize = 8192;
const NEW_DRIVER: usize = 65_536;

fn options(bench: &Bench) -> SessionOptions {
    SessionOptions { request_timeout: Duration::from_millis(500), ..session_options(&bench.stop) }
}

fn connector(bench: &Bench, driver: &FakeDriver) -> Connector<FakeDriver> {
    Connector::new(Endpoint::AnyDevice, driver.clone(), options(bench), bench.plan.expected.clone())
}

fn device(bench: &Bench, buffer_bytes: usize) -> FakeDriver {
    let driver = FakeDriver::default();
    driver.add(&bench.share, buffer_bytes);
    driver
}

#[test]
fn a_share_is_mirrored_through_either_version_of_the_driver() {
    for buffer_bytes in [OLD_DRIVER, NEW_DRIVER] {
        let bench = Bench::with_files();
        bench.share.executable("sysconfig/target/release/large", &[7; 300_000]);
        let driver = device(&bench, buffer_bytes);
        let (mut session, endpoint) = connector(&bench, &driver).connect().unwrap();
        assert_eq!(endpoint, "/dev/9p/0");
        assert_eq!(session.msize() as usize, buffer_bytes, "the size of the driver's buffer is found out");
        let round = round(&mut bench.mirror(), &mut session).unwrap();
        assert_eq!((round.files, round.problems), (5, 0));
        let copy = std::fs::read(bench.destination().join("sysconfig/target/release/large")).unwrap();
        assert_eq!(copy, [7; 300_000]);
        driver.channel(0, |channel| {
            assert_eq!(channel.most_outstanding, 1, "never more than one request is under way");
            assert!(channel.lost.is_empty());
        });
    }
}

#[test]
fn slow_interrupted_and_short_of_buffer_calls_are_repeated() {
    let bench = Bench::with_files();
    let driver = device(&bench, OLD_DRIVER);
    driver.channel(0, |channel| {
        channel.delay = 5;
        channel.interruptions = 40;
        channel.smallest_read = 100_000;
    });
    let (mut session, _) = connector(&bench, &driver).connect().unwrap();
    assert_eq!(round(&mut bench.mirror(), &mut session).unwrap().files, 4);
    driver.channel(0, |channel| assert_eq!(channel.interruptions, 0));
}

#[test]
fn replies_to_an_earlier_opener_are_passed_over() {
    let bench = Bench::with_files();
    let driver = device(&bench, NEW_DRIVER);
    let rversion = [&1_000_000_u32.to_le_bytes(), b"\x08\x009P2000.L".as_slice()].concat();
    driver.channel(0, |channel| {
        // An answer to a version that asked for more, one larger than what will be agreed on, one to anything.
        channel.stale_reply(&message(101, 0xFFFF, &rversion));
        let body = [&60_000_u32.to_le_bytes(), [1; 60_000].as_slice()].concat();
        channel.stale_reply(&message(117, 77, &body));
        channel.stale_reply(&message(121, 78, &[]));
    });
    bench.share.host().quirks.msize = 8192;
    let (mut session, _) = connector(&bench, &driver).connect().unwrap();
    driver.channel(0, |channel| channel.stale_reply(&message(7, 0xFFFF, &5_u32.to_le_bytes())));
    assert_eq!(round(&mut bench.mirror(), &mut session).unwrap().problems, 0);
    assert!(session.statistics().foreign_replies >= 3, "{:?}", session.statistics());
}

#[test]
fn nobody_is_granted_more_than_was_asked_for() {
    let bench = Bench::with_files();
    let driver = device(&bench, OLD_DRIVER);
    // An earlier opener asked for more and ended before the answer came.
    let rversion = [&65_536_u32.to_le_bytes(), b"\x08\x009P2000.L".as_slice()].concat();
    driver.channel(0, |channel| channel.stale_reply(&message(101, 0xFFFF, &rversion)));
    let options = SessionOptions { message_size: MessageSize::AtMost(8192), ..options(&bench) };
    let connector = Connector::new(Endpoint::AnyDevice, driver.clone(), options, None);
    let (session, _) = connector.connect().unwrap();
    assert_eq!(session.msize(), 8192);
}

#[test]
fn a_driver_that_never_delivers_large_answers_gets_small_ones() {
    let bench = Bench::with_files();
    bench.share.executable("sysconfig/target/release/large", &[7; 100_000]);
    let driver = device(&bench, NEW_DRIVER);
    // The probe says that large messages are taken, and yet large answers vanish.
    bench.share.host().mangle =
        Some(Box::new(|_, reply| Sent::Messages(if reply.len() > OLD_DRIVER { Vec::new() } else { vec![reply] })));
    let mut connector = connector(&bench, &driver);
    let mut mirror = bench.mirror();
    let (mut session, _) = connector.connect().unwrap();
    let msize = session.msize();
    assert_eq!(msize as usize, NEW_DRIVER);
    let error = round(&mut mirror, &mut session).unwrap_err();
    connector.session_failed(&error, msize);
    mirror.session_ended();
    drop(session);
    let (mut session, _) = connector.connect().unwrap();
    assert_eq!(session.msize() as usize, OLD_DRIVER);
    assert_eq!(round(&mut mirror, &mut session).unwrap().problems, 0);
}

#[test]
fn a_probe_that_is_answered_late_is_not_taken_for_a_refusal() {
    let bench = Bench::with_files();
    let driver = device(&bench, NEW_DRIVER);
    let mut late = None;
    let mut versions = 0;
    bench.share.host().mangle = Some(Box::new(move |kind, reply| {
        versions += usize::from(kind == 100);
        match (kind, versions) {
            (100, 1) => {
                late = Some(reply);
                Sent::Messages(Vec::new())
            }
            (100, 2) => Sent::Messages(late.take().into_iter().chain([reply]).collect()),
            _ => Sent::Messages(vec![reply]),
        }
    }));
    let (session, _) = connector(&bench, &driver).connect().unwrap();
    assert_eq!(session.msize() as usize, OLD_DRIVER, "without an answer the safe size is taken");
}

#[test]
fn a_device_in_use_is_named_and_free_again_afterwards() {
    let bench = Bench::with_files();
    let driver = device(&bench, OLD_DRIVER);
    let (session, _) = connector(&bench, &driver).connect().unwrap();
    let error = connector(&bench, &driver).connect().unwrap_err();
    assert!(matches!(&error, ConnectError::Busy { path } if path.ends_with("0")), "{error}");
    session.close();
    connector(&bench, &driver).connect().unwrap();
}

#[test]
fn the_device_with_the_expected_share_is_taken() {
    let mut bench = Bench::with_files();
    let (driver, other) = (FakeDriver::default(), Share::default());
    other.file("keys/authorized_keys", "key");
    assert!(matches!(connector(&bench, &driver).connect(), Err(ConnectError::NoDevice)));
    driver.add(&other, OLD_DRIVER);
    driver.add(&bench.share, OLD_DRIVER);
    assert!(
        matches!(connector(&bench, &driver).connect(), Err(ConnectError::Ambiguous { devices }) if devices.len() == 2)
    );
    bench.plan.expected = Some(path("docs/guide.md"));
    let (_session, endpoint) = connector(&bench, &driver).connect().unwrap();
    assert_eq!(endpoint, "/dev/9p/1");
    let error = connector(&bench, &driver).connect().unwrap_err().to_string();
    assert!(
        error.contains("/dev/9p/0") && error.contains("docs/guide.md") && error.contains("/dev/9p/1 is busy"),
        "{error}"
    );
    driver.open("/dev/9p/0".as_ref(), OPEN_FLAGS).unwrap();
}

#[test]
fn a_machine_whose_only_share_has_another_tag_is_not_waited_for() {
    let bench = Bench::with_files();
    let driver = device(&bench, OLD_DRIVER);
    driver.channel(0, |channel| channel.tag = Some("keys".to_owned()));
    let connector = connector(&bench, &driver).with_tag(Some("repo".to_owned()));
    let pace = Pace { interval: Duration::ZERO, executables_interval: Duration::ZERO, once: false };
    let outcome = Runner::new(connector, bench.mirror(), pace, bench.stop.clone()).run();
    assert_eq!(outcome, Outcome::NoShare);
}

#[test]
fn the_driver_is_asked_for_exclusive_use() {
    let bench = Bench::with_files();
    let driver = device(&bench, OLD_DRIVER);
    for flags in [OFlags::RDONLY, OFlags::RDWR, OFlags::RDONLY | OFlags::EXCL] {
        let error = driver.open("/dev/9p/0".as_ref(), flags | OFlags::NONBLOCK).unwrap_err();
        assert_eq!(Errno::from_io_error(&error), Some(Errno::INVAL), "{flags:?}");
    }
    connector(&bench, &driver).connect().unwrap();
}

#[test]
fn the_device_with_the_tag_is_taken() {
    let bench = Bench::with_files();
    let (driver, other) = (FakeDriver::default(), Share::default());
    other.file("keys/authorized_keys", "key");
    driver.add(&other, OLD_DRIVER);
    driver.channel(0, |channel| channel.tag = Some("keys".to_owned()));
    let tagged = |tag: &str| connector(&bench, &driver).with_tag(Some(tag.to_owned()));
    let error = tagged("repo").connect().unwrap_err().to_string();
    assert_eq!(error, "/dev/9p/0 has the share \"keys\", and not \"repo\"");
    driver.add(&bench.share, OLD_DRIVER);
    driver.channel(1, |channel| channel.tag = Some("repo".to_owned()));
    assert_eq!(tagged("repo").connect().unwrap().1, "/dev/9p/1");
    assert_eq!(tagged("keys").connect().unwrap().1, "/dev/9p/0");
    // The guest sees 32 bytes of a tag.
    let long = "a".repeat(40);
    driver.channel(1, |channel| channel.tag = Some("a".repeat(32)));
    assert_eq!(tagged(&long).connect().unwrap().1, "/dev/9p/1");
    // A device that tells none may have it.
    driver.channel(1, |channel| channel.tag = None);
    assert_eq!(tagged("repo").connect().unwrap().1, "/dev/9p/1");
    let _holder = tagged("keys").connect().unwrap();
    driver.channel(1, |channel| channel.tag = Some("other".to_owned()));
    let error = tagged("keys").connect().unwrap_err().to_string();
    assert!(error.contains("/dev/9p/0 is busy") && error.contains("\"other\""), "{error}");
}

#[test]
fn a_share_that_no_device_tells_is_not_guessed() {
    let mut bench = Bench::with_files();
    let (driver, other) = (FakeDriver::default(), Share::default());
    other.file("keys/authorized_keys", "key");
    driver.add(&other, OLD_DRIVER);
    driver.add(&bench.share, OLD_DRIVER);
    let tagged = |bench: &Bench| connector(bench, &driver).with_tag(Some("repo".to_owned()));
    for tag in [None, Some("keys".to_owned())] {
        driver.channel(0, |channel| channel.tag = tag.clone());
        let holder = tag.as_ref().map(|_| driver.open("/dev/9p/0".as_ref(), OPEN_FLAGS).unwrap());
        // The tag of a device in use is unknown, too, as long as it is.
        let busy = if holder.is_some() { ", or are in use" } else { "" };
        assert_eq!(
            tagged(&bench).connect().unwrap_err().to_string(),
            format!(
                "no device tells that it has the share \"repo\"; it may be behind any of /dev/9p/0, /dev/9p/1, which tell no \
                 tag{busy}: name one with --device, or what the share holds with --expect"
            )
        );
        drop(holder);
    }
    // When all were asked, it does not help to wait.
    driver.channel(0, |channel| channel.tag = None);
    let pace = Pace { interval: Duration::ZERO, executables_interval: Duration::ZERO, once: false };
    let outcome = Runner::new(tagged(&bench), bench.mirror(), pace, bench.stop.clone()).run();
    assert_eq!(outcome, Outcome::NoShare);
    // One that tells it goes before one that tells none, wherever it is.
    driver.channel(1, |channel| channel.tag = Some("repo".to_owned()));
    assert_eq!(tagged(&bench).connect().unwrap().1, "/dev/9p/1");
    // What the share holds tells, too.
    driver.channel(1, |channel| channel.tag = None);
    bench.plan.expected = Some(path("docs/guide.md"));
    assert_eq!(tagged(&bench).connect().unwrap().1, "/dev/9p/1");
}

/// A mirror that was killed has left requests. Their answers come to the next one, mixed with its own.
#[test]
fn answers_to_a_killed_predecessor_are_passed_over_in_whatever_order_they_come() {
    for unordered in [false, true] {
        let bench = Bench::with_files();
        let driver = device(&bench, NEW_DRIVER);
        let mut killed = driver.open("/dev/9p/0".as_ref(), OPEN_FLAGS).unwrap();
        let version = [&8192_u32.to_le_bytes(), b"\x08\x009P2000.L".as_slice()].concat();
        killed.write_all(&message(T_VERSION, 0xFFFF, &version)).unwrap();
        for fid in 0..12_u16 {
            let attach =
                [&u32::from(fid).to_le_bytes(), [0xFF; 4].as_slice(), b"\x04\x00root\x00\x00", &[0; 4]].concat();
            killed.write_all(&message(T_ATTACH, fid, &attach)).unwrap();
        }
        drop(killed);
        driver.channel(0, |channel| channel.unordered = unordered);
        // Tags begin at random, so one of the killed mirror's may be met; then the session fails, and the next begins.
        let attempt = |_| {
            let (mut session, _) = connector(&bench, &driver).connect().ok()?;
            let round = round(&mut bench.mirror(), &mut session).ok()?;
            Some((round.problems, session.statistics().foreign_replies))
        };
        let (problems, foreign_replies) = (0..3).find_map(attempt).expect("the session is that of the living one");
        assert!(problems == 0 && foreign_replies > 0, "{problems} {foreign_replies}");
        assert_eq!(bench.files().len(), 4);
    }
}
