//! The appliance images: their scripts run against stand-ins, their templates are validated.
//!
//! Promises that every script is valid bash, that what the appliances ask is what our programs
//! read, and that Debian's Packer (1.6) accepts each folder without its `required_plugins` block,
//! which that release does not know. A real `packer build` is not done here: it needs KVM.
//! Specification: one-apps' service framework; packer/README.md.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const APPLIANCES: [(&str, &str); 3] = [
    ("service_ZonemeshGateway", "ZonemeshGateway"),
    ("service_FlowerSuperLink", "FlowerSuperLink"),
    ("service_FlowerSuperNode", "FlowerSuperNode"),
];
const PACKER_MISSING: &str = "this test needs Packer: apt-get install packer";

fn packer() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packer")
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).expect("a file of the project")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A VM as one-apps' service script presents it to an appliance.sh.
struct Vm {
    folder: TempDir,
    appliance: PathBuf,
}

impl Vm {
    fn of(appliance: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { folder, appliance: packer().join(appliance).join("appliance.sh") }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `script` after the appliance was read; `msg` and the system's tools are stand-ins.
    fn run(&self, context: &[(&str, &str)], script: &str) -> Output {
        let prelude = format!(
            "set -e; umask 0077; msg() {{ echo \"$@\" >&2; }}; sysctl() {{ :; }}; . '{}'; ",
            self.appliance.display()
        );
        Command::new("bash")
            .args(["-c", &(prelude + script)])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("ZONEMESH_LIB", packer().join("base/zonemesh.sh"))
            .env("ZONEMESH_ETC", self.file("etc"))
            .env("ZONEMESH_ONE_ENV", self.file("one_env"))
            .env("ONE_SERVICE_REPORT", self.file("report"))
            .envs(context.iter().copied())
            .output()
            .expect("bash runs")
    }
}

/// Every script below packer/: by its first line or its name.
fn scripts() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![packer()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder of the project") {
            let path = entry.expect("a readable folder").path();
            let is_shell = path.extension() == Some(OsStr::new("sh"));
            if path.is_dir() {
                folders.push(path);
            } else if is_shell || read(&path).starts_with("#!") {
                found.push(path);
            }
        }
    }
    found
}

/// (name, stage, description, user input) of each parameter.
fn parameters(appliance: &str) -> Vec<[String; 4]> {
    let output = Vm::of(appliance).run(&[], "printf '%s\\0' \"${ONE_SERVICE_PARAMS[@]}\"");
    let listed = text(&output.stdout);
    let words: Vec<_> = listed.trim_end_matches('\0').split('\0').map(ToOwned::to_owned).collect();
    assert_eq!(words.len() % 4, 0, "{appliance}: ONE_SERVICE_PARAMS has groups of four");
    words.chunks_exact(4).map(|four| [0, 1, 2, 3].map(|at: usize| four[at].clone())).collect()
}

/// The keys that the companions read.
fn companion_keys() -> BTreeSet<String> {
    let settings = read(&packer().join("../crates/appliance/src/settings.rs"));
    let quoted = settings.split('"').filter(|word| word.starts_with("ONEAPP_ZONEMESH_"));
    quoted.map(ToOwned::to_owned).collect()
}

#[test]
fn every_script_is_valid_bash() {
    let scripts = scripts();
    assert!(scripts.len() >= 20, "{scripts:?}");
    for script in scripts {
        let output = Command::new("bash").arg("-n").arg(&script).output().unwrap();
        assert!(output.status.success(), "{}: {}", script.display(), text(&output.stderr));
        let mode = std::fs::metadata(&script).unwrap().permissions().mode();
        let executable = read(&script).starts_with("#!");
        assert_eq!(mode & 0o111 != 0, executable, "{}: mode {mode:o}", script.display());
    }
}

