//! The schema for editors, with the plugins of this repository, judged by a validator on files good and bad.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use sysconfig::config::{Reading, Sources, load_merged};
use sysconfig::offline::schema;
use sysconfig_platform::Host;
use sysconfig_plugin::Plugin;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

fn complete_schema() -> Value {
    let host = || Host::current().expect("a supported system");
    let descriptions = [
        sysconfig_plugin_dns::DnsPlugin::new(host()).describe(),
        sysconfig_plugin_filesystem::FilesystemPlugin::new(host()).describe(),
        sysconfig_plugin_hostname::HostnamePlugin::new(host()).describe(),
        sysconfig_plugin_interfaces::InterfacesPlugin::new(host()).describe(),
        sysconfig_plugin_swap::SwapPlugin::new(host()).describe(),
        sysconfig_plugin_zpool::ZpoolPlugin::new(host()).describe(),
    ];
    schema(descriptions.iter().flat_map(|description| &description.claims))
}

/// Every block of TOML in the documents, and every file of it that an image gets.
fn documented() -> Vec<(String, String)> {
    let files = |directory: &str, extension: &str| {
        let found = std::fs::read_dir(repository().join(directory)).unwrap();
        let paths = found.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect::<Vec<_>>()
    };
    let named = |path: PathBuf| (path.display().to_string(), std::fs::read_to_string(&path).unwrap());
    let images = ["debian", "dev", "openindiana"].map(|image| format!("sysconfig/image/templates/files/{image}"));
    let mut texts: Vec<_> = images.iter().flat_map(|directory| files(directory, "toml")).map(named).collect();
    assert!(texts.len() >= 4, "{texts:?}");
    let documents = [files("docs", "md"), files("docs/formats", "md")].concat();
    for (name, text) in documents.into_iter().map(named) {
        let blocks = text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
        texts.extend(blocks.enumerate().map(|(number, block)| (format!("{name}, block {number}"), block)));
    }
    texts
}

/// Whether TOML texts are good to a validator, and what it says, with the number of each in its file's name; none without one.
fn judged(texts: &[impl AsRef<str>]) -> Option<(bool, String)> {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let mut arguments = vec!["--output".into(), "pretty".into()];
    for (number, text) in texts.iter().enumerate() {
        let sources = Sources { file: path("file.toml"), directory: PathBuf::new() };
        std::fs::write(&sources.file, text.as_ref()).unwrap();
        let (_, table) = load_merged(&sources, Reading::LENIENT).unwrap_or_else(|errors| panic!("{errors:?}"));
        let json: Map<_, _> = table.into_iter().map(|(key, entry)| (key, entry.node.to_json())).collect();
        let file = path(&format!("{number}.json"));
        std::fs::write(&file, Value::Object(json).to_string()).unwrap();
        arguments.extend(["-i".into(), file]);
    }
    let schema = path("schema.json");
    std::fs::write(&schema, complete_schema().to_string()).unwrap();
    arguments.push(schema);
    let output = test_judge::ask("jsonschema", "python3-jsonschema", &arguments)?;
    Some((output.success(), output.stdout_text() + &output.stderr_text()))
}

/// Also a file of which another one has the rest: the editor sees only this one.
#[test]
fn what_is_documented_is_good() {
    let (mut names, mut texts): (Vec<_>, Vec<_>) = documented().into_iter().unzip();
    for part in ["[system.hostname]\nfallback = \"dev\"", "[network.dns]\nsearch = [\"example.org\"]"] {
        names.push(format!("a part: {part}"));
        texts.push(part.to_owned());
    }
    assert!(texts.len() >= 25, "{} texts", texts.len());
    let Some((is_good, said)) = judged(&texts) else { return };
    assert!(
        is_good,
        "{said}
{names:#?}"
    );
}

#[test]
fn what_is_broken_is_refused() {
    let broken = [
        "colour = 1",
        "[system]\nhostname = 7",
        "[logging]\nlevle = \"info\"",
        "[logging]\nlevel = \"loud\"",
        "[logging]\noutput = \"file\"",
        "[plugins]\npath = \"relative\"",
        "[plugins]\npoll-interval = \"250\"",
        "[plugins.deadlines]\nstart = \"0s\"",
        "[daemon]\ndrift-interval = true",
        "[network.dns]\nservers = \"192.0.2.1\"",
        "[network.dns]\nserach = [\"example.org\"]",
        "[network.interface]\nmatch = { name = \"net0\" }",
        "[[network.interface]]\naddresses = [\"dhcp\"]",
        "[[network.interface]]\nmatch = { name = \"net0\" }\nmtu = 1500.5",
        "[[storage.pool]]\nname = \"tank\"\nvdevs = [{ mirror = [\"/dev/a\"] }]",
        "[[storage.dataset]]\nproperties = { mountpoint = \"/data\" }",
        "[[storage.mount]]\ndevice = \"swap\"\nmountpoint = \"/tmp\"\ntype = \"tmpfs\"\noptions = \"size=512m\"",
        "[[storage.swap]]\nfile = \"/var/swap\"\nsize = 1024",
    ];
    for text in broken {
        let Some((is_good, said)) = judged(&[text]) else { return };
        assert!(!is_good && said.contains("ValidationError"), "{text}: {said}");
    }
}
