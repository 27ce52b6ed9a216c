//! `image-builder ips`: what it tells of repositories and of archives.

use ips::time::OperationTime;
use ips_client::repository::publish::Publication;
use ips_testing::{Depot, PublishLines};
use process_runner::{Command, Detached, Output};
use std::path::Path;

const PROGRAM: &str = env!("CARGO_BIN_EXE_image-builder");

fn publish(root: &Path) {
    let mut publication = Publication::new(root);
    for number in 1..=2 {
        publication.lines(
            &format!("pkg://p/web/server@{number},5.11-1:2024010{number}T000000Z"),
            &format!(
                "set name=pkg.summary value=\"Serves pages\"
                set name=pkg.description value=\"Of every kind\"
                depend type=require fmri=system/base
                dir path=opt mode=0755 owner=root group=sys
                file path=opt/server mode=0555 owner=root group=sys <- version {number}
                hardlink path=opt/again target=server
                link path=opt/link target=server
                license license=\"Do as you like\" <- any way"
            ),
        );
    }
    publication.lines(
        "pkg://p/system/base@1,5.11-1:20240101T000000Z",
        "set name=pkg.summary value=\"The base\"
        group groupname=root gid=0
        group groupname=sys gid=3
        user username=root uid=0 group=root
        file path=etc/passwd mode=0644 owner=root group=sys preserve=true <- root:x:0:0::/root:/bin/sh
        file path=etc/shadow mode=0400 owner=root group=sys preserve=true <- root:NP:1::::::
        file path=etc/group mode=0644 owner=root group=sys preserve=true <- root::0:",
    );
    publication.lines("pkg://p/old@1,5.11-1:20240101T000000Z", "set name=pkg.obsolete value=true");
    publication.finish(OperationTime::from_unix_seconds(1)).unwrap();
}

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).arg("ips").args(arguments).run_any().unwrap()
}

fn said(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.success(), "{arguments:?}: {}", output.stderr_text());
    output.stdout_text()
}

