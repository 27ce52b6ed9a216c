//! Descriptors in directories made for each case.

use super::*;

/// Directories of descriptors whose firmware files really exist.
struct Case {
    root: tempfile::TempDir,
}

impl Case {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for name in ["code.fd", "vars.fd"] {
            fs::write(root.path().join(name), name).unwrap();
        }
        Self { root }
    }

    fn descriptor(&self) -> serde_json::Value {
        serde_json::json!({
            "description": "test",
            "interface-types": ["uefi"],
            "mapping": {
                "device": "flash",
                "executable": { "filename": self.root.path().join("code.fd"), "format": "raw" },
                "nvram-template": { "filename": self.root.path().join("vars.fd"), "format": "raw" }
            },
            "targets": [{ "architecture": "x86_64", "machines": ["pc-i440fx-*", "pc-q35-*"] }],
            "features": ["acpi-s3", "verbose-dynamic"],
            "tags": []
        })
    }

    fn put(&self, place: &str, text: &str) {
        let path = self.root.path().join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn choose(&self, machine: &str) -> Result<Firmware, FirmwareError> {
        let directories = ["user", "etc", "share"].map(|name| self.root.path().join(name));
        choose(&directories, "x86_64", machine)
    }

    fn chosen(&self, machine: &str) -> String {
        let descriptor = self.choose(machine).unwrap().descriptor;
        let relative = descriptor.strip_prefix(self.root.path()).unwrap();
        relative.to_str().unwrap().to_owned()
    }
}

#[test]
fn file_names_decide_the_order_and_directories_hide() {
    let case = Case::new();
    let text = case.descriptor().to_string();
    case.put("share/60-b.json", &text);
    case.put("share/50-a.json", &text);
    assert_eq!(case.chosen("pc"), "share/50-a.json");
    case.put("etc/60-b.json", &text);
    assert_eq!(case.chosen("pc"), "share/50-a.json", "order goes before priority");
    case.put("user/50-a.json", "");
    assert_eq!(case.chosen("pc"), "etc/60-b.json", "an empty file hides");
    case.put("user/60-b.json", "{ not json");
    let error = case.choose("pc").unwrap_err().to_string();
    assert!(error.contains("cannot be understood"), "{error}");
    case.put("share/README", &text);
    assert!(case.choose("pc").is_err(), "only .json files are descriptors");
}

#[test]
fn each_unsuitable_offer_is_refused_with_its_reason() {
    type Change = fn(&mut serde_json::Value);
    let cases: [(Change, &str); 8] = [
        (|d| d["features"] = serde_json::json!(["secure-boot"]), "secure-boot"),
        (|d| d["features"] = serde_json::json!(["requires-smm"]), "requires-smm"),
        (|d| d["interface-types"] = serde_json::json!(["bios"]), "is not UEFI"),
        (|d| d["targets"][0]["architecture"] = "aarch64".into(), "is not for x86_64 pc"),
        (|d| d["targets"][0]["machines"] = serde_json::json!(["pc-q35-*"]), "is not for x86_64 pc"),
        (|d| d["mapping"]["mode"] = "stateless".into(), "two flash chips"),
        (|d| d["mapping"]["executable"]["filename"] = "/nowhere/x.fd".into(), "does not exist"),
        (|d| d["mapping"]["executable"]["format"] = "vdi".into(), "unknown format vdi"),
    ];
    for (change, reason) in cases {
        let case = Case::new();
        let mut descriptor = case.descriptor();
        change(&mut descriptor);
        case.put("share/50-a.json", &descriptor.to_string());
        let error = case.choose("pc").unwrap_err().to_string();
        assert!(error.contains(reason), "{error} should say {reason}");
        case.put("share/90-fits.json", &case.descriptor().to_string());
        assert_eq!(case.chosen("pc"), "share/90-fits.json", "{reason}");
    }
}

#[test]
fn the_formats_are_taken_over_and_machine_types_matter() {
    let case = Case::new();
    let mut descriptor = case.descriptor();
    descriptor["mapping"]["mode"] = "split".into();
    descriptor["mapping"]["nvram-template"]["format"] = "qcow2".into();
    descriptor["targets"][0]["machines"] = serde_json::json!(["pc-q35-*"]);
    case.put("etc/50-a.json", &descriptor.to_string());
    let firmware = case.choose("q35").unwrap();
    assert_eq!(firmware.code_format, DiskFormat::Raw);
    assert_eq!(firmware.variables_format, DiskFormat::Qcow2);
    assert!(case.choose("pc-q35-7.2").is_ok());
    assert!(case.choose("microvm").is_err());
}

#[test]
fn without_descriptors_the_places_are_named() {
    let case = Case::new();
    let error = case.choose("pc").unwrap_err().to_string();
    for place in ["user", "etc", "share"] {
        let place = case.root.path().join(place);
        assert!(error.contains(&*place.to_string_lossy()), "{error}");
    }
}

#[test]
fn globs() {
    for (pattern, name, fits) in [
        ("pc-q35-*", "pc-q35-7.2", true),
        ("pc-q35-*", "pc-i440fx-7.2", false),
        ("*", "", true),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("virt", "virt-9", false),
        ("*-*-7.?", "pc-q35-7.2", true),
        ("*35*2", "pc-35-q35-7.2", true),
        ("*7.2", "pc-7.2-q35", false),
    ] {
        assert_eq!(glob_matches(pattern, name), fits, "{pattern} {name}");
    }
    assert!(!glob_matches(&format!("{}b", "*a".repeat(200)), &"a".repeat(2000)), "a hostile one takes no time either");
}
