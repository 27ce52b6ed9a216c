//! `ips list`, `info`, `contents`, `search`.

use super::source::{Known, Place, Source, with_paths};
use crate::arguments::{IpsContents, IpsInfo, IpsList, IpsSearch};
use crate::failure::Failure;
use crate::inspect::shown;
use crate::output::print;
use serde_json::{Value, json};
use std::io::Write;

fn flags(known: &Known, is_installed: bool) -> String {
    let flag = |is_set: bool, letter: char| if is_set { letter } else { '-' };
    [flag(is_installed, 'i'), flag(known.is_obsolete, 'o'), flag(known.is_renamed, 'r')].iter().collect()
}

fn as_json(known: &Known, is_installed: bool) -> Value {
    json!({
        "fmri": known.id.to_string(),
        "name": known.id.stem.as_str(),
        "publisher": known.id.publisher.as_str(),
        "version": known.id.version.to_string(),
        "summary": known.summary,
        "installed": is_installed,
        "obsolete": known.is_obsolete,
        "renamed": known.is_renamed,
    })
}

fn write_json(output: &mut dyn Write, value: &Value) -> Result<(), Failure> {
    writeln!(output, "{value}").map_err(Failure::from_output)
}

/// `image-builder ips list`
pub(super) fn list(source: &Source, arguments: &IpsList) -> Result<(), Failure> {
    let selected = source.select(&arguments.patterns, arguments.all)?;
    let is_installed = matches!(source.place, Place::Image { .. });
    print(|output| {
        if arguments.json {
            let list: Vec<Value> = selected.iter().map(|known| as_json(known, is_installed)).collect();
            return write_json(output, &Value::Array(list));
        }
        let name = |known: &Known| format!("{} ({})", known.id.stem, known.id.publisher);
        let width = selected.iter().map(|known| name(known).chars().count()).max().unwrap_or(0);
        for known in &selected {
            let (name, version) = (name(known), known.id.version.short());
            writeln!(output, "{name:width$}  {version:24} {}", flags(known, is_installed))
                .map_err(Failure::from_output)?;
        }
        Ok(())
    })
}

/// `image-builder ips info`
pub(super) fn info(source: &Source, arguments: &IpsInfo) -> Result<(), Failure> {
    let is_installed = matches!(source.place, Place::Image { .. });
    let mut all = Vec::new();
    for known in source.select(&arguments.patterns, false)? {
        let manifest = source.manifest(known)?;
        let sizes = manifest.actions.iter().filter_map(|action| action.payload()?.size().ok().flatten());
        let description = manifest.settings("pkg.description").next().unwrap_or_default().to_owned();
        all.push((known, description, sizes.sum::<u64>()));
    }
    print(|output| {
        if arguments.json {
            let list = all.iter().map(|(known, description, bytes)| {
                let mut value = as_json(known, is_installed);
                value["description"] = json!(description);
                value["size_bytes"] = json!(bytes);
                value
            });
            return write_json(output, &list.collect());
        }
        for (at, (known, description, bytes)) in all.iter().enumerate() {
            let state = match (is_installed, known.is_obsolete, known.is_renamed) {
                (_, true, _) => "Obsolete",
                (_, _, true) => "Renamed",
                (true, ..) => "Installed",
                (false, ..) => "Not installed",
            };
            let newline = if at == 0 { "" } else { "\n" };
            let lines = [
                ("Name", known.id.stem.to_string()),
                ("Summary", known.summary.clone()),
                ("Description", description.clone()),
                ("State", state.to_owned()),
                ("Publisher", known.id.publisher.to_string()),
                ("Version", known.id.version.short()),
                ("Size", format!("{bytes} bytes")),
                ("FMRI", known.id.to_string()),
            ];
            let lines = lines.iter().filter(|(_, text)| !text.is_empty());
            let text: String = lines.map(|(name, text)| format!("{name:>12}: {}\n", shown(text.as_bytes()))).collect();
            write!(output, "{newline}{text}").map_err(Failure::from_output)?;
        }
        Ok(())
    })
}

/// `image-builder ips contents`
pub(super) fn contents(source: &Source, arguments: &IpsContents) -> Result<(), Failure> {
    let mut texts: Vec<Vec<u8>> = Vec::new();
    let mut paths: Vec<(String, String)> = Vec::new();
    for known in source.select(&arguments.patterns, false)? {
        if arguments.manifest {
            texts.push(source.manifest_text(known)?);
            continue;
        }
        let manifest = source.manifest(known)?;
        let of = |action: &ips::manifest::Action| (action.get("path").unwrap_or_default().to_owned(), action.kind());
        paths.extend(with_paths(&manifest).map(of).map(|(path, kind)| (path, kind.to_string())));
    }
    paths.sort();
    paths.dedup();
    print(|output| {
        if arguments.json {
            let list = paths.iter().map(|(path, kind)| json!({ "path": path, "kind": kind }));
            return write_json(output, &list.collect());
        }
        texts.iter().try_for_each(|text| output.write_all(text)).map_err(Failure::from_output)?;
        let mut lines = paths.iter().map(|(path, _)| shown(path.as_bytes()));
        lines.try_for_each(|line| writeln!(output, "{line}")).map_err(Failure::from_output)
    })
}

/// `image-builder ips search`
pub(super) fn search(source: &Source, arguments: &IpsSearch) -> Result<(), Failure> {
    let word = arguments.word.to_lowercase();
    let fits = |text: &str| text.to_lowercase().contains(&word);
    let mut found: Vec<(&Known, &str, String)> = Vec::new();
    for known in source.select(&[], false)? {
        if fits(known.id.stem.as_str()) {
            found.push((known, "name", known.id.stem.to_string()));
        } else if fits(&known.summary) {
            found.push((known, "summary", known.summary.clone()));
        }
        // A repository would have to send every manifest.
        if let Place::Image { .. } = source.place {
            let manifest = source.manifest(known)?;
            let paths = with_paths(&manifest).filter_map(|action| action.get("path"));
            found.extend(paths.filter(|path| fits(path)).map(|path| (known, "path", path.to_owned())));
        }
    }
    print(|output| {
        if arguments.json {
            let list = found
                .iter()
                .map(|(known, what, text)| json!({ "fmri": known.id.to_string(), "in": what, "value": text }));
            return write_json(output, &list.collect());
        }
        for (known, what, text) in &found {
            let text = shown(text.as_bytes());
            writeln!(output, "{what:8} {:40} {text}", known.id.short()).map_err(Failure::from_output)?;
        }
        Ok(())
    })
}
