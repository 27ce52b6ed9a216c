//! Servers that lie. Whatever they do, nothing outside the destination changes, everything ends, and no memory is
//! taken that was only promised.

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::server::{T_GETATTR, T_LOPEN, T_READ, T_READDIR, T_READLINK, T_VERSION, T_WALK, message};
use common::share::{Content, Sent};
use common::{Bench, PATIENCE, path, round, tree};
use ninep_mirror::mirror::MirrorError;
use ninep_mirror::session::SessionError;
use ninep_mirror::wire;
use proptest::prelude::*;
use test_judge::Random;

/// What is around the destination, which nobody may touch.
fn surroundings(bench: &Bench) -> BTreeMap<String, String> {
    let mut around = tree(bench.directory.path());
    around.retain(|name, _| !name.starts_with("repo/"));
    around
}

fn guarded_bench() -> Bench {
    let bench = Bench::with_files();
    std::fs::create_dir_all(bench.directory.path().join("outside/docs")).unwrap();
    std::fs::write(bench.directory.path().join("outside/README.md"), "precious").unwrap();
    bench
}

#[test]
fn names_that_lead_elsewhere_are_no_names() {
    let mut bench = guarded_bench();
    bench.plan.tracked_only = false;
    for (number, name) in
        ["..", "../outside/README.md", "/etc/x", "a/b", "", "n\0l", ".ninep-mirror"].iter().enumerate()
    {
        let mut host = bench.share.host();
        // The fake server has names with slashes only as directories, so they come by way of the listing.
        let entry = [
            &[0; 13],
            u64::to_le_bytes(900).as_slice(),
            &[0],
            &u16::try_from(name.len()).unwrap().to_le_bytes(),
            name.as_bytes(),
        ]
        .concat();
        let mut sent = false;
        host.mangle = Some(Box::new(move |kind, reply| {
            let is_end = kind == T_READDIR && reply.len() == 11;
            if !is_end || std::mem::replace(&mut sent, true) {
                return Sent::Messages(vec![reply]);
            }
            let body = [&u32::try_from(entry.len()).unwrap().to_le_bytes(), entry.as_slice()].concat();
            Sent::Messages(vec![message(41, u16::from_le_bytes([reply[5], reply[6]]), &body)])
        }));
        drop(host);
        let before = surroundings(&bench);
        let round = bench.round();
        assert_eq!(surroundings(&bench), before, "{name:?}");
        let told = !matches!(*name, ".." | ".ninep-mirror");
        assert_eq!(round.problems > 0, told, "number {number}, {name:?}: {:?}", bench.log.take());
    }
}

#[test]
fn links_that_lead_outside_are_not_made_and_links_inside_are_not_followed() {
    let bench = guarded_bench();
    bench.share.link("up", "../outside");
    bench.share.link("absolute", "/tmp");
    bench.share.link("d/e/root", "../..");
    bench.share.link("detour", "d/e/root/../outside");
    bench.share.link("docs", "d");
    bench.share.track(&["up", "absolute", "d/e/root", "detour", "docs"]);
    let before = surroundings(&bench);
    let round = bench.round();
    assert_eq!(round.problems, 3, "{:?}", bench.log.take());
    let links = bench.files();
    assert_eq!((links["d/e/root"].as_str(), links["docs"].as_str()), ("-> ../..", "-> d"));
    // The link becomes a directory: its files must not be written to where it led.
    bench.share.remove("docs");
    bench.share.file("docs/guide.md", "guide");
    bench.share.track(&["docs/guide.md", "d/e/root"]);
    bench.round();
    assert_eq!(bench.files()["docs/guide.md"], "guide");
    assert!(!bench.files().contains_key("d/guide.md"));
    // The link was changed here to lead outside.
    std::fs::remove_dir_all(bench.destination().join("docs")).unwrap();
    std::os::unix::fs::symlink("../outside", bench.destination().join("docs")).unwrap();
    bench.share.file("docs/README.md", "overwritten?");
    bench.share.track(&["docs/README.md", "d/e/root"]);
    bench.round();
    assert_eq!(surroundings(&bench), before);
}

#[test]
fn nothing_is_removed_through_a_link() {
    let bench = guarded_bench();
    bench.share.file("docs/README.md", "copied");
    bench.share.track(&["docs/README.md"]);
    bench.round();
    // Somebody puts a link in the place of the directory, and then the file vanishes from the share.
    std::fs::remove_dir_all(bench.destination().join("docs")).unwrap();
    std::os::unix::fs::symlink("../outside", bench.destination().join("docs")).unwrap();
    let before = surroundings(&bench);
    bench.share.track(&["README.md"]);
    bench.round();
    assert_eq!(surroundings(&bench), before);
    assert_eq!(before["outside/README.md"], "precious");
}