#[test]
fn every_appliance_has_the_parts_that_one_apps_calls() {
    for (folder, _name) in APPLIANCES {
        let output = Vm::of(folder).run(
            &[],
            "declare -F service_install service_configure service_bootstrap service_cleanup
             service_cleanup
             printf '%s\n' \"${ONE_SERVICE_NAME:?}\" \"${ONE_SERVICE_VERSION:?}\" \
                 \"${ONE_SERVICE_SHORT_DESCRIPTION:?}\" \"${ONE_SERVICE_DESCRIPTION:?}\"",
        );
        assert!(output.status.success(), "{folder}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout).lines().count(), 8, "{folder}");
    }
}

#[test]
fn what_an_appliance_asks_is_what_its_program_reads() {
    let known = companion_keys();
    for (folder, _name) in APPLIANCES {
        let script = read(&packer().join(folder).join("appliance.sh"));
        for [name, stage, description, input] in parameters(folder) {
            let read_here = script.matches(&format!("${{{name}:-}}")).count() > 0;
            assert!(known.contains(&name) || read_here, "{folder}: nobody reads {name}");
            assert_eq!(stage, "configure", "{folder}: {name}");
            assert!(!description.is_empty(), "{folder}: {name}");
            assert!(["M|text", "O|text", "M|text64", "M|password"].contains(&input.as_str()));
            assert_eq!(name.ends_with("_TOKEN"), input.ends_with("password"), "{folder}: {name}");
        }
    }
    let asked = |folder| parameters(folder).into_iter().map(|four| four[0].clone());
    for name in ["FEDERATION", "TOKEN", "GATEWAY", "GATEWAY_FINGERPRINT"] {
        let name = format!("ONEAPP_ZONEMESH_{name}");
        assert!(asked("service_FlowerSuperLink").any(|asked| asked == name), "{name}");
    }
}

#[test]
fn images_hold_programs_and_units_that_exist() {
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().exec().unwrap();
    let targets = metadata.packages.iter().flat_map(|package| &package.targets);
    let programs: BTreeSet<_> = targets.map(|target| target.name.clone()).collect();
    for (folder, _name) in APPLIANCES {
        let variables = read(&packer().join(folder).join("variables.pkr.hcl"));
        let quoted: Vec<_> = variables.split('"').skip(1).step_by(2).collect();
        let unit = quoted.iter().find(|word| word.ends_with(".service")).unwrap();
        let file = read(&packer().join("../configs").join(unit));
        let started = file.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        let program = started.split(' ').next().unwrap().rsplit('/').next().unwrap();
        assert!(quoted.contains(&program), "{folder}: {unit} starts {program}");
        assert!(programs.contains(program), "{folder}: {program} is no program of ours");
        let script = read(&packer().join(folder).join("appliance.sh"));
        assert!(script.contains(&format!("zonemesh_start {unit}")), "{folder}");
    }
}

#[test]
fn settings_survive_every_quote_and_only_root_reads_them() {
    let vm = Vm::of("service_FlowerSuperLink");
    let evil = "it's $(touch pwned) \"q\" `id` \\ , [x]\nsecond line";
    std::fs::write(vm.file("one_env"), "export VMID=\"7\"\nexport TOKENTXT=\"bXktdG9rZW4=\"\n")
        .unwrap();
    let context = [("ONEAPP_ZONEMESH_NODE_CONFIG", evil), ("VMID", "7"), ("OTHER", "no")];
    let output = vm.run(&context, "zonemesh_write_context \"$ZONEMESH_ETC/context.sh\"");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let file = vm.file("etc/context.sh");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let script = format!(
        ". '{}'; printf '%s' \"$ONEAPP_ZONEMESH_NODE_CONFIG|$VMID|$TOKENTXT|${{OTHER:-}}\"",
        file.display()
    );
    let output = Command::new("bash").args(["-c", &script]).env_clear().output().unwrap();
    assert_eq!(text(&output.stdout), format!("{evil}|7|bXktdG9rZW4=|"));
}

/// What the real client prints for `service show --json --extended`, shortened.
const SERVICE: &str = r#"{"SERVICE":{"name":"site","roles":[
    {"name":"gateway","nodes":[{"deploy_id":3,"vm_info":{"VM":{"USER_TEMPLATE":{
        "ZONEMESH_GATEWAY":"W2ZkMDA6OjFdOjUxODIyIHNoYTI1NjphYg==","READY":"YES"}}}}]},
    {"name":"supernode","nodes":[{"deploy_id":4,"vm_info":{"VM":{"USER_TEMPLATE":{}}}}]},
    {"name":"idle","nodes":[]}]}}"#;

