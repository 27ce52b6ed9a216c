//! How progress looks: a bar on a terminal, plain lines in a log. All of it goes to standard error.

use image_steps::{Progress, StepState};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The listener that fits where standard error goes.
pub(crate) fn progress() -> Arc<dyn Progress> {
    if std::io::stderr().is_terminal() {
        Arc::new(Bar { bar: ProgressBar::hidden(), shown: Mutex::new(ProgressBar::hidden()) })
    } else {
        Arc::new(Lines { cached: Mutex::new(0) })
    }
}

struct Bar {
    bar: ProgressBar,
    shown: Mutex<ProgressBar>,
}

impl Bar {
    fn current(&self) -> ProgressBar {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Progress for Bar {
    fn template(&self, group: &str, name: &str, steps: usize) {
        self.current().finish_and_clear();
        let style = ProgressStyle::with_template("{prefix:.bold} {bar:20} {pos}/{len} {elapsed} {wide_msg}");
        let bar = ProgressBar::new(steps as u64).with_prefix(format!("{group}/{name}"));
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(200));
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = bar;
    }

    fn step(&self, index: usize, title: &str, state: StepState) {
        let bar = self.current();
        match state {
            StepState::Running => bar.set_message(title.to_owned()),
            StepState::Done | StepState::Cached => bar.set_position(index as u64 + 1),
        }
    }

    fn message(&self, text: &str) {
        self.current().set_message(text.to_owned());
    }

    fn detail(&self, text: &str) {
        self.current().set_message(text.to_owned());
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.current().finish_and_clear();
    }
}

struct Lines {
    cached: Mutex<usize>,
}

#[expect(clippy::print_stderr, reason = "this is the log of a run without a terminal")]
impl Progress for Lines {
    fn template(&self, group: &str, name: &str, steps: usize) {
        *self.cached.lock().unwrap_or_else(PoisonError::into_inner) = 0;
        eprintln!("{group}/{name}: {steps} steps");
    }

    fn step(&self, index: usize, title: &str, state: StepState) {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        match state {
            StepState::Cached => *cached += 1,
            StepState::Running => {
                if *cached > 0 {
                    eprintln!("  {} steps taken from the cache", *cached);
                    *cached = 0;
                }
                eprintln!("  {:3} {title}", index + 1);
            }
            StepState::Done => {}
        }
    }

    fn message(&self, text: &str) {
        eprintln!("      {text}");
    }

    fn detail(&self, _text: &str) {}
}
