//! `status` and `plugins` as text.

use super::table::{cell, table};
use super::{ago, clean, counted, duration, indented, push_problems};
use std::fmt::Write;
use sysconfig_protocol::admin::{
    Activity, CycleReport, Health, PluginReload, PluginState, PluginStatus, PluginsReport, ReloadResult, StatusReport,
};

/// The answer to `status`, at the time `now` in milliseconds since 1970.
#[must_use]
pub fn status(report: &StatusReport, explain: bool, now: u64) -> String {
    let mut text = format!(
        "sysconfig {}: {}, {}\n",
        clean(&report.version),
        health(report.health),
        activity(&report.activity, now)
    );
    let started = ago(now, report.started_unix_ms);
    let _ = writeln!(text, "  process        {}, started {started}", report.pid);
    if let Some(executable) = &report.executable {
        let _ = writeln!(text, "  executable     {}", clean(executable));
    }
    let files = clean(&report.config.files.join(", "));
    let _ = match report.config.loaded_unix_ms {
        0 => writeln!(text, "  configuration  not read yet"),
        at => writeln!(text, "  configuration  {files} (read {})", ago(now, at)),
    };
    let last = report.last_cycle.as_ref().map_or("none yet".to_owned(), |last| cycle(last, now));
    let _ = writeln!(text, "  last cycle     {last}");
    text.push('\n');
    if report.plugins.is_empty() && report.health == Health::Starting {
        text += "Plugins have not been looked for yet.\n";
    } else if explain {
        text += &explained(report, now);
    } else {
        text += &overview(&report.plugins, now);
    }
    let told = |rejected: &str| report.problems.iter().any(|problem| problem.message.contains(rejected));
    if let Some(rejected) = report.config.rejected.as_deref().filter(|rejected| !told(rejected)) {
        let _ = writeln!(
            text,
            "\nThe configuration files were changed and cannot be used; the one read before stays in force:\n\n{}",
            clean(rejected).trim_end()
        );
    }
    push_problems(&mut text, &report.problems);
    text
}

/// The answer to `plugins`, at the time `now` in milliseconds since 1970.
#[must_use]
pub fn plugins(report: &PluginsReport, now: u64) -> String {
    let mut text = plugin_table(&report.plugins, now);
    let reloads = if report.hot_reload { "changed files are picked up" } else { "changed files are not picked up" };
    let path = clean(&report.path.join(", "));
    let _ = writeln!(text, "\nLooked for in {path}; {reloads}.");
    text
}

/// A table of plugins with their builds and files, and what there is to say about each below it.
#[must_use]
pub fn plugin_table(plugins: &[PluginStatus], now: u64) -> String {
    if plugins.is_empty() {
        return "No plugins were found.\n".to_owned();
    }
    let row = |plugin: &PluginStatus| {
        vec![
            plugin.name.clone(),
            state(plugin.state).to_owned(),
            cell(plugin.version.as_deref()),
            cell(plugin.build_id.as_deref()),
            cell(plugin.pid.map(|pid| pid.to_string()).as_deref()),
            cell((!plugin.claims.is_empty()).then(|| plugin.claims.join(",")).as_deref()),
            plugin.path.clone(),
        ]
    };
    let rows: Vec<_> = plugins.iter().map(row).collect();
    let heads = ["NAME", "STATE", "VERSION", "BUILD", "PID", "CLAIMS", "FILE"];
    let mut text = table(&heads, &rows);
    push_notes(&mut text, plugins, now);
    text
}

fn overview(plugins: &[PluginStatus], now: u64) -> String {
    if plugins.is_empty() {
        return "No plugins were found.\n".to_owned();
    }
    let row = |plugin: &PluginStatus| {
        vec![
            plugin.name.clone(),
            state(plugin.state).to_owned(),
            ago(now, plugin.since_unix_ms),
            cell(plugin.build_id.as_deref()),
            if plugin.configured { "yes" } else { "no" }.to_owned(),
        ]
    };
    let rows: Vec<_> = plugins.iter().map(row).collect();
    let mut text = table(&["PLUGIN", "STATE", "SINCE", "BUILD", "CONFIGURED"], &rows);
    push_notes(&mut text, plugins, now);
    text
}

/// What a table has no room for: errors and reloads.
fn push_notes(text: &mut String, plugins: &[PluginStatus], now: u64) {
    for plugin in plugins {
        let name = clean(&plugin.name);
        if let Some(reload) = &plugin.reload {
            let _ = writeln!(text, "\n{name}: {}", reloaded(reload, plugin.pid.is_some(), now));
        }
        if let Some(error) = own_error(plugin) {
            let _ = writeln!(text, "\n{name}: {}", indented(error));
        }
        if let Some(help) = &plugin.help {
            let _ = writeln!(text, "  help: {}", indented(help));
        }
    }
}

/// The plugin's last error, unless that is why its newest file was not taken, which is told with the reload.
fn own_error(plugin: &PluginStatus) -> Option<&str> {
    let told = plugin.reload.as_ref().and_then(|reload| reload.error.as_deref());
    plugin.last_error.as_deref().filter(|error| Some(*error) != told)
}