const ASK: &str =
    "zonemesh_find_gateway; echo \"$ONEAPP_ZONEMESH_GATEWAY $ONEAPP_ZONEMESH_GATEWAY_FINGERPRINT\"";

#[test]
fn the_gateway_of_the_service_is_found_through_onegate() {
    let vm = Vm::of("service_FlowerSuperNode");
    let ask = format!("onegate() {{ cat <<'EOF'\n{SERVICE}\nEOF\n}}; {ASK}");
    let output = vm.run(&[], &ask);
    assert_eq!(text(&output.stdout), "[fd00::1]:51822 sha256:ab\n", "{}", text(&output.stderr));
    let given = [
        ("ONEAPP_ZONEMESH_GATEWAY", "10.10.10.1:51822"),
        ("ONEAPP_ZONEMESH_GATEWAY_FINGERPRINT", "sha256:cd"),
    ];
    let output = vm.run(&given, &ask);
    assert_eq!(text(&output.stdout), "10.10.10.1:51822 sha256:cd\n");
}

#[test]
fn without_a_gateway_the_message_says_what_to_set() {
    let vm = Vm::of("service_FlowerSuperNode");
    for onegate in ["echo '{\"SERVICE\":{\"roles\":[]}}'", "echo 'ERROR:'; return 255", "false"] {
        let output = vm.run(&[], &format!("onegate() {{ {onegate}; }}; {ASK}"));
        assert!(!output.status.success(), "{onegate}");
        let said = text(&output.stderr);
        assert!(said.contains("set ONEAPP_ZONEMESH_GATEWAY and"), "{onegate}: {said}");
    }
}

#[test]
fn settings_that_the_companion_refuses_never_replace_good_ones() {
    let vm = Vm::of("service_FlowerSuperLink");
    let context = [
        ("ONEAPP_ZONEMESH_GATEWAY", "10.10.10.1:51822"),
        ("ONEAPP_ZONEMESH_GATEWAY_FINGERPRINT", "sha256:cd"),
        ("ONEAPP_ZONEMESH_FEDERATION", "good"),
    ];
    let plan = |verdict: &str| format!("zonemesh-superlink() {{ {verdict}; }}; service_configure");
    let output = vm.run(&context, &plan("grep -q \"FEDERATION='good'\" \"$3\""));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = vm.run(
        &[&context[..2], &[("ONEAPP_ZONEMESH_FEDERATION", "Bad")]].concat(),
        &plan("return 7"),
    );
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("correct it and reboot"));
    let kept = read(&vm.file("etc/context.sh"));
    assert!(kept.contains("FEDERATION='good'") && kept.contains("FLOWER_USER='flower'"), "{kept}");
    assert!(!vm.file("etc/context.sh.new").exists());
}

#[test]
fn a_wrong_gateway_configuration_never_replaces_a_good_one() {
    let vm = Vm::of("service_ZonemeshGateway");
    let configure = |verdict: &str| format!("zonemesh() {{ {verdict}; }}; service_configure");
    let good = [("ONEAPP_ZONEMESH_CONFIG", "W3pvbmVdCg==")];
    assert!(vm.run(&good, &configure("grep -q zone \"$3\"")).status.success());
    let file = vm.file("etc/zonemesh.toml");
    assert_eq!(read(&file), "[zone]\n");
    let other = [("ONEAPP_ZONEMESH_CONFIG", "YmFkCg==")];
    assert!(!vm.run(&other, &configure("return 7")).status.success());
    let output = vm.run(&[("ONEAPP_ZONEMESH_CONFIG", "[zone]")], &configure("return 0"));
    assert!(text(&output.stderr).contains("not base64"), "{}", text(&output.stderr));
    assert!(
        vm.run(&[], &configure("return 7")).status.success(),
        "an empty CONTEXT changes nothing"
    );
    assert_eq!(read(&file), "[zone]\n");
    assert!(!vm.file("etc/zonemesh.toml.new").exists());
}

