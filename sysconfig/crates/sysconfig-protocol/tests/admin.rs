//! The admin shapes as they are on the wire: `sysconfigctl` of one version reads the daemon of another.

use serde_json::json;
use sysconfig_protocol::admin::{
    Activity, Apply, ApplyReport, Failure, Health, PluginApply, PluginState, StatusReport,
};
use sysconfig_protocol::{Call, Diagnostic, Digest};

#[test]
fn a_status_is_read_from_its_wire_form() {
    let wire = json!({
        "version": "0.1.0", "pid": 1, "executable": "/usr/lib/sysconfig",
        "paths": { "config": "/c.toml", "config_dir": "/c.d", "state_dir": "/state", "run_dir": "/run" }, "started_unix_ms": 1000,
        "health": "degraded",
        "activity": { "kind": "calling", "plugin": "dns", "method": "observe", "since_unix_ms": 2000 },
        "config": { "files": ["/etc/sysconfig.toml"], "loaded_unix_ms": 1000, "rejected": null },
        "last_cycle": null, "confirmation": { "by_unix_ms": 99, "steps": 2 },
        "plugins": [{
            "name": "dns", "path": "/p/sysconfig-plugin-dns", "private_copy": null, "version": "1.0.0",
            "build_id": "0123456789ab", "state": "quarantined", "pid": null, "claims": ["network.dns"],
            "configured": true, "since_unix_ms": 1, "last_error": "ended unexpectedly", "help": null,
            "reload": { "at_unix_ms": 5, "result": "kept", "latency_ms": null, "since_change": false, "build_id": null,
                "error": "garbage" },
            "restarts": 4, "applied_unix_ms": 17,
        }],
        "problems": [{
            "subject": "config", "message": "no plugin owns the key x", "help": null,
            "place": { "file": "/etc/sysconfig.toml", "line": 3, "column": 1 }, "severity": "error",
        }],
    });
    let status: StatusReport = serde_json::from_value(wire.clone()).unwrap();
    assert_eq!(status.health, Health::Degraded);
    assert_eq!(status.plugins[0].state, PluginState::Quarantined);
    assert!(matches!(&status.activity, Activity::Calling { method, .. } if method == "observe"));
    assert_eq!(serde_json::to_value(&status).unwrap(), wire);
}

#[test]
fn an_apply_without_options_is_an_empty_object() {
    assert_eq!(Apply::METHOD, "apply");
    assert_eq!(serde_json::from_value::<Apply>(json!({})).unwrap(), Apply::default());
    let with_plan = Apply { plan: Some(Digest("ab".to_owned())), ..Apply::default() };
    let wire = json!({ "dry_run": false, "allow_destructive": false, "plan": "ab" });
    assert_eq!(serde_json::to_value(&with_plan).unwrap(), wire);
}

#[test]
fn success_means_that_nothing_is_left_to_complain_about() {
    let plugin = |error: Option<Failure>, diagnostics| PluginApply {
        plugin: "x".to_owned(),
        steps: Vec::new(),
        diagnostics,
        error,
    };
    let report = |plugin| ApplyReport {
        digest: Digest("ab".to_owned()),
        dry_run: false,
        plugins: vec![plugin],
        problems: Vec::new(),
        confirm_by_unix_ms: None,
    };
    let failure = Failure { message: "no".to_owned(), help: None };
    assert!(report(plugin(None, Vec::new())).is_success());
    assert!(report(plugin(None, vec![Diagnostic::warning("k", "odd")])).is_success());
    assert!(!report(plugin(None, vec![Diagnostic::error("k", "wrong")])).is_success());
    assert!(!report(plugin(Some(failure), Vec::new())).is_success());
}
