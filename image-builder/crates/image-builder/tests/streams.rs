//! Where the results go: standard output that nobody reads or that is full, and files that cannot be written.

mod scene;

use process_runner::{Command, Output};
use scene::Scene;

/// Runs the program under a shell, which first does something with its standard output.
fn run_with_output(scene: &Scene, output: &str, words: &str) -> Output {
    let script = format!("{output}; exec \"$0\" {words} >&4");
    let shell = Command::new("sh").args(["-c", &script, env!("CARGO_BIN_EXE_image-builder")]);
    shell.current_dir(scene.path("")).env("NO_COLOR", "1").run_any().expect("it runs")
}

const VERBS: [&str; 8] = [
    "build -d ./work -g g -n fat",
    "build -d ./work -g g -n fat --json",
    "plan -d ./work -g g -n fat",
    "check",
    "workspace -d ./work",
    "workspace -d ./work --disk-use",
    "gc -d ./work",
    "clean -d ./work",
];

/// The program ended with a panic and the status 101, which no document knows, after the work was done.
#[test]
fn whoever_stops_reading_ends_the_run_without_a_complaint() {
    let scene = Scene::new();
    for words in VERBS {
        // The reader of the pipe is gone before the program begins.
        let closed = "mkfifo pipe && exec 3<>pipe 4>pipe 3<&- && rm pipe";
        let output = run_with_output(&scene, closed, words);
        assert_eq!(output.code, Some(0), "{words}: {}", output.stderr_text());
        assert!(!output.stderr_text().contains("panicked"), "{words}: {}", output.stderr_text());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_told_is_a_failure() {
    let scene = Scene::new();
    for words in VERBS {
        let output = run_with_output(&scene, "exec 4>/dev/full", words);
        let said = output.stderr_text();
        assert_eq!(output.code, Some(1), "{words}: {said}");
        assert!(said.contains("cannot write to standard output"), "{words}: {said}");
    }
}

/// It was told when everything was built.
#[test]
fn a_report_that_cannot_be_written_is_told_before_the_build() {
    let scene = Scene::new();
    for (page, status, message) in
        [("none/page.html", 2, "--report none: no such directory"), ("templates", 1, "cannot write templates")]
    {
        let output = scene.run(&format!("build -d ./work -g g -n fat --report {page}"));
        let said = output.stderr_text();
        assert_eq!(output.code, Some(status), "{said}");
        assert!(said.contains(message), "{said}");
        assert!(!scene.path("work").exists(), "it was built");
    }
    // The build makes the workspace.
    scene.good("build -d ./fresh -g g -n fat --report ./fresh/output/page.html");
    assert!(scene.read("fresh/output/page.html").contains("<html"));
}

/// It was said that it is no archive.
#[test]
fn a_difference_to_what_is_not_there_names_that() {
    let scene = Scene::new();
    scene.good("build -d ./work -g g -n base");
    for words in ["diff none work/output/b.tar", "diff work/output/b.tar none"] {
        let output = scene.run(words);
        assert_eq!(output.code, Some(1), "{words}");
        assert!(output.stderr_text().contains("cannot read none"), "{words}: {}", output.stderr_text());
    }
}