#[test]
fn the_gateway_publishes_what_the_other_roles_can_read() {
    let vm = Vm::of("service_ZonemeshGateway");
    std::fs::create_dir(vm.file("etc")).unwrap();
    let toml = "[zone]\nlisten = \"no\"\n[local_api]\nlisten = \"[::]:51822\" # \"all\"\n[log]\n";
    std::fs::write(vm.file("etc/zonemesh.toml"), toml).unwrap();
    let script = "onegate() { printf '%s\n' \"$*\"; }; gateway_listen
                  gateway_publish \"$(gateway_listen)\" sha256:ab";
    let context = [("ETH0_IP", "10.10.10.1"), ("ONEGATE_ENDPOINT", "http://169.254.16.9:5030")];
    let output = vm.run(&context, script);
    let said = text(&output.stdout);
    let published = said.lines().nth(1).unwrap().strip_prefix("vm update --data ").unwrap();
    assert_eq!(said.lines().next(), Some("10.10.10.1:51822"));
    assert!(!published.contains([',', '[', ']', '\\']) && !published.contains("READY"));
    let value = published.strip_prefix("ZONEMESH_GATEWAY=").unwrap();
    let service = SERVICE.replace("W2ZkMDA6OjFdOjUxODIyIHNoYTI1NjphYg==", value);
    let ask = format!("onegate() {{ cat <<'EOF'\n{service}\nEOF\n}}; {ASK}");
    let output = Vm::of("service_FlowerSuperNode").run(&[], &ask);
    assert_eq!(text(&output.stdout), "10.10.10.1:51822 sha256:ab\n");
}

#[test]
fn the_fingerprint_is_that_of_the_key_which_is_shown() {
    let vm = Vm::of("service_ZonemeshGateway");
    let make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x \
                -keyout \"$ZONEMESH_ETC.key\" -out \"$ZONEMESH_ETC.pem\" 2>/dev/null
                openssl pkey -in \"$ZONEMESH_ETC.key\" -pubout -outform DER | sha256sum";
    let digest = text(&vm.run(&[], make).stdout);
    let mut server = Command::new("openssl")
        .args(["s_server", "-accept", "127.0.0.1:0", "-naccept", "1", "-tls1_3", "-key"])
        .args([vm.file("etc.key").as_os_str(), OsStr::new("-cert"), vm.file("etc.pem").as_os_str()])
        // At the end of its input the server hangs up.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("this test needs openssl: apt-get install openssl");
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines().map_while(Result::ok);
    let address = lines.find_map(|line| line.strip_prefix("ACCEPT ").map(ToOwned::to_owned));
    let output = vm.run(&[], &format!("gateway_fingerprint {}", address.unwrap()));
    server.kill().unwrap();
    server.wait().unwrap();
    let expected = format!("sha256:{}\n", digest.split(' ').next().unwrap());
    assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));
    let output = vm.run(&[], "gateway_fingerprint 127.0.0.1:1 || exit 9");
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(9), ""));
    assert!(text(&output.stderr).contains("shows no certificate"));
}

#[test]
fn the_build_context_opens_ssh_and_the_image_closes_it() {
    let output = Command::new(packer().join("base/gen_context")).output().unwrap();
    let context = text(&output.stdout);
    let script = context.lines().find_map(|line| {
        line.strip_prefix("START_SCRIPT_BASE64='").and_then(|rest| rest.strip_suffix('\''))
    });
    let decode = format!("base64 -d <<<'{}' | tee /dev/stderr | bash -n", script.unwrap());
    let output = Command::new("bash").args(["-c", &decode]).output().unwrap();
    assert!(output.status.success());
    let opened = text(&output.stderr);
    let file = opened.lines().find_map(|line| line.split("> ").nth(1)?.split(' ').next()).unwrap();
    assert!(opened.contains("PasswordAuthentication yes"));
    let closing = read(&packer().join("base/81-configure-ssh.sh"));
    assert!(closing.contains(&format!("rm -f {file}")), "{file} stays in the image");
}