fn reloaded(reload: &PluginReload, is_running: bool, now: u64) -> String {
    let when = ago(now, reload.at_unix_ms);
    let build = clean(reload.build_id.as_deref().unwrap_or("unknown"));
    match reload.result {
        ReloadResult::Live => {
            let what = if reload.since_change { "changed" } else { "was seen" };
            let latency = reload.latency_ms.map(|latency| format!(", {} after its file {what}", duration(latency)));
            format!("build {build} went live {when}{}", latency.unwrap_or_default())
        }
        ReloadResult::Kept => {
            let error = reload.error.as_deref().unwrap_or("no reason was given");
            let build = reload.build_id.as_ref().map(|_| format!(" (build {build})")).unwrap_or_default();
            let (file, instead) = match is_running {
                true => ("the changed file", "the old one still runs"),
                false => ("its file", "and none runs"),
            };
            format!("{file}{build} was not taken {when}, {instead}: {}", indented(error))
        }
    }
}

fn explained(report: &StatusReport, now: u64) -> String {
    let mut text = format!("{}\n", health_meaning(report.health));
    for plugin in &report.plugins {
        let _ = writeln!(
            text,
            "\n{}: {} for {}: {}",
            clean(&plugin.name),
            state(plugin.state),
            duration(now.saturating_sub(plugin.since_unix_ms)),
            state_meaning(plugin.state)
        );
        for (label, value) in details(plugin) {
            let _ = writeln!(text, "  {label:<13}  {}", indented(&value));
        }
        if let Some(reload) = &plugin.reload {
            let _ = writeln!(text, "  {:<13}  {}", "reload", reloaded(reload, plugin.pid.is_some(), now));
        }
    }
    text
}

/// What is known about a plugin, as labels and values.
fn details(plugin: &PluginStatus) -> Vec<(&'static str, String)> {
    let claims = match plugin.claims.join(", ") {
        none if none.is_empty() => None,
        claims if plugin.configured => Some(claims),
        claims => Some(format!("{claims} (not configured)")),
    };
    let restarts = counted(plugin.restarts as usize, "restart");
    let process = plugin.pid.map(|pid| format!("{pid}, after {restarts}"));
    let values = [
        ("claims", claims),
        ("version", plugin.version.clone()),
        ("build", plugin.build_id.clone()),
        ("file", Some(plugin.path.clone())),
        ("private copy", plugin.private_copy.clone()),
        ("process", process),
        ("error", own_error(plugin).map(str::to_owned)),
        ("help", plugin.help.clone()),
    ];
    let known = |(label, value): (&'static str, Option<String>)| value.map(|value| (label, value));
    values.into_iter().filter_map(known).collect()
}

fn cycle(cycle: &CycleReport, now: u64) -> String {
    let mut parts = Vec::new();
    for (count, what) in [
        (cycle.changed, "changed"),
        (cycle.already_so, "already so"),
        (cycle.failed, "failed"),
        (cycle.pending, "pending"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    if parts.is_empty() {
        parts.push("nothing to do".to_owned());
    }
    let planned = if cycle.applied { "" } else { ", planned only" };
    format!(
        "{} ({}{planned}, took {}, {})",
        parts.join(", "),
        clean(&cycle.trigger),
        duration(cycle.duration_ms),
        ago(now, cycle.started_unix_ms)
    )
}

fn activity(activity: &Activity, now: u64) -> String {
    let since = |then: u64| duration(now.saturating_sub(then));
    match activity {
        Activity::Idle => "idle".to_owned(),
        Activity::Calling { plugin, method, since_unix_ms } => {
            format!("waiting for {method} of plugin {} for {}", clean(plugin), since(*since_unix_ms))
        }
        Activity::Busy { doing, since_unix_ms } => format!("{} for {}", clean(doing), since(*since_unix_ms)),
    }
}

fn health(health: Health) -> &'static str {
    match health {
        Health::Starting => "starting",
        Health::Ok => "ok",
        Health::Degraded => "degraded",
        Health::Stopping => "stopping",
    }
}

fn health_meaning(health: Health) -> &'static str {
    match health {
        Health::Starting => "starting: the configuration has not been compared with the machine yet.",
        Health::Ok => "ok: everything configured is in force.",
        Health::Degraded => "degraded: not everything configured is in force; the problems below say what is not.",
        Health::Stopping => "stopping: the daemon is ending.",
    }
}

fn state(state: PluginState) -> &'static str {
    match state {
        PluginState::Starting => "starting",
        PluginState::Running => "running",
        PluginState::Backoff => "backoff",
        PluginState::Quarantined => "quarantined",
        PluginState::Refused => "refused",
    }
}

fn state_meaning(state: PluginState) -> &'static str {
    match state {
        PluginState::Starting => "it was started and has not introduced itself yet",
        PluginState::Running => "it answers requests",
        PluginState::Backoff => "it failed and is started again after a while",
        PluginState::Quarantined => {
            "it failed too often and stays down until its file changes or `sysconfigctl plugin restart`"
        }
        PluginState::Refused => "it cannot run here and stays down until its file changes",
    }
}