#[test]
fn endless_directories_end() {
    let mut bench = guarded_bench();
    bench.plan.tracked_only = false;
    bench.plan.limits.entries = 300;
    // Every listing goes on for ever, with new names or always the same.
    for same in [false, true] {
        let mut count = 0_u64;
        bench.share.host().mangle = Some(Box::new(move |kind, reply| {
            if kind != T_READDIR {
                return Sent::Messages(vec![reply]);
            }
            count += 1;
            let name = if same { "..".to_owned() } else { format!("n{count}") };
            let entry = [
                &[0; 13],
                count.to_le_bytes().as_slice(),
                &[0],
                &u16::try_from(name.len()).unwrap().to_le_bytes(),
                name.as_bytes(),
            ]
            .concat();
            let body = [&u32::try_from(entry.len()).unwrap().to_le_bytes(), entry.as_slice()].concat();
            Sent::Messages(vec![message(41, u16::from_le_bytes([reply[5], reply[6]]), &body)])
        }));
        let begin = Instant::now();
        let outcome = round(&mut bench.mirror(), &mut bench.session());
        assert!(outcome.is_err() || outcome.unwrap().problems > 0);
        assert!(begin.elapsed() < PATIENCE);
    }
}

#[test]
fn directories_that_contain_themselves_end() {
    let mut bench = guarded_bench();
    bench.plan.tracked_only = false;
    // Whatever is asked for, there is a directory of this name in it.
    bench.share.host().before = Some(Box::new(|host, kind, path| {
        if kind == T_WALK && path.ends_with("loop") {
            host.put(&format!("{path}/loop"), Content::Directory, 0o755);
            host.put(&format!("{path}/file"), Content::File(b"x".to_vec()), 0o644);
        }
    }));
    bench.share.host().put("loop", Content::Directory, 0o755);
    let round = bench.round();
    assert!(round.problems > 0 && round.files < 60, "{round:?}");
}

#[test]
fn sizes_are_believed_up_to_a_limit_and_checked_against_what_comes() {
    let mut bench = guarded_bench();
    bench.plan.limits.file_bytes = 1000;
    bench.plan.limits.total_bytes = 1500;
    bench.plan.limits.patience = Duration::from_millis(200);
    for (size, problem) in [
        (u64::MAX, "problem README.md: it has 18446744073709551615 bytes, more than 1000"),
        (1001, "problem README.md: it has 1001 bytes, more than 1000"),
        // Less comes than was said.
        (900, "problem README.md: it keeps changing"),
    ] {
        bench.share.host().nodes.get_mut("README.md").unwrap().said_size = Some(size);
        assert_eq!(bench.round().problems, 1);
        assert!(bench.log.take().contains(&problem.to_owned()), "{size}");
        assert!(!bench.files().contains_key("README.md"));
    }
    bench.share.file("README.md", &"x".repeat(900));
    bench.share.file("docs/guide.md", &"x".repeat(900));
    assert_eq!(bench.round().problems, 1, "together they are too large");
}

#[test]
fn more_data_than_asked_for_ends_the_session() {
    let bench = guarded_bench();
    bench.share.host().mangle = Some(Box::new(|kind, reply| {
        if kind != T_READ {
            return Sent::Messages(vec![reply]);
        }
        let body = [&5000_u32.to_le_bytes(), [b'x'; 5000].as_slice()].concat();
        Sent::Messages(vec![message(117, u16::from_le_bytes([reply[5], reply[6]]), &body)])
    }));
    let error = round(&mut bench.mirror(), &mut bench.session()).unwrap_err();
    assert!(matches!(error, MirrorError::Session(SessionError::Protocol { operation: "read", .. })), "{error:?}");
}

