//! A host of its own for each test: programs, firmware, an image, and machines that are stopped at the end.

use crate::fake_qemu::{ARGUMENTS, MODE, Mode};
use process_runner::{Command, Detached, Input, Output};
use serde_json::Value;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long anything that happens by itself may take.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Scene {
    directory: tempfile::TempDir,
    images: PathBuf,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::in_directory("here")
    }

    /// A scene whose images are below the given relative directory.
    pub(crate) fn in_directory(place: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let images = root.join(place).join("images");
        fs::create_dir_all(&images).unwrap();
        fs::write(images.join("a.raw"), [1u8; 4096]).unwrap();
        let scene = Self { directory, images };
        scene.write_programs(&root);
        scene.write_firmware(&root);
        scene
    }

    fn write_programs(&self, root: &Path) {
        let tests = std::env::current_exe().unwrap();
        // `exec` keeps the process number and the inherited lock.
        let qemu = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$@\" >arguments\n{ARGUMENTS}=\"$PWD/arguments\" exec {} --ignored --exact --nocapture fake_qemu::play_qemu\n",
            process_runner::shell_quote(tests.as_os_str())
        );
        write_program(root, "qemu-system-x86_64", &qemu);
        let ssh = "#!/bin/sh\nprintf '%s\\n' \"$@\" >ssh-arguments\necho from the guest\nexit 42\n";
        write_program(root, "ssh", ssh);
    }

    fn write_firmware(&self, root: &Path) {
        let directory = root.join("config/qemu/firmware");
        fs::create_dir_all(&directory).unwrap();
        let flash = |name: &str| {
            let path = root.join(name);
            fs::write(&path, name).unwrap();
            serde_json::json!({ "filename": path, "format": "raw" })
        };
        let descriptor = serde_json::json!({
            "interface-types": ["uefi"],
            "mapping": {
                "device": "flash",
                "executable": flash("code.fd"),
                "nvram-template": flash("variables.fd"),
            },
            "targets": [{ "architecture": "x86_64", "machines": ["pc-i440fx-*"] }],
            "features": [],
        });
        // Before whatever the system offers.
        fs::write(directory.join("00-test.json"), descriptor.to_string()).unwrap();
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().canonicalize().unwrap()
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.images.join("a.raw")
    }

    pub(crate) fn machine(&self, name: &str) -> PathBuf {
        self.images.join("vm").join(name)
    }

    fn command(&self, mode: Mode, arguments: &[&str]) -> Command {
        self.program(mode).arg("-d").arg(&self.images).args(arguments)
    }

    /// `dev-vm` in the scene's directory, without any argument.
    fn program(&self, mode: Mode) -> Command {
        let root = self.root();
        let mut path = OsString::from(root.join("bin"));
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        Command::new(env!("CARGO_BIN_EXE_dev-vm"))
            .current_dir(&root)
            .env("PATH", path)
            .env("XDG_CONFIG_HOME", root.join("config"))
            .env("XDG_STATE_HOME", root.join("state"))
            // Error messages in one piece, whatever the terminal.
            .env("NO_COLOR", "1")
            .env(MODE, mode.name())
    }

    pub(crate) fn run(&self, mode: Mode, arguments: &[&str]) -> Output {
        self.command(mode, arguments).run_any().unwrap()
    }

    /// Runs `dev-vm` and insists on its exit status.
    pub(crate) fn expect(&self, code: i32, mode: Mode, arguments: &[&str]) -> Output {
        let output = self.run(mode, arguments);
        assert_eq!(output.code, Some(code), "{arguments:?}: {}", text(&output));
        output
    }

    pub(crate) fn run_with_path(&self, path: &str, arguments: &[&str], code: i32) -> Output {
        let output = self.command(Mode::Ready, arguments).env("PATH", path).run_any().unwrap();
        assert_eq!(output.code, Some(code), "{arguments:?}: {}", text(&output));
        output
    }

    pub(crate) fn run_with_variable(&self, (name, value): (&str, &str), arguments: &[&str]) -> Output {
        self.command(Mode::Ready, arguments).env(name, value).run_any().unwrap()
    }

    /// Runs `dev-vm` with these arguments and no others.
    pub(crate) fn run_plainly(&self, arguments: &[&str]) -> Output {
        self.program(Mode::Ready).args(arguments).run_any().unwrap()
    }

    /// Makes a program of the host.
    pub(crate) fn write_program(&self, name: &str, text: &str) {
        write_program(&self.root(), name, text);
    }

    pub(crate) fn run_without_home(&self, arguments: &[&str]) -> Output {
        let command = self.command(Mode::Ready, arguments).env_remove("HOME").env("XDG_STATE_HOME", "relative");
        let output = command.run_any().unwrap();
        assert_eq!(output.code, Some(1), "{}", text(&output));
        output
    }

    pub(crate) fn run_with_input(&self, input: &[u8], arguments: &[&str]) -> Output {
        let command = self.command(Mode::Ready, arguments);
        command.stdin(Input::Bytes(input.to_vec())).run_any().unwrap()
    }

    /// Starts `dev-vm` without waiting for it.
    pub(crate) fn start(&self, mode: Mode, arguments: &[&str]) -> Detached {
        let log = File::create(self.root().join("started.log")).unwrap();
        self.command(mode, arguments).spawn_detached(&log).unwrap()
    }

    /// The same, with a variable more.
    pub(crate) fn start_with_variable(&self, (name, value): (&str, &str), arguments: &[&str]) -> Detached {
        let log = File::create(self.root().join("started.log")).unwrap();
        self.command(Mode::Ready, arguments).env(name, value).spawn_detached(&log).unwrap()
    }

    /// What the program of [`Scene::start`] wrote.
    pub(crate) fn started_output(&self) -> String {
        fs::read_to_string(self.root().join("started.log")).unwrap()
    }

    /// A console whose input never ends, attached for sure.
    pub(crate) fn start_console(&self) -> Detached {
        let log = File::create(self.root().join("started.log")).unwrap();
        let dev_vm = self.command(Mode::Ready, &["console"]).to_string();
        let script = format!("sleep 60 | {dev_vm}");
        let command = self.command(Mode::Ready, &[]);
        let path = command.argv().next().unwrap().to_owned();
        assert_eq!(path, env!("CARGO_BIN_EXE_dev-vm"));
        let shell = Command::new("sh").args(["-c", &script]).env("XDG_STATE_HOME", self.root().join("state"));
        let shell = shell.spawn_detached(&log).unwrap();
        self.wait_for(|| self.started_output().contains("login:").then_some(()));
        shell
    }

    pub(crate) fn status(&self, name: &str) -> Value {
        let output = self.run(Mode::Ready, &["status", "--json", "--name", name]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)))
    }

    /// The directory with what no guest may see.
    pub(crate) fn private(&self, name: &str) -> PathBuf {
        PathBuf::from(self.status(name)["private_directory"].as_str().unwrap())
    }

    pub(crate) fn wait_for_state(&self, name: &str, state: &str) {
        self.wait_for(|| {
            let output = self.run(Mode::Ready, &["status", "--json", "--name", name]);
            let status: Option<Value> = serde_json::from_slice(&output.stdout).ok();
            status.filter(|status| status["state"] == state).map(|_| ())
        });
    }

    pub(crate) fn wait_for<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < until, "it did not happen in {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The argument vectors of all starts of a machine, one argument in each line.
    pub(crate) fn starts(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.machine(name).join("starts")).unwrap();
        text.split_terminator('\0').map(str::to_owned).collect()
    }

    pub(crate) fn ssh_arguments(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.private(name).join("ssh-arguments")).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) fn change_config(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let path = self.private(name).join("vm.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut config);
        fs::write(&path, config.to_string()).unwrap();
    }

    pub(crate) fn write_to_disk(&self, name: &str) {
        crate::mark_as_written(&self.machine(name).join("overlay.qcow2"));
    }

    pub(crate) fn kill(&self, pid: i64) {
        self.signal("KILL", pid);
    }

    pub(crate) fn signal(&self, signal: &str, pid: i64) {
        let kill = Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]);
        kill.run().unwrap();
    }
}

fn write_program(root: &Path, name: &str, text: &str) {
    let path = root.join("bin").join(name);
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

impl Drop for Scene {
    fn drop(&mut self) {
        let machines = fs::read_dir(self.images.join("vm")).into_iter().flatten().flatten();
        for machine in machines.filter(|machine| machine.path().is_dir()) {
            let name = machine.file_name().into_string().unwrap();
            let _ = self.command(Mode::Ready, &["down", "--force", "--name", &name]).run_any();
        }
    }
}

/// Both streams, with the line breaks of the error report taken out.
pub(crate) fn text(output: &Output) -> String {
    let both = format!("{}{}", output.stdout_text(), output.stderr_text());
    let words = both.lines().map(|line| line.trim().trim_start_matches(['│', '×']).trim());
    words.collect::<Vec<_>>().join(" ")
}
