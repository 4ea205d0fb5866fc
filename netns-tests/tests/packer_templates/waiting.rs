//! The stages on a machine where nothing is ready yet: the stand-ins fail first, or for long.
//!
//! Promises that "not yet" ends no stage, that a refusal does, and that each leaves the unit and the
//! settings as it should.

use std::process::Output;

use crate::stages::Vm;
use crate::{read, text};

const GIVEN: [(&str, &str); 4] = [
    ("ONEAPP_ZONEMESH_GATEWAY", "10.10.11.1:51822"),
    ("ONEAPP_ZONEMESH_TOKEN", "zmt1.x.y"),
    ("ONEAPP_ZONEMESH_FEDERATION", "health-eu"),
    ("ETH0_IP", "10.10.11.6"),
];

/// A systemctl that notes its calls and whose `is-active` and `restart` fail as often as told.
const SYSTEMCTL: &str = r#"
    systemctl() {
        echo "$*" >>"$ZONEMESH_ETC.systemctl"
        case "$1" in
        restart | is-active)
            local failures
            failures="$(cat "$ZONEMESH_ETC.$1" 2>/dev/null || echo 0)"
            [ "$failures" -gt 0 ] || return 0
            echo $((failures - 1)) >"$ZONEMESH_ETC.$1"
            return 3
            ;;
        esac
    }
"#;

fn well(output: &Output) {
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// What a SuperLink's `plan` prints, whatever it ends with.
const PLAN: &str = r#"{"register":{"address":"10.10.10.5","fleet_port":9092,"control_port":9093}}"#;

/// A stage with a companion that ends with these codes, one after another; the last one stays.
fn stage(vm: &Vm, program: &str, codes: &str, stage: &str) -> Output {
    let script = format!(
        "{SYSTEMCTL}
        codes=({codes}); {program}() {{
            local code=\"${{codes[0]}}\"
            [ \"${{#codes[@]}}\" = 1 ] || codes=(\"${{codes[@]:1}}\")
            [ \"$1\" != plan ] || printf '%s\\n' '{PLAN}'
            return \"$code\"
        }}
        {stage}"
    );
    vm.run(&GIVEN, &script)
}

#[test]
fn a_companion_that_says_not_yet_is_configured_and_started() {
    for (folder, program) in [
        ("service_FlowerSuperNode", "zonemesh-supernode"),
        ("service_FlowerSuperLink", "zonemesh-superlink"),
    ] {
        let vm = Vm::of(folder);
        // Not yet; killed for memory; broken, then not yet.
        for codes in ["10", "137", "1 10"] {
            well(&stage(&vm, program, codes, "service_configure"));
            assert!(read(&vm.file("etc/context.sh")).contains("FEDERATION='health-eu'"), "{codes}");
            std::fs::remove_file(vm.file("etc/context.sh")).unwrap();
        }
        // The unit is restarted, and becomes active, at the third try; nobody listens meanwhile.
        std::fs::write(vm.file("etc.restart"), "2").unwrap();
        std::fs::write(vm.file("etc.is-active"), "2").unwrap();
        let nobody = "ONEAPP_ZONEMESH_STATE_DIR=\"$ZONEMESH_ETC\"; service_bootstrap";
        well(&stage(&vm, program, "10", nobody));
        let calls = read(&vm.file("etc.systemctl"));
        let enabled = format!("enable {program}.service");
        assert!(calls.contains(&enabled), "{calls}");
        let tries = calls.matches("restart --no-block").count();
        assert_eq!((tries, calls.matches("is-active").count()), (3, 3), "{calls}");
        let report = read(&vm.file("report"));
        assert!(report.contains("federation = health-eu\n"));
        let is_known = report.contains("supernodes = 10.10.10.5:9092\n");
        assert_eq!(is_known, program == "zonemesh-superlink", "{report}");
    }
}

#[test]
fn a_refusal_ends_the_stage_and_leaves_nothing_behind() {
    for code in ["2", "4", "6", "7"] {
        let vm = Vm::of("service_FlowerSuperNode");
        let output = stage(&vm, "zonemesh-supernode", code, "service_configure");
        assert!(!output.status.success(), "{code}");
        assert!(text(&output.stderr).contains("refuses the CONTEXT"), "{code}");
        assert!(!vm.file("etc/context.sh.new").exists(), "{code}");
        assert!(!vm.file("etc/context.sh").exists(), "{code}");
    }
}

#[test]
fn a_companion_that_never_becomes_active_fails_the_bootstrap() {
    let vm = Vm::of("service_FlowerSuperNode");
    std::fs::write(vm.file("etc.is-active"), "1000").unwrap();
    let output = stage(&vm, "zonemesh-supernode", "0", "service_bootstrap");
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("the companion runs: not after 60 s"));
}