#[test]
fn silence_and_floods_end_at_the_deadline() {
    type Mangle = fn(u8, Vec<u8>) -> Sent;
    let silence: Mangle = |kind, reply| Sent::Messages(if kind == T_GETATTR { Vec::new() } else { vec![reply] });
    let flood: Mangle = |kind, mut reply| {
        if kind == T_GETATTR {
            reply[5] ^= 1;
            return Sent::Messages(vec![reply; 1000]);
        }
        Sent::Messages(vec![reply])
    };
    for mangle in [silence, flood] {
        let bench = guarded_bench();
        let mut options = common::session_options(&bench.stop);
        options.request_timeout = Duration::from_millis(400);
        let stream = ninep_mirror::transport::Stream::new(common::server::connect(&bench.share));
        let mut session = ninep_mirror::session::Session::open(Box::new(stream), &options).unwrap();
        bench.share.host().mangle = Some(Box::new(mangle));
        let begin = Instant::now();
        round(&mut bench.mirror(), &mut session).unwrap_err();
        assert!(begin.elapsed() < PATIENCE);
    }
}

#[test]
fn a_server_that_drips_is_left() {
    let mut bench = guarded_bench();
    bench.plan.limits.pass_time = Duration::from_millis(300);
    bench.share.host().mangle = Some(Box::new(|_, reply| {
        std::thread::sleep(Duration::from_millis(60));
        Sent::Messages(vec![reply])
    }));
    let error = round(&mut bench.mirror(), &mut bench.session()).unwrap_err();
    assert!(matches!(error, MirrorError::TooSlow { .. }), "{error}");
}