#[test]
fn a_repository_and_an_archive_tell_of_their_packages() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("repository");
    publish(&root);
    let depot = Depot::serve(&root);
    let place = root.display().to_string();
    for source in [&place, &depot.uri()] {
        assert_eq!(
            said(&["list", source]),
            "old (p)          1-1                      -o-\n\
             system/base (p)  1-1                      ---\n\
             web/server (p)   2-1                      ---\n"
        );
        assert_eq!(said(&["list", "--all", source, "server"]).lines().count(), 2);
        let info = said(&["info", source, "server@1"]);
        for line in [
            "Name: web/server",
            "Summary: Serves pages",
            "Description: Of every kind",
            "Version: 1-1",
            "Size: 16 bytes",
        ] {
            assert!(info.contains(line), "{info}");
        }
        assert_eq!(said(&["contents", source, "server"]), "opt\nopt/again\nopt/link\nopt/server\n");
        assert!(
            said(&["contents", "-m", source, "server"]).starts_with("set name=pkg.fmri value=pkg://p/web/server@2")
        );
        assert_eq!(said(&["search", source, "PAGES"]).split_whitespace().next(), Some("summary"));
        assert!(said(&["search", source, "server"]).starts_with("name"));
        assert_eq!(said(&["verify", source]), "4 packages, 0 problems\n");
    }
    let json = |arguments: &[&str]| serde_json::from_str::<serde_json::Value>(&said(arguments)).unwrap();
    assert_eq!(json(&["list", "--json", &place, "base"])[0]["fmri"], "pkg://p/system/base@1,5.11-1:20240101T000000Z");
    let info = json(&["info", "--json", &place, "server"]);
    assert_eq!((info[0]["size_bytes"].as_u64(), info[0]["description"].as_str()), (Some(16), Some("Of every kind")));
    let contents = json(&["contents", "--json", &place, "server"]);
    assert_eq!((contents[0]["path"].as_str(), contents[0]["kind"].as_str()), (Some("opt"), Some("dir")));
    assert_eq!(json(&["search", "--json", &place, "pages"])[0]["in"], "summary");
    assert_eq!(json(&["verify", "--json", &place]), serde_json::json!({ "packages": 4, "problems": [] }));

    // The archive that a template makes of it.
    std::fs::create_dir_all(scratch.path().join("templates/g/files")).unwrap();
    let template = format!(
        r#"{{ "dataset": {{ "name": "d" }}, "steps": [
            {{ "t": "pkg_image_create", "publisher": "p", "uri": "{}" }},
            {{ "t": "pkg_install", "pkgs": [ "server" ] }},
            {{ "t": "ensure_perms", "path": "/opt", "owner": "root", "group": "sys", "mode": "700" }},
            {{ "t": "ensure_perms", "path": "/opt/server", "owner": "root", "group": "root", "mode": "555" }},
            {{ "t": "pack_tar", "name": "root.tar.gz" }} ] }}"#,
        depot.uri()
    );
    std::fs::write(scratch.path().join("templates/g/image.json"), template).unwrap();
    let (work, templates) = (scratch.path().join("work"), scratch.path().join("templates"));
    let arguments =
        ["build", "-d", work.to_str().unwrap(), "-T", templates.to_str().unwrap(), "-g", "g", "-n", "image"];
    let built = Command::new(PROGRAM).args(arguments).run().unwrap();
    assert!(built.stderr_text().contains("fetching 5 files of 2 packages of p"), "{}", built.stderr_text());
    let archive = work.join("output/root.tar.gz").display().to_string();
    assert_eq!(
        said(&["list", &archive]),
        "system/base (p)  1-1                      i--\n\
         web/server (p)   2-1                      i--\n"
    );
    assert!(said(&["search", &archive, "opt/serv"]).starts_with("path"));
    let verified = run(&["verify", &archive]);
    assert_eq!(
        verified.stdout_text(),
        "web/server@2-1: /opt: its mode is 0700, and not 0755\n\
         web/server@2-1: /opt/server: its group is 0, and not sys (3)\n2 packages, 2 problems\n"
    );
    assert_eq!(verified.code, Some(4));

    // The same file system as a directory, which belongs to whoever unpacked it.
    let directory = scratch.path().join("root");
    std::fs::create_dir(&directory).unwrap();
    let unpacked = directory.display().to_string();
    Command::new("tar").args(["-xzf", &archive, "-C", &unpacked]).run().unwrap();
    assert_eq!(said(&["list", &unpacked]), said(&["list", &archive]));
    assert_eq!(said(&["contents", &unpacked, "server"]), "opt\nopt/again\nopt/link\nopt/server\n");
    std::fs::remove_file(directory.join("opt/server")).unwrap();
    std::fs::write(directory.join("opt/server"), "version 7").unwrap();
    std::fs::remove_file(directory.join("opt/link")).unwrap();
    std::fs::remove_dir_all(directory.join("var/pkg/license/web%2Fserver")).unwrap();
    let verified = run(&["verify", &unpacked]).stdout_text();
    for problem in [
        "/opt/server: its content has the hash",
        "/opt/link: ",
        "/opt/again: it is not the same file as /opt/server",
        "/var/pkg/license/web%2Fserver/license.Do%20as%20you%20like: it is not there",
    ] {
        assert!(verified.contains(problem), "{verified}");
    }

    // And in the pool of a disk image.
    let template = r#"{ "pool": { "name": "p", "size": 128, "bename": "be" }, "steps": [
        { "t": "create_be" }, { "t": "unpack_tar", "name": "root.tar.gz" } ] }"#;
    std::fs::write(scratch.path().join("templates/g/disk.json"), template).unwrap();
    let arguments = ["build", "-d", work.to_str().unwrap(), "-T", templates.to_str().unwrap(), "-g", "g", "-n", "disk"];
    Command::new(PROGRAM).args(arguments).run().unwrap();
    let disk = work.join("output/g-disk.raw").display().to_string();
    let inside = format!("{disk}:p/ROOT/be");
    for verb in ["list", "verify"] {
        assert_eq!(run(&[verb, &inside]).stdout_text(), run(&[verb, &archive]).stdout_text(), "{verb}");
    }
    assert_eq!(said(&["contents", "-m", &inside, "server"]), said(&["contents", "-m", &archive, "server"]));
    let pool = run(&["list", &disk]);
    assert!(!pool.success() && pool.stderr_text().contains("has no package image"), "{}", pool.stderr_text());
    let nothing = run(&["list", &format!("{disk}:p/ROOT/other")]);
    assert!(nothing.stderr_text().contains("cannot read the file system in"), "{}", nothing.stderr_text());
}

