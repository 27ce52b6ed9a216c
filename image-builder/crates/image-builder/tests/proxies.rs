//! Depots behind proxies.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use ips::time::OperationTime;
use ips_client::repository::publish::Publication;
use ips_testing::{Depot, Fault, PublishLines};
use process_runner::{Command, Detached, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_image-builder");

fn publish(root: &Path) {
    let mut publication = Publication::new(root);
    publication.lines("pkg://p/web/server@1,5.11-1:20240101T000000Z", "set name=pkg.summary value=Serves");
    publication.finish(OperationTime::from_unix_seconds(1)).unwrap();
}

/// Lists what a depot has, with these variables and no others that concern proxies.
fn list(depot: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(PROGRAM).args(["ips", "list", depot]);
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command = command.env_remove(name).env_remove(name.to_ascii_uppercase());
    }
    variables.iter().fold(command, |command, (name, value)| command.env(name, value)).run_any().unwrap()
}

fn told(output: &Output) -> String {
    output.stderr_text().replace("\n  │ ", " ")
}

/// The depot plays the proxy: it answers for a server that nobody else knows.
#[test]
fn depots_are_reached_through_the_proxy_of_the_environment() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("repository");
    publish(&root);
    let proxy = Depot::serve(&root);
    let through =
        list("http://depot.invalid/", &[("http_proxy", &proxy.uri()), ("https_proxy", "http://other.invalid")]);
    assert!(through.stdout_text().contains("web/server"), "{}", through.stderr_text());
    let asked = proxy.requests();
    assert!(asked.contains(&"http://depot.invalid/versions/0".to_owned()), "{asked:?}");
    assert!(!asked.iter().any(|path| path.starts_with("CONNECT")), "{asked:?}");
    proxy.forget();
    let beside = list("http://depot.invalid/", &[("http_proxy", &proxy.uri()), ("no_proxy", "invalid")]);
    assert!(!beside.success() && proxy.requests().is_empty(), "{:?}", proxy.requests());
}

/// What a proxy refuses it is asked for once; what it cannot reach may come back.
#[test]
fn a_proxy_that_refuses_is_not_asked_again() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("repository");
    publish(&root);
    for (scheme, begin, status, times, expected) in [
        ("http", "http://", 403, usize::MAX, "403 (access is denied)"),
        ("http", "http://", 503, 1, ""),
        ("http", "http://", 407, usize::MAX, "407 (the proxy wants to know who asks: its address is"),
        ("https", "CONNECT ", 407, usize::MAX, "(the proxy wants to know who asks: its address is"),
        (
            "https",
            "CONNECT ",
            403,
            usize::MAX,
            "the proxy has to allow CONNECT to the port of the depot, or `no_proxy`",
        ),
    ] {
        let is_refused = move |path: &str, count| path.starts_with(begin) && count < times;
        let proxy =
            Depot::serve_with(&root, move |path, count| is_refused(path, count).then_some(Fault::Status(status)));
        let listed = list(&format!("{scheme}://depot.invalid/"), &[(&format!("{scheme}_proxy"), &proxy.uri())]);
        assert!(told(&listed).contains(expected), "{scheme} {status}: {}", told(&listed));
        assert_eq!(listed.success(), status == 503, "{scheme} {status}: {}", told(&listed));
        let asked = proxy.requests().iter().filter(|path| path.starts_with(begin)).count();
        assert!(if status == 503 { asked > 1 } else { asked == 1 }, "{scheme} {status}: {:?}", proxy.requests());
    }
}

#[test]
fn what_is_no_proxy_is_said() {
    let listed = list("http://depot.invalid/", &[("ALL_PROXY", "quic://me:secret@proxy.invalid")]);
    assert!(told(&listed).contains("ALL_PROXY names no proxy that can be used"), "{}", told(&listed));
    assert!(told(&listed).contains("socks5h://HOST:PORT"), "{}", told(&listed));
    assert!(!told(&listed).contains("secret"));
}

