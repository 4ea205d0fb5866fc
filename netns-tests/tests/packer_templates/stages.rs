//! The stages' functions, run against stand-ins for the system and for our programs.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::{packer, read, text};

/// A VM as one-apps' service script presents it to an appliance.sh.
pub(crate) struct Vm {
    folder: TempDir,
    appliance: PathBuf,
}

impl Vm {
    pub(crate) fn of(appliance: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { folder, appliance: packer().join(appliance).join("appliance.sh") }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `script` after the appliance was read; `msg` and the system's tools are stand-ins. As in
    /// one-apps, `msg error` returns 1. Nobody sleeps.
    pub(crate) fn run(&self, context: &[(&str, &str)], script: &str) -> Output {
        let prelude = format!(
            "set -e; umask 0077; msg() {{ echo \"$@\" >&2; [ \"$1\" != error ]; }}
            sysctl() {{ :; }}; sleep() {{ :; }}; . '{}'; ",
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

#[test]
fn without_a_gateway_in_context_the_companion_is_the_one_that_asks_onegate() {
    for appliance in ["service_FlowerSuperNode", "service_FlowerSuperLink"] {
        let vm = Vm::of(appliance);
        std::fs::write(vm.file("one_env"), "export TOKENTXT=\"bXktdG9rZW4=\"\n").unwrap();
        let context = [
            ("ONEAPP_ZONEMESH_TOKEN", "zmt1.x.y"),
            ("ONEAPP_ZONEMESH_FEDERATION", "good"),
            ("ONEGATE_ENDPOINT", "http://169.254.16.9:5030"),
            ("VMID", "7"),
        ];
        // A OneGate that nobody may ask here, and a companion that has found nobody yet.
        let script = "onegate() { echo \"onegate $*\"; return 255; }
            zonemesh-supernode() { return 10; }; zonemesh-superlink() { return 10; }
            service_configure";
        let output = vm.run(&context, script);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "", "{appliance} asks OneGate itself");
        let kept = read(&vm.file("etc/context.sh"));
        for line in
            ["ONEGATE_ENDPOINT='http://169.254.16.9:5030'", "VMID='7'", "TOKENTXT='bXktdG9rZW4='"]
        {
            assert!(kept.contains(line), "{kept}");
        }
        assert!(!kept.contains("ZONEMESH_GATEWAY"), "{kept}");
    }
}

#[test]
fn settings_that_the_companion_refuses_never_replace_good_ones() {
    let vm = Vm::of("service_FlowerSuperLink");
    let context = [
        ("ONEAPP_ZONEMESH_GATEWAY", "10.10.10.1:51822"),
        ("ONEAPP_ZONEMESH_TOKEN", "zmt1.x.y"),
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
                  gateway_publish \"$(gateway_listen)\"";
    let context = [("ETH0_IP", "10.10.10.1"), ("ONEGATE_ENDPOINT", "http://169.254.16.9:5030")];
    let output = vm.run(&context, script);
    let said = text(&output.stdout);
    let published = said.lines().nth(1).unwrap().strip_prefix("vm update --data ").unwrap();
    assert_eq!(said.lines().next(), Some("10.10.10.1:51822"));
    assert!(!published.contains([',', '[', ']', '\\']) && !published.contains("READY"));
    // As the companions read it: crates/appliance/src/gateway/published.rs.
    assert_eq!(published.strip_prefix("ZONEMESH_GATEWAY="), Some("MTAuMTAuMTAuMTo1MTgyMg=="));
}

#[test]
fn a_gateway_publishes_itself_once_its_local_api_shows_a_certificate() {
    let vm = Vm::of("service_ZonemeshGateway");
    let make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x \
                -keyout \"$ZONEMESH_ETC.key\" -out \"$ZONEMESH_ETC.pem\" 2>/dev/null";
    assert!(vm.run(&[], make).status.success());
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
    let output = vm.run(&[], &format!("gateway_shows_a_certificate {}", address.unwrap()));
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = vm.run(&[], "gateway_shows_a_certificate 127.0.0.1:1 || exit 9");
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(9), ""));
    assert!(text(&output.stderr).contains("shows no certificate"));
}

#[test]
fn a_gateway_founds_or_joins_with_what_its_context_says_and_shows_no_secret() {
    let vm = Vm::of("service_ZonemeshGateway");
    std::fs::create_dir(vm.file("etc")).unwrap();
    let stand_ins = "zonemesh() { echo \"zonemesh $*: $(cat)\"; }; systemctl() { :; }
        systemd-run() { echo \"systemd-run $*\"; }; gateway_found; gateway_join";
    assert_eq!(text(&vm.run(&[], stand_ins).stdout), "");
    let founder = [("ONEAPP_ZONEMESH_FOUNDING", "Zm91bmRpbmc=")];
    assert_eq!(text(&vm.run(&founder, stand_ins).stdout), "zonemesh mesh found -: Zm91bmRpbmc=\n");
    let joiner = [("ONEAPP_ZONEMESH_INVITATION", "aW52aXRhdGlvbg==")];
    let output = vm.run(&joiner, stand_ins);
    let said = text(&output.stdout);
    let file = vm.file("etc/invitation");
    assert!(said.contains(&format!("zonemesh zone join {}", file.display())), "{said}");
    assert!(!said.contains("aW52aXRhdGlvbg=="), "{said}");
    assert_eq!(read(&file), "aW52aXRhdGlvbg==\n");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let refused = vm.run(&founder, "zonemesh() { return 4; }; gateway_found");
    assert!(!refused.status.success());
}