/// A folder with its links resolved, without required_plugins, and everything it refers to.
fn copy_for_packer(folder: &str) -> TempDir {
    let copy = tempfile::tempdir().expect("a temporary folder");
    let script = "cp -rL \"$1/$2\" \"$3/image\" && rm \"$3/image/plugins.pkr.hcl\"
        mkdir -p \"$3/one-apps/appliances/\"{scripts,lib} \"$3/programs\" && cd \"$3\"
        touch one-apps/appliances/scripts/net-9{0-service-appliance,9-report-ready}
        touch one-apps/appliances/lib/{common,functions}.sh one-apps/appliances/service.sh
        touch programs/zonemesh{d,,-superlink,-supernode} base.qcow2";
    let done = Command::new("bash")
        .args(["-ec", script, "copy"])
        .args([packer().as_os_str(), OsStr::new(folder), copy.path().as_os_str()])
        .status()
        .expect("bash runs");
    assert!(done.success());
    copy
}

fn validate(copy: &TempDir, options: &[&str]) -> Output {
    let at = |name: &str| copy.path().join(name).display().to_string();
    let configs = packer().join("../configs").display().to_string();
    let variables = [
        ("input_dir", at("image")),
        ("output_dir", at("output")),
        ("base_image", at("base.qcow2")),
        ("one_apps_dir", at("one-apps")),
        ("programs_dir", at("programs")),
        ("configs_dir", configs),
    ];
    let variables =
        variables.iter().flat_map(|(name, value)| ["-var".to_owned(), format!("{name}={value}")]);
    Command::new("packer")
        .arg("validate")
        .args(options)
        .args(variables)
        .arg(copy.path().join("image"))
        .env("CHECKPOINT_DISABLE", "1")
        .output()
        .expect(PACKER_MISSING)
}

#[test]
fn packer_accepts_every_folder_and_its_form() {
    for (folder, _name) in APPLIANCES {
        let copy = copy_for_packer(folder);
        for options in [&["-syntax-only"][..], &[]] {
            let output = validate(&copy, options);
            assert!(output.status.success(), "{folder} {options:?}: {}", text(&output.stdout));
        }
        let output = Command::new("packer")
            .args(["fmt", "-check", "-diff"])
            .arg(copy.path().join("image"))
            .output()
            .expect(PACKER_MISSING);
        assert!(output.status.success(), "{folder}: {}", text(&output.stdout));
    }
}

#[test]
fn packer_refuses_a_damaged_copy() {
    let damages = [
        ("qemuargs = [", "qemuarg = ["),
        ("var.base_image", "var.base_imag"),
        ("lib/common.sh", "lib/commons.sh"),
        ("source \"qemu\" \"appliance\" {", "source \"qemu\" \"appliance\" {{"),
    ];
    for (good, bad) in damages {
        let copy = copy_for_packer("service_ZonemeshGateway");
        let file = copy.path().join("image/ZonemeshGateway.pkr.hcl");
        let before = read(&file);
        assert!(before.contains(good), "{good}");
        std::fs::write(&file, before.replace(good, bad)).unwrap();
        assert!(!validate(&copy, &[]).status.success(), "{bad}");
    }
}

#[test]
fn only_one_file_asks_for_plugins_and_the_rest_is_shared() {
    for (folder, name) in APPLIANCES {
        let folder = packer().join(folder);
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_str().unwrap().to_owned();
            let own = ["variables.pkr.hcl", "appliance.sh"].contains(&file.as_str());
            assert_eq!(path.is_symlink(), !own, "{}", path.display());
            let asks = read(&path).contains("required_plugins");
            assert_eq!(asks, file == "plugins.pkr.hcl", "{}", path.display());
        }
        assert!(folder.join(format!("{name}.pkr.hcl")).exists());
    }
    let build = read(&packer().join("base/build.pkr.hcl"));
    for unknown in ["cpu_model", "firmware", "use_pflash"] {
        assert!(!build.contains(unknown), "Packer 1.6 does not know {unknown}");
    }
}