/// What publishers say of their packages moves no cursor and rings no bell.
#[test]
fn texts_of_packages_do_nothing_to_a_terminal() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("repository");
    let mut publication = Publication::new(&root);
    publication.lines(
        "pkg://p/a@1,5.11:20240101T000000Z",
        "set name=pkg.summary value=\"nice\u{1b}[2J\"
        dir path=\"etc/\u{7}x\" mode=0755 owner=root group=sys",
    );
    publication.finish(OperationTime::from_unix_seconds(1)).unwrap();
    let place = root.display().to_string();
    for arguments in
        [&["list", &place][..], &["info", &place, "a"], &["contents", &place, "a"], &["search", &place, "nice"]]
    {
        let text = said(arguments);
        assert!(!text.chars().any(|character| character.is_control() && character != '\n'), "{text:?}");
    }
    assert!(said(&["info", &place, "a"]).contains("nice\\u{1b}[2J"));
}

#[test]
fn what_is_damaged_or_not_there_is_said() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("repository");
    publish(&root);
    let place = root.display().to_string();
    let no_match = run(&["info", &place, "nothing"]);
    assert!(!no_match.success() && no_match.stderr_text().contains("no package matches `nothing`"));
    let nowhere = run(&["list", "/nowhere"]);
    assert!(nowhere.stderr_text().contains("there is no repository here"), "{}", nowhere.stderr_text());
    let text = scratch.path().join("text");
    std::fs::write(&text, "no archive").unwrap();
    let no_archive = run(&["list", text.to_str().unwrap()]);
    assert!(no_archive.stderr_text().contains("neither a repository nor"), "{}", no_archive.stderr_text());
    for shard in std::fs::read_dir(root.join("publisher/p/file")).unwrap().flatten() {
        for file in std::fs::read_dir(shard.path()).unwrap().flatten() {
            std::fs::write(file.path(), "damaged").unwrap();
        }
    }
    let verified = run(&["verify", &place]);
    assert_eq!(verified.code, Some(4), "{}", verified.stderr_text());
    assert!(verified.stdout_text().ends_with("4 packages, 6 problems\n"), "{}", verified.stdout_text());
}

/// A depot behind the TLS server of OpenSSL, which has files only: those that are asked for lie under their paths.
struct TlsDepot {
    server: Detached,
    uri: String,
}

impl Drop for TlsDepot {
    fn drop(&mut self) {
        self.server.kill();
    }
}

