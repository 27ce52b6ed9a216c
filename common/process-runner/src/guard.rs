//! A shell that outlives this process just long enough to end the programs that it has left.

use rustix::process::Pid;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// Reads which groups run, line by line, until this process is gone; then ends them. Each is asked once,
/// because a second request would also end what a program does to tidy up; what is left after eight seconds is killed.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
running=
while read -r sign group; do
    others=
    for each in $running; do
        [ "$each" = "$group" ] || others="$others $each"
    done
    running=$others
    [ "$sign" = - ] || running="$running $group"
done
signal=TERM
for pause in 0.1 0.2 0.5 1 1 1 1 1 1 1 end; do
    [ $pause != end ] || signal=KILL
    left=
    for group in $running; do
        kill -s $signal -- "-$group" 2>/dev/null && left="$left $group"
    done
    running=$left
    [ -n "$running" ] || exit 0
    signal=0
    [ $pause = end ] || sleep $pause 2>/dev/null || sleep 1
done
"#;

/// The shell, which is started when it is first needed.
#[derive(Debug)]
pub(crate) struct Guard {
    held: Option<OwnedFd>,
    shell: Option<Child>,
}

impl Guard {
    pub(crate) fn new(held: OwnedFd) -> Self {
        Self { held: Some(held), shell: None }
    }

    /// Makes a process group that the shell knows, for a program to be started in.
    ///
    /// The shell could be told of the program's own group only after its start, and if this process were killed in
    /// between, never. So the group is that of a process that does nothing: it ends with its input, which is ours.
    #[expect(clippy::disallowed_methods, reason = "the seam cannot go through itself")]
    pub(crate) fn make_group(&mut self) -> Option<Child> {
        self.start();
        let mut keeper = Command::new("cat");
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let keeper = keeper.spawn().ok()?;
        self.say('+', i32::try_from(keeper.id()).ok().and_then(Pid::from_raw)?);
        Some(keeper)
    }

    /// Starts the shell unless it runs. A host without one has no guard, which is no reason not to work.
    #[expect(clippy::disallowed_methods, reason = "the seam cannot go through itself")]
    fn start(&mut self) {
        let Some(held) = self.held.take() else { return };
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "process-guard"]).current_dir("/").process_group(0);
        // What is to be held open is its standard output, to which it writes nothing.
        command.stdin(Stdio::piped()).stdout(held).stderr(Stdio::null());
        self.shell = command.spawn().ok();
    }

    pub(crate) fn remove(&mut self, group: Pid) {
        self.say('-', group);
    }

    fn say(&mut self, sign: char, group: Pid) {
        if let Some(stdin) = self.shell.as_mut().and_then(|shell| shell.stdin.as_mut()) {
            let line = format!("{sign} {}\n", group.as_raw_nonzero());
            // A shell that somebody has killed guards nothing any more.
            let _ = stdin.write_all(line.as_bytes());
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            drop(shell.stdin.take());
            let _ = shell.wait();
        }
    }
}