/// The depot plays the SOCKS proxy, and the server behind it.
#[test]
fn depots_are_reached_through_a_socks_proxy() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("repository");
    publish(&root);
    let proxy = Depot::serve(&root);
    let place = proxy.uri().trim_start_matches("http://").trim_end_matches('/').to_owned();
    for (address, expected) in [
        (format!("socks5h://{place}"), "SOCKS depot.invalid:80"),
        (format!("socks5h://me:secret@{place}"), "SOCKS me:secret@depot.invalid:80"),
    ] {
        proxy.forget();
        let through = list("http://depot.invalid/", &[("ALL_PROXY", &address)]);
        assert!(through.stdout_text().contains("web/server"), "{}", told(&through));
        assert!(proxy.requests().contains(&expected.to_owned()), "{:?}", proxy.requests());
    }
    proxy.forget();
    let beside =
        list("http://depot.invalid/", &[("ALL_PROXY", &format!("socks5h://{place}")), ("no_proxy", "invalid")]);
    assert!(!beside.success() && proxy.requests().is_empty(), "{:?}", proxy.requests());
}

#[test]
fn a_socks_proxy_that_is_not_there_is_said() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("socks5h://me:secret@127.0.0.1:{port}");
    let listed = list("http://depot.invalid/", &[("all_proxy", &address)]);
    assert!(told(&listed).contains(&format!("the SOCKS proxy 127.0.0.1:{port}: ")), "{}", told(&listed));
    assert!(!listed.success() && !told(&listed).contains("secret"), "{}", told(&listed));
}

struct RealProxy {
    server: Detached,
    /// Address and port.
    place: String,
}

impl Drop for RealProxy {
    fn drop(&mut self) {
        self.server.kill();
    }
}

impl RealProxy {
    fn tinyproxy(program: &Path, scratch: &Path) -> Self {
        Self::start(scratch, |port| {
            let config = scratch.join("tinyproxy.conf");
            let text = "Listen 127.0.0.1\nTimeout 60\nMaxClients 20\nBasicAuth me secret\nConnectPort 443\n";
            std::fs::write(&config, format!("Port {port}\n{text}")).unwrap();
            Command::new(program).arg("-d").arg("-c").arg(&config)
        })
    }

    fn microsocks(program: &Path, scratch: &Path) -> Self {
        let address = ["-i", "127.0.0.1", "-u", "me", "-P", "secret", "-p"];
        Self::start(scratch, |port| Command::new(program).args(address).arg(port.to_string()))
    }

    fn start(scratch: &Path, command: impl Fn(u16) -> Command) -> Self {
        // Nobody else may have the port between asking for one and taking it, so it is tried until one is taken.
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let log = File::create(scratch.join("proxy.log")).unwrap();
            let mut server = command(port).spawn_detached(&log).unwrap();
            while server.try_wait().unwrap().is_none() {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Self { server, place: format!("127.0.0.1:{port}") };
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        panic!("{}", std::fs::read_to_string(scratch.join("proxy.log")).unwrap());
    }
}

/// A proxy as it is found in offices: CONNECT to 443 alone, and not for everybody.
#[test]
fn a_proxy_that_allows_connections_to_tls_only_fetches_the_rest_itself() {
    let Some(program) = test_judge::find("tinyproxy", "tinyproxy-bin") else { return };
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("repository");
    publish(&root);
    let depot = Depot::serve(&root);
    let proxy = RealProxy::tinyproxy(&program, scratch.path());
    let through = list(&depot.uri(), &[("http_proxy", &format!("http://me:secret@{}", proxy.place))]);
    assert!(through.stdout_text().contains("web/server"), "{}", told(&through));
    let asked = depot.requests().len();
    assert!(asked > 0);
    let stranger = list(&depot.uri(), &[("http_proxy", &format!("http://{}", proxy.place))]);
    assert!(told(&stranger).contains("407 (the proxy wants to know who asks"), "{}", told(&stranger));
    assert_eq!(depot.requests().len(), asked);
}

#[test]
fn a_socks_proxy_that_wants_to_know_who_asks_is_told() {
    let Some(program) = test_judge::find("microsocks", "microsocks") else { return };
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("repository");
    publish(&root);
    let depot = Depot::serve(&root);
    let proxy = RealProxy::microsocks(&program, scratch.path());
    for scheme in ["socks5", "socks5h"] {
        let through = list(&depot.uri(), &[("all_proxy", &format!("{scheme}://me:secret@{}", proxy.place))]);
        assert!(through.stdout_text().contains("web/server"), "{scheme}: {}", told(&through));
    }
    let asked = depot.requests().len();
    assert!(asked > 0);
    for (who, expected) in [("", "it wants to know who asks"), ("me:wrong@", "the SOCKS proxy")] {
        let stranger = list(&depot.uri(), &[("all_proxy", &format!("socks5h://{who}{}", proxy.place))]);
        assert!(told(&stranger).contains(expected), "{}", told(&stranger));
    }
    assert_eq!(depot.requests().len(), asked);
}