/// Writes a file with the directories above it.
fn put_below(directory: &Path, path: &str, bytes: &[u8]) {
    let path = directory.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

impl TlsDepot {
    fn serve(scratch: &Path, more: &[&str]) -> Self {
        let (repository, files) = (scratch.join("repository/publisher/p"), scratch.join("files"));
        let put = |path: &str, bytes: &[u8]| put_below(&files, path, bytes);
        put("versions/0", b"pkg-server test\npublisher 0 1\n");
        put("publisher/0", br#"{"publishers":[{"name":"p"}],"version":1}"#);
        for part in std::fs::read_dir(repository.join("catalog")).unwrap().flatten() {
            let name = part.file_name().into_string().unwrap();
            put(&format!("p/catalog/1/{name}"), &std::fs::read(part.path()).unwrap());
        }
        Self::start(scratch, &files, "-WWW", more)
    }

    /// Serves files, as they are (`-WWW`) or as whole answers with their headers (`-HTTP`).
    fn start(scratch: &Path, files: &Path, kind: &str, more: &[&str]) -> Self {
        // Nobody else may have the port between asking for one and taking it, so it is tried until one is taken.
        for _ in 0..20 {
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let log = std::fs::File::create(scratch.join("server.log")).unwrap();
            let path = |name: &str| scratch.join(name).display().to_string();
            let accept = format!("127.0.0.1:{port}");
            let arguments = ["s_server", "-quiet", kind, "-accept", &accept];
            let keys = ["-cert".to_owned(), path("server.pem"), "-key".to_owned(), path("server.key")];
            let command = Command::new("openssl").args(arguments).args(keys).args(more).current_dir(files);
            let mut server = command.spawn_detached(&log).unwrap();
            let is_ready = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
            while server.try_wait().unwrap().is_none() {
                if is_ready() {
                    return Self { server, uri: format!("https://localhost:{port}/") };
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
        panic!("{}", std::fs::read_to_string(scratch.join("server.log")).unwrap());
    }
}

fn openssl(arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).run_any().unwrap();
    assert!(output.success(), "{}", output.stderr_text());
}

/// An authority, and a key with a certificate of it for each name.
fn certificates(scratch: &Path, names: &[&str]) {
    let path = |name: String| scratch.join(name).display().to_string();
    let ca = "basicConstraints=critical,CA:TRUE\n";
    let leaf = "basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost\n";
    std::fs::write(scratch.join("ca.ext"), ca).unwrap();
    std::fs::write(scratch.join("leaf.ext"), leaf).unwrap();
    for name in ["ca"].iter().chain(names) {
        let (key, request, pem) =
            (path(format!("{name}.key")), path(format!("{name}.csr")), path(format!("{name}.pem")));
        let subject = format!("/CN={name}");
        openssl(&["req", "-newkey", "rsa:2048", "-nodes", "-keyout", &key, "-out", &request, "-subj", &subject]);
        let kind = if *name == "ca" { "ca.ext" } else { "leaf.ext" };
        let extensions = path(kind.to_owned());
        let mut arguments = vec!["x509", "-req", "-days", "30", "-in", &request, "-extfile", &extensions, "-out", &pem];
        let (issuer, issuer_key) = (path("ca.pem".to_owned()), path("ca.key".to_owned()));
        if *name == "ca" {
            arguments.extend(["-signkey", &key]);
        } else {
            arguments.extend(["-CA", &issuer, "-CAkey", &issuer_key, "-CAcreateserial"]);
        }
        openssl(&arguments);
    }
}

#[test]
fn depots_are_asked_over_tls_and_shown_a_key() {
    if test_judge::find("openssl", "openssl").is_none() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    publish(&scratch.path().join("repository"));
    certificates(scratch.path(), &["server", "client"]);
    let path = |name: &str| scratch.path().join(name).display().to_string();
    let ask = |anchors: &str, arguments: &[&str]| {
        let command = Command::new(PROGRAM).args(["ips", "list"]).args(arguments);
        command.env("SSL_CERT_FILE", anchors).env_remove("SSL_CERT_DIR").run_any().unwrap()
    };
    let depot = TlsDepot::serve(scratch.path(), &[]);
    let trusted = ask(&path("ca.pem"), &[&depot.uri]);
    assert!(trusted.stdout_text().contains("web/server (p)"), "{}", trusted.stderr_text());
    let untrusted = ask(&path("client.pem"), &[&depot.uri]);
    assert!(!untrusted.success() && untrusted.stderr_text().contains("certificate"), "{}", untrusted.stderr_text());

    // A server that lets nobody in without a certificate.
    let depot = TlsDepot::serve(scratch.path(), &["-Verify", "1", "-verify_return_error", "-CAfile", &path("ca.pem")]);
    let key = format!("https://localhost,{},{}", path("client.key"), path("client.pem"));
    let known = ask(&path("ca.pem"), &["--client-key", &key, &depot.uri]);
    assert!(known.stdout_text().contains("web/server (p)"), "{}", known.stderr_text());
    let elsewhere = key.replace("https://localhost", "https://elsewhere");
    assert!(!ask(&path("ca.pem"), &["--client-key", &elsewhere, &depot.uri]).success());
    // A server that leads to where anybody could answer.
    let unprotected = ips_testing::Depot::serve(&scratch.path().join("repository"));
    let redirect = format!("HTTP/1.0 302 Found\r\nLocation: {}publisher/0\r\n\r\n", unprotected.uri());
    let files = scratch.path().join("redirects");
    put_below(&files, "publisher/0", redirect.as_bytes());
    let depot = TlsDepot::start(scratch.path(), &files, "-HTTP", &[]);
    let led = ask(&path("ca.pem"), &[&depot.uri]);
    let told = led.stderr_text().replace("\n  │ ", " ");
    assert!(!led.success() && told.contains("it leads from https to http://127.0.0.1"), "{told}");
    assert_eq!(unprotected.requests(), Vec::<String>::new());
}
