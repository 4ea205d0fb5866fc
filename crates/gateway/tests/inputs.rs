//! `zonemesh-gateway` with what real users have given it, and with unkinder things of the same kinds.
//! docs/DEVELOPMENT.md lists the kinds. A daemon is not there.
#![allow(clippy::unwrap_used)]

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use zonemesh_config::Config;
use zonemesh_standin::{ONEGATE_VM, TestGateway, TestOneGate, base64_word};

const WRONG: i32 = 7;
const TOML: &str = "[zone]\nname = \"madrid\"\nprefixes = [\"10.10.11.0/24\"]\n";

/// A gateway's VM.
struct Vm {
    folder: tempfile::TempDir,
    running: Option<Child>,
}

impl Drop for Vm {
    fn drop(&mut self) {
        if let Some(mut child) = self.running.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Vm {
    fn new(context: &[u8]) -> Self {
        let vm = Self { folder: tempfile::tempdir().unwrap(), running: None };
        vm.write("context.sh", context);
        vm
    }

    /// One whose CONTEXT gives the configuration whole.
    fn with_configuration(toml: &str, more: &str) -> Self {
        let toml = toml.replace('\'', "'\\''");
        Self::new(format!("ONEAPP_ZONEMESH_CONFIG='{toml}'\n{more}").as_bytes())
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    fn command(&self, verb: &str, context: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zonemesh-gateway"));
        command.args([verb, "--context", context, "--config", &self.path("zonemesh.toml")]);
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    fn configure(&self) -> Output {
        self.command("configure", &self.path("context.sh")).output().unwrap()
    }

    /// What `configure` says, if it ends with this code.
    fn says(&self, code: i32) -> String {
        let done = self.configure();
        let said = text(&done.stdout) + &text(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{said}");
        said
    }

    fn run(&mut self) {
        let log = std::fs::File::create(self.path("log")).unwrap();
        let mut command = self.command("run", &self.path("context.sh"));
        command.args(["--status", &self.path("run/status.json")]).stderr(log);
        self.running = Some(command.stdout(Stdio::null()).spawn().unwrap());
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// However TOML is written: the program that parses it says where it listens.
#[test]
fn a_local_api_in_any_form_of_toml_is_told() {
    let gateway = TestGateway::start();
    let listen = gateway.address.to_string();
    let (ip, port) = listen.rsplit_once(':').unwrap();
    let escaped = format!("\\u{:04x}{}:{port}", ip.as_bytes()[0], &ip[1..]);
    for (form, api) in [
        ("indented, literal", format!("  [local_api]\n    listen = '{listen}' # \"x\"\n")),
        ("dotted", format!("local_api.listen = \"{listen}\"\n")),
        ("inline table", format!("local_api = {{ listen = '{listen}' }}\n")),
        ("quoted and spaced", format!("\"local_api\" . 'listen'=\"{listen}\"\n")),
        ("escaped", format!("local_api.listen = \"{escaped}\"\n")),
        ("many lines", format!("local_api.listen = \"\"\"\\\n    {listen}\"\"\"\n")),
        ("CRLF", format!("[local_api]\r\nlisten = \"{listen}\"\r\n")),
        (
            "a comment that lies",
            format!("[local_api]\n# listen = '10.9.9.9:1'\nlisten='{listen}'\n"),
        ),
    ] {
        let onegate = TestOneGate::start();
        let lines = onegate.variables();
        let lines: String = lines.iter().map(|(key, value)| format!("{key}='{value}'\n")).collect();
        let zone = "zone.name = 'madrid'\nzone.prefixes = ['10.10.11.0/24']\n";
        let mut vm = Vm::with_configuration(&format!("{zone}{api}"), &lines);
        vm.says(0);
        vm.run();
        let word = base64_word(&listen);
        let begun = Instant::now();
        while onegate.attribute(ONEGATE_VM, "ZONEMESH_GATEWAY").as_ref() != Some(&word) {
            let late = begun.elapsed() > Duration::from_secs(30);
            assert!(!late, "{form}: {}", text(&vm.read("log")));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Whatever an editor makes of the file, it is an edit, and no edit is written over.
#[test]
fn a_file_that_an_editor_has_saved_in_another_form_is_somebodys_and_stays() {
    let vm = Vm::with_configuration(TOML, "");
    assert!(vm.says(0).contains("written from CONTEXT"));
    let written = text(&vm.read("zonemesh.toml"));
    let without_first = written.split_once('\n').unwrap().1.to_owned();
    for (saved, said) in [
        (written.replace('\n', "\r\n").into_bytes(), "edited here"),
        ([b"\xef\xbb\xbf", written.as_bytes()].concat(), "written by hand"),
        (format!("{written}\n").into_bytes(), "edited here"),
        (written.trim_end().as_bytes().to_vec(), "edited here"),
        (format!("# mine\n{without_first}").into_bytes(), "written by hand"),
        (b"# nothing\n".to_vec(), "written by hand"),
        (b"\xff\xfe[\0".to_vec(), "written by hand"),
    ] {
        vm.write("zonemesh.toml", &saved);
        for _boot in 0..2 {
            let words = vm.says(0);
            assert!(words.contains(said) && words.contains("and stays"), "{said}: {words}");
            assert_eq!(vm.read("zonemesh.toml"), saved);
        }
    }
    // A link to where it is kept is a way to have it elsewhere.
    vm.write("kept.toml", format!("{written}# mine\n").as_bytes());
    std::fs::remove_file(vm.path("zonemesh.toml")).unwrap();
    std::os::unix::fs::symlink(vm.path("kept.toml"), vm.path("zonemesh.toml")).unwrap();
    assert!(vm.says(0).contains("edited here"));
    assert!(std::fs::symlink_metadata(vm.path("zonemesh.toml")).unwrap().is_symlink());
}

#[test]
fn lines_of_others_and_names_that_do_nothing_are_said_and_the_rest_is_read() {
    let long = format!("BLOB='{}'\n", "x".repeat(1 << 20));
    for foreign in [
        &b"K8S-TOKEN='x'\nMY.VAR='1'\n9PORT='1'\n\xef\xbb\xbf"[..],
        b"NUL='a\0b'\n\0\n",
        b"MOTD='don't panic'\nCMD=$(touch pwned)\nA=\"b\n",
        b"WINDOWS='1'\r\n",
        long.as_bytes(),
    ] {
        let ours = format!("ONEAPP_ZONEMESH_CONFIG='{TOML}'\nONEAPP_ZONEMSH_ENDPOINT='x'\n");
        let vm = Vm::new(&[foreign, ours.as_bytes()].concat());
        let said = vm.says(0);
        let meant = "ONEAPP_ZONEMSH_ENDPOINT has no effect: it is no key; did you mean ONEAPP_ZONEMESH_ENDPOINT?";
        assert!(said.contains(meant) && said.len() < 4000, "{} bytes: {said}", said.len());
        let config = Config::parse(&text(&vm.read("zonemesh.toml")), "test").unwrap();
        assert_eq!(config.zone.name.as_str(), "madrid");
        assert!(!vm.folder.path().join("pwned").exists());
    }
}

#[test]
fn a_context_or_a_configuration_that_is_no_file_is_told_and_not_waited_for() {
    let vm = Vm::with_configuration(TOML, "");
    nix::unistd::mkfifo(vm.path("pipe").as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (file, said) in [
        (vm.path("pipe"), "it is a pipe, and no regular file"),
        (vm.path("."), "it is a folder, and no regular file"),
        ("/dev/zero".to_owned(), "it is a device or a socket, and no regular file"),
    ] {
        let done = vm.command("configure", &file).output().unwrap();
        let errors = text(&done.stderr);
        assert_eq!(done.status.code(), Some(WRONG), "{errors}");
        assert!(errors.contains(said) && errors.contains(&file), "{errors}");
        std::fs::remove_file(vm.path("zonemesh.toml")).unwrap_or_default();
        std::os::unix::fs::symlink(&file, vm.path("zonemesh.toml")).unwrap();
        assert!(vm.says(1).contains(said));
    }
}

#[test]
fn a_megabyte_in_any_value_is_told_in_a_few_words_and_steers_no_terminal() {
    let long = "\u{202e}\u{1b}[2Jy ".repeat(1 << 17);
    for key in [
        "ONEAPP_ZONEMESH_INVITATION",
        "ONEAPP_ZONEMESH_CONFIG",
        "ONEAPP_ZONEMESH_ENDPOINT",
        "ONEAPP_ZONEMESH_LISTEN",
        "ONEAPP_FL_LOG_LEVEL",
        "ONEAPP_WG_PEER_ENDPOINT",
    ] {
        let said = Vm::new(format!("{key}='{long}'\n").as_bytes()).says(WRONG);
        assert!(said.contains(key) && said.len() < 3000, "{key}: {} bytes", said.len());
        assert!(!said.contains(['\u{202e}', '\u{1b}']), "{key}: {said:?}");
    }
    let toml = format!("{TOML}[log]\nlevel = \"{}\"\n", "y".repeat(1 << 20));
    let said = Vm::with_configuration(&toml, "").says(WRONG);
    assert!(said.contains("log.level") && said.len() < 8000, "{} bytes", said.len());
    let address = format!("ETH0_IP='{}'\nONEAPP_ZONEMESH_LISTEN='10.1.1.1'\n", "9".repeat(1 << 20));
    let said = Vm::new(address.as_bytes()).says(WRONG);
    assert!(said.contains("seen: ETH0_IP") && said.len() < 3000, "{} bytes", said.len());
}