#[test]
fn a_server_of_another_dialect_is_refused() {
    type Answer = (u8, &'static [u8]);
    let answers: [(Answer, &str); 4] = [
        ((101, b"\0\x20\0\0\x07\0unknown"), "\"unknown\""),
        ((101, b"\0\x20\0\0\x08\x009P2000.u"), "\"9P2000.u\""),
        ((7, b"\x16\0\0\0"), "error 22"),
        ((107, b"\x02\0no"), "\"no\""),
    ];
    for ((kind, body), expected) in answers {
        let bench = guarded_bench();
        bench.share.host().mangle = Some(Box::new(move |request, reply| {
            Sent::Messages(vec![if request == T_VERSION { message(kind, 0xFFFF, body) } else { reply }])
        }));
        let error = bench.try_session().unwrap_err();
        assert!(matches!(&error, SessionError::Version { answer } if answer.contains(expected)), "{error:?}");
    }
    for msize in [0, 1, 1023_u32] {
        let bench = guarded_bench();
        bench.share.host().quirks.msize = 0;
        bench.share.host().mangle = Some(Box::new(move |request, mut reply| {
            if request == T_VERSION {
                reply[7..11].copy_from_slice(&msize.to_le_bytes());
            }
            Sent::Messages(vec![reply])
        }));
        assert!(matches!(bench.try_session(), Err(SessionError::SmallMessages { .. })));
    }
}

/// Damages a reply: mostly its body, so that it is looked at, sometimes what frames it.
fn corrupt(random: &mut Random, reply: &mut Vec<u8>) {
    if random.below(8) == 0 {
        return random.damage(reply);
    }
    let mut body = reply.split_off(7);
    random.damage(&mut body);
    reply.append(&mut body);
    let size = u32::try_from(reply.len()).unwrap();
    reply[..4].copy_from_slice(&size.to_le_bytes());
}

#[test]
fn fuzz_replies_never_reach_outside_and_everything_ends() {
    let mut refused = 0;
    test_judge::fuzz(60, |random| {
        let mut bench = guarded_bench();
        bench.plan.tracked_only = random.below(2) == 0;
        bench.plan.limits.patience = Duration::from_millis(30);
        bench.plan.limits.settle = Duration::from_millis(2);
        let before = surroundings(&bench);
        let mut options = common::session_options(&bench.stop);
        // A reply that was cut is waited for in vain.
        options.request_timeout = Duration::from_millis(200);
        let stream = ninep_mirror::transport::Stream::new(common::server::connect(&bench.share));
        // On a loaded machine the honest beginning can take that long, too.
        let Ok(mut session) = ninep_mirror::session::Session::open(Box::new(stream), &options) else { return };
        let (one_in, mut random) = (2 + random.below(40), random.clone());
        bench.share.host().mangle = Some(Box::new(move |_, mut reply| {
            if random.below(one_in) == 0 {
                corrupt(&mut random, &mut reply);
            }
            Sent::Messages(vec![reply])
        }));
        let begin = Instant::now();
        let mut mirror = bench.mirror();
        for _ in 0..3 {
            refused += usize::from(round(&mut mirror, &mut session).is_err());
        }
        assert!(begin.elapsed() < PATIENCE);
        assert_eq!(surroundings(&bench), before);
        for (name, text) in bench.files() {
            let inside = text.strip_prefix("-> ").is_none_or(|target| path(&name).link_stays_inside(target.as_bytes()));
            assert!(inside, "{name} {text}");
        }
    });
    assert!(refused > 0, "the corruption was noticed");
}

#[test]
fn fuzz_indexes_choose_nothing_outside() {
    test_judge::fuzz(100, |random| {
        let bench = guarded_bench();
        let names =
            ["..", ".git", ".", "", "a", "docs", "README.md", "outside", "\n", "\u{1b}[2J", ".ninep-mirror", "x\0y"];
        let mut index = Vec::new();
        for _ in 0..random.below(12) {
            let parts: Vec<_> = (0..=random.below(4)).map(|_| names[random.below(names.len())]).collect();
            index.push(parts.join("/"));
        }
        let paths: Vec<_> = index.iter().map(String::as_str).collect();
        bench.share.track(&paths);
        // A server that says to everything that it is a file.
        for name in index.iter().filter(|name| !name.is_empty()) {
            bench.share.host().nodes.entry(name.clone()).or_insert_with(|| {
                let (time, content) = ((1, 1), Content::File(b"x".to_vec()));
                common::share::Node { content, mode: 0o644, mtime: time, ctime: time, number: 1, said_size: None }
            });
        }
        let before = surroundings(&bench);
        // Any outcome will do but reaching outside.
        drop(round(&mut bench.mirror(), &mut bench.session()));
        assert_eq!(surroundings(&bench), before, "{index:?}");
        let own: Vec<_> = tree(&bench.destination().join(".ninep-mirror")).into_keys().collect();
        assert!(own.iter().all(|name| ["lock", "stamp", "state"].contains(&name.as_str())), "{own:?}");
        assert!(!bench.files().keys().any(|name| name.starts_with(".git")));
    });
}

#[test]
fn fuzz_messages_decode_to_a_message_or_an_error() {
    test_judge::fuzz(20_000, |random| {
        let mut bytes: Vec<_> = (0..random.below(300)).map(|_| random.next_u64().to_le_bytes()[0]).collect();
        if bytes.len() >= 7 {
            let size = u32::try_from(bytes.len()).unwrap();
            bytes[..4].copy_from_slice(&size.to_le_bytes());
            bytes[4] = [T_LOPEN, T_READLINK, T_GETATTR, T_READDIR, T_WALK, T_READ][random.below(6)] + 1;
        }
        if matches!(bytes.get(4), Some(41 | 117)) && bytes.len() >= 11 && random.below(4) > 0 {
            let count = u32::try_from(bytes.len() - 11).unwrap();
            bytes[7..11].copy_from_slice(&count.to_le_bytes());
        }
        if let Ok((_, wire::Reply::ReadDir(entries))) = wire::decode(&bytes) {
            let length: usize = entries.flatten().map(|entry| entry.name.len() + 24).sum();
            assert!(length <= bytes.len());
        }
    });
}

#[test]
fn fuzz_git_indexes_are_read_or_refused() {
    let bench = guarded_bench();
    let Content::File(whole) = bench.share.host().nodes[".git/index"].content.clone() else { unreachable!() };
    test_judge::fuzz(20_000, |random| {
        let mut bytes = whole.clone();
        bytes[7] = 2 + random.next_u64().to_le_bytes()[0] % 3;
        random.damage(&mut bytes);
        for hash_bytes in [20, 32] {
            let Ok(tracked) = ninep_mirror::selection::read_index(&mut bytes.as_slice(), hash_bytes, 1000) else {
                continue;
            };
            let escapes = |name: &[u8]| matches!(name, b"" | b"." | b"..") || name.contains(&0);
            assert!(!tracked.paths.iter().any(|path| path.names().any(escapes)));
        }
    });
}

proptest! {
    #[test]
    fn requests_say_their_own_size(names in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..16), tag: u16) {
        let names: Vec<_> = names.iter().map(Vec::as_slice).collect();
        let mut bytes = Vec::new();
        wire::Request::Walk { fid: 1, new_fid: 2, names: &names }.encode(tag, &mut bytes).unwrap();
        prop_assert_eq!(u32::from_le_bytes(*bytes.first_chunk().unwrap()) as usize, bytes.len());
        let names_bytes: usize = names.iter().map(|name| name.len() + 2).sum();
        prop_assert_eq!(bytes.len(), 17 + names_bytes);
    }
}
