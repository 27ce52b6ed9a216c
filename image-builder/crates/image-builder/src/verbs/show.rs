//! `image-builder show`.

#![expect(clippy::print_stderr, reason = "warnings of the command line")]

use super::request;
use crate::arguments::Show;
use crate::failure::Failure;
use crate::output::print;
use miette::Report;
use serde_json::Value;
use std::fmt::Write as _;

/// `image-builder show`.
pub(crate) fn show(arguments: &Show) -> Result<(), Failure> {
    let request = request("./", &arguments.template)?;
    let mut template = image_steps::load(&request, &request.group, &request.name)?;
    for warning in std::mem::take(&mut template.warnings) {
        eprintln!("{:?}", Report::new(warning));
    }
    let effective = image_steps::effective(&template);
    let text = if arguments.json {
        format!("{}\n", serde_json::to_string_pretty(&effective).expect("it is JSON"))
    } else {
        readable(&effective)
    };
    print(|output| output.write_all(text.as_bytes()).map_err(Failure::from_output))
}

fn readable(effective: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut text = String::new();
    let mut line = |words: String| writeln!(text, "{words}").expect("writing to a string");
    line(word(&effective["template"]));
    line(format!("target {}  ({})", effective["target"], word(&effective["target_origin"])));
    for (name, values) in effective["features"]["values"].as_object().into_iter().flatten() {
        let values: Vec<String> = values.as_array().into_iter().flatten().map(word).collect();
        line(format!("feature {name} = {}", values.join(", ")));
    }
    for step in effective["steps"].as_array().into_iter().flatten() {
        let mut fields = step["step"].as_object().cloned().unwrap_or_default();
        let kind = fields.remove("t").map(|kind| word(&kind)).unwrap_or_default();
        fields.retain(|_, value| !value.is_null());
        line(format!("\n{kind}  ({})", word(&step["origin"])));
        for from in step["included_from"].as_array().into_iter().flatten() {
            line(format!("    included from {}", word(from)));
        }
        for (name, value) in fields {
            line(format!("    {name}: {value}"));
        }
    }
    for step in effective["skipped"].as_array().into_iter().flatten() {
        let (kind, origin, reason) = (word(&step["step"]), word(&step["origin"]), word(&step["reason"]));
        line(format!("\nleft out: {kind}  ({origin})\n    {reason}"));
    }
    text
}
