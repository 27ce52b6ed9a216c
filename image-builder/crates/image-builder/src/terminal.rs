//! How progress looks: a bar on a terminal, plain lines in a log. All of it goes to standard error.

use image_steps::{Progress, StepState};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

/// The bar that is on the terminal now; hidden when there is none.
static SHOWN: LazyLock<Mutex<ProgressBar>> = LazyLock::new(|| Mutex::new(ProgressBar::hidden()));

/// Errors are wrapped at blanks only, and not at all in a log: a path that is broken cannot be copied.
pub(crate) fn draw_errors() {
    let is_terminal = std::io::stderr().is_terminal();
    let drawn = miette::set_hook(Box::new(move |_| {
        let options = miette::MietteHandlerOpts::new().wrap_lines(is_terminal).break_words(false);
        let options = options.word_separator(textwrap::WordSeparator::AsciiSpace);
        Box::new(options.word_splitter(textwrap::WordSplitter::NoHyphenation).build())
    }));
    // It fails only if it was done before.
    drop(drawn);
}

/// The listener that fits where standard error goes.
pub(crate) fn progress() -> Arc<dyn Progress> {
    if std::io::stderr().is_terminal() {
        Arc::new(Bar { target: ProgressDrawTarget::stderr })
    } else {
        Arc::new(Lines { cached: Mutex::new(0) })
    }
}

/// Takes the bar off the terminal, so that a line can be written.
pub(crate) fn clear() {
    shown().finish_and_clear();
}

fn shown() -> ProgressBar {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

struct Bar {
    /// Where bars are drawn.
    target: fn() -> ProgressDrawTarget,
}

impl Progress for Bar {
    fn template(&self, group: &str, name: &str, steps: usize) {
        clear();
        let style = ProgressStyle::with_template("{prefix:.bold} {bar:20} {pos}/{len} {elapsed} {wide_msg}");
        let bar = ProgressBar::with_draw_target(Some(steps as u64), (self.target)());
        let bar = bar.with_prefix(format!("{group}/{name}"));
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(200));
        *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = bar;
    }

    fn step(&self, index: usize, title: &str, state: StepState) {
        let bar = shown();
        match state {
            StepState::Running => bar.set_message(title.to_owned()),
            StepState::Done | StepState::Cached => bar.set_position(index as u64 + 1),
        }
    }

    /// Above the bar, where it stays.
    fn message(&self, text: &str) {
        let bar = shown();
        if bar.is_hidden() {
            Lines::say(text);
        } else {
            bar.println(text);
        }
    }

    fn detail(&self, text: &str) {
        shown().set_message(text.to_owned());
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        clear();
    }
}

struct Lines {
    cached: Mutex<usize>,
}

impl Lines {
    fn say(text: &str) {
        Self::line(format!("      {text}"));
    }

    /// At once: standard error writes each part of a format by itself, which takes as long as a small step.
    fn line(mut text: String) {
        text.push('\n');
        // Nobody can be told that standard error is closed.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

/// So many steps, in words.
pub(crate) fn counted(steps: usize) -> String {
    format!("{steps} {}", if steps == 1 { "step" } else { "steps" })
}

impl Progress for Lines {
    fn template(&self, group: &str, name: &str, steps: usize) {
        *self.cached.lock().unwrap_or_else(PoisonError::into_inner) = 0;
        Self::line(format!("{group}/{name}: {}", counted(steps)));
    }

    fn step(&self, index: usize, title: &str, state: StepState) {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        match state {
            StepState::Cached => *cached += 1,
            StepState::Running => {
                if *cached > 0 {
                    Self::line(format!("  {} taken from the cache", counted(*cached)));
                    *cached = 0;
                }
                Self::line(format!("  {:3} {title}", index + 1));
            }
            StepState::Done => {}
        }
    }

    fn message(&self, text: &str) {
        Self::say(text);
    }

    fn detail(&self, _text: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::TermLike;
    use std::io;

    /// Everything that was written, piece by piece.
    static WRITTEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

    #[derive(Debug)]
    struct Screen;

    impl Screen {
        fn write(&self, text: &str) -> io::Result<()> {
            WRITTEN.lock().expect("not poisoned").push(text.trim().to_owned());
            Ok(())
        }
    }

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            100
        }
        fn move_cursor_up(&self, _lines: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _lines: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _columns: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _columns: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.write(text)
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Messages were the bar's own text, so that the next step wiped them out.
    #[test]
    fn a_message_stays_when_the_bar_goes_on() {
        let bar = Bar { target: || ProgressDrawTarget::term_like(Box::new(Screen)) };
        bar.template("debian", "base", 2);
        bar.step(0, "deb_bootstrap host", StepState::Running);
        bar.message("downloading 3 packages");
        bar.detail("unpacking less");
        bar.step(0, "deb_bootstrap host", StepState::Done);
        bar.step(1, "pack_tar base.tar", StepState::Running);
        drop(bar);
        let written = WRITTEN.lock().expect("not poisoned");
        assert!(written.iter().any(|text| text == "downloading 3 packages"), "{written:?}");
        assert!(written.iter().any(|text| text.ends_with("unpacking less")), "{written:?}");
    }
}
