//! The stages' functions, run against stand-ins for the system and for our programs.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;
use zonemesh_context::ContextKey;
use zonemesh_context::keys::KEYS;

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
fn every_key_of_the_table_reaches_the_programs_and_no_other_variable_does() {
    let vm = Vm::of("service_ZonemeshGateway");
    let names = || KEYS.iter().flat_map(ContextKey::names).chain(["ONEAPP_ZONEMESH_MISTYPED"]);
    // The token of OneGate is read from a file.
    let named = names().filter(|name| *name != "TOKENTXT");
    let context: Vec<(&str, &str)> =
        named.chain(["OTHER", "PASSWORD"]).map(|name| (name, "x")).collect();
    std::fs::write(vm.file("one_env"), "export TOKENTXT=\"x\"\n").unwrap();
    let output = vm.run(&context, "zonemesh_write_context \"$ZONEMESH_ETC/context.sh\"");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let written = read(&vm.file("etc/context.sh"));
    let written: BTreeSet<&str> =
        written.lines().filter_map(|line| line.strip_suffix("='x'")).collect();
    assert_eq!(written, names().collect());
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
fn a_gateway_takes_all_networks_of_its_context_and_no_script_looks_into_a_value() {
    let vm = Vm::of("service_ZonemeshGateway");
    let evil = "$(touch \"$ZONEMESH_ETC.pwned\") `id` it's";
    let context = [
        ("ONEAPP_ZONEMESH_INVITATION", "aW52aXRhdGlvbg=="),
        ("ONEAPP_ZONEMESH_ENDPOINT", evil),
        ("ETH0_IP", "10.10.10.1"),
        ("ETH1_IP6", "2001:db8::1"),
        ("ETH1_ALIAS0_IP", "203.0.113.9"),
        ("PASSWORD", "hunter2"),
    ];
    let judge = "zonemesh-gateway() { [ \"$1 $2\" = 'configure --context' ] && cat \"$3\"; }
        service_configure";
    let output = vm.run(&context, judge);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let kept = read(&vm.file("etc/context.sh"));
    assert_eq!(text(&output.stdout), kept, "what was judged is what is kept");
    for line in ["ETH0_IP='10.10.10.1'", "ETH1_IP6='2001:db8::1'", "ETH1_ALIAS0_IP='203.0.113.9'"] {
        assert!(kept.contains(line), "{kept}");
    }
    assert!(!kept.contains("hunter2") && !vm.file("etc.pwned").exists(), "{kept}");
    assert_eq!(
        std::fs::metadata(vm.file("etc/context.sh")).unwrap().permissions().mode() & 0o777,
        0o600
    );
    // What it refuses leaves the settings before, and no copy of a secret.
    let other = [("ONEAPP_ZONEMESH_INVITATION", "aHVudGVyMg==")];
    let output = vm.run(&other, "zonemesh-gateway() { return 7; }; service_configure");
    assert!(text(&output.stderr).contains("correct it and reboot"), "{}", text(&output.stderr));
    assert_eq!(read(&vm.file("etc/context.sh")), kept);
    let files =
        std::fs::read_dir(vm.file("etc")).unwrap().map(|entry| read(&entry.unwrap().path()));
    assert!(files.into_iter().all(|text| !text.contains("aHVudGVyMg==")));
}

#[test]
fn a_gateway_that_cannot_be_configured_now_is_asked_again_and_not_called_refused() {
    let vm = Vm::of("service_ZonemeshGateway");
    let late = "zonemesh-gateway() {
            echo x >>\"$ZONEMESH_ETC.tried\"
            [ \"$(wc -l <\"$ZONEMESH_ETC.tried\")\" -gt 2 ] || return 1
        }; service_configure";
    let output = vm.run(&[("ONEAPP_ZONEMESH_INVITATION", "x")], late);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(vm.file("etc/context.sh").exists());
}

#[test]
fn a_gateway_starts_its_daemon_and_its_companion_and_tells_onegate_nothing_itself() {
    let vm = Vm::of("service_ZonemeshGateway");
    let script = "systemctl() { echo \"$*\" >>\"$ZONEMESH_ETC.systemctl\"; }
        onegate() { echo \"onegate $*\"; }
        mkdir \"$ZONEMESH_ETC\"; : >\"$ZONEMESH_ETC/context.sh.changed\"; service_bootstrap";
    let output = vm.run(&[("ONEGATE_ENDPOINT", "http://169.254.16.9:5030")], script);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!text(&output.stdout).contains("onegate"));
    let calls = read(&vm.file("etc.systemctl"));
    for unit in ["zonemeshd", "zonemesh-gateway"] {
        assert!(
            calls.contains(&format!("enable {unit}.service\nrestart --no-block {unit}.service"))
        );
        assert!(calls.contains(&format!("is-active --quiet {unit}.service")), "{calls}");
    }
}

#[test]
fn what_runs_with_the_settings_that_there_are_is_not_restarted() {
    let vm = Vm::of("service_FlowerSuperNode");
    let both = "zonemesh-supernode() { return 10; }
        systemctl() { echo \"$*\" >>\"$ZONEMESH_ETC.systemctl\"; }
        service_configure; service_bootstrap";
    let restarts = |context: &[(&str, &str)]| {
        let output = vm.run(context, both);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let calls = read(&vm.file("etc.systemctl"));
        std::fs::remove_file(vm.file("etc.systemctl")).unwrap();
        calls.matches("restart").count()
    };
    let given = ("ONEAPP_ZONEMESH_FEDERATION", "health-eu");
    assert_eq!(restarts(&[given]), 1);
    // Another SSH key is no setting of ours.
    assert_eq!(restarts(&[given, ("SSH_PUBLIC_KEY", "ssh-ed25519 AAAA")]), 0);
    assert_eq!(restarts(&[("ONEAPP_ZONEMESH_FEDERATION", "other")]), 1);
    // A stage was cut off before it restarted anything.
    std::fs::write(vm.file("etc/context.sh.changed"), "").unwrap();
    assert_eq!(restarts(&[("ONEAPP_ZONEMESH_FEDERATION", "other")]), 1);
}

#[test]
fn a_log_pipe_that_a_power_cut_has_left_fails_no_later_stage() {
    let vm = Vm::of("service_FlowerSuperNode");
    let (logs, pid) = (vm.file("logs"), vm.file("pid"));
    std::fs::create_dir(&logs).unwrap();
    let pipe = logs.join("one_service_log.pipe");
    let context = [
        ("ONE_SERVICE_LOGDIR", logs.to_str().unwrap()),
        ("ONE_SERVICE_PIDFILE", pid.to_str().unwrap()),
    ];
    let own = std::process::id().to_string();
    for (running, stays) in [(None, false), (Some("4194999"), false), (Some(own.as_str()), true)] {
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        if let Some(running) = running {
            std::fs::write(&pid, running).unwrap();
        }
        let output = vm.run(&context, ":");
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(pipe.exists(), stays, "{running:?}");
        drop(std::fs::remove_file(&pipe));
    }
}
