//! The image that is a gateway and a SuperLink: both programs judge one CONTEXT, and both are started.

use crate::stages::Vm;
use crate::{read, text};

const BOTH: &str = "service_FlowerSuperLinkGateway";
const GIVEN: [(&str, &str); 4] = [
    ("ONEAPP_ZONEMESH_INVITATION", "aW52aXRhdGlvbg=="),
    ("ONEAPP_ZONEMESH_TOKEN", "zmt1.x.y"),
    ("ONEAPP_ZONEMESH_FEDERATION", "health-eu"),
    ("ETH0_IP", "10.10.10.1"),
];

/// The gateway's program where it takes the settings, and where it does not.
const TAKES: &str = "cp \"$3\" \"$ZONEMESH_ETC/zonemesh.toml\"";
const REFUSES: &str = "return 7";

/// Programs that note how they are called, and then do this.
fn programs(superlink: &str, gateway: &str) -> String {
    format!(
        "zonemesh-superlink() {{ echo \"superlink $1\" >>\"$ZONEMESH_ETC.calls\"; {superlink}; }}
        zonemesh-gateway() {{
            echo \"gateway $1\" >>\"$ZONEMESH_ETC.calls\"
            cat \"$3\" >\"$ZONEMESH_ETC.judged\"
            {gateway}
        }}
        systemctl() {{ echo \"$*\" >>\"$ZONEMESH_ETC.systemctl\"; }}
        "
    )
}

#[test]
fn both_judge_the_same_settings_and_the_one_that_writes_comes_last() {
    let vm = Vm::of(BOTH);
    let output = vm.run(&GIVEN, &(programs("return 10", TAKES) + "service_configure"));
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(read(&vm.file("etc.calls")), "superlink plan\ngateway configure\n");
    let kept = read(&vm.file("etc/context.sh"));
    assert_eq!(read(&vm.file("etc.judged")), kept, "what was judged is what is kept");
    for line in [
        "ONEAPP_ZONEMESH_INVITATION='aW52aXRhdGlvbg=='",
        "ONEAPP_ZONEMESH_TOKEN='zmt1.x.y'",
        "ONEAPP_ZONEMESH_FLOWER_USER='flower'",
        "ONEAPP_ZONEMESH_GATEWAY_STATUS='/run/zonemesh-gateway/status.json'",
    ] {
        assert!(kept.contains(line), "{line} is not in {kept}");
    }
    assert!(!kept.contains("ONEAPP_ZONEMESH_GATEWAY="), "{kept}");
}

#[test]
fn what_one_of_the_two_refuses_changes_nothing_for_the_other() {
    for (superlink, gateway, who) in
        [(REFUSES, TAKES, "zonemesh-superlink"), ("return 0", REFUSES, "zonemesh-gateway")]
    {
        let vm = Vm::of(BOTH);
        let output = vm.run(&GIVEN, &(programs("return 0", TAKES) + "service_configure"));
        assert!(output.status.success(), "{}", text(&output.stderr));
        std::fs::remove_file(vm.file("etc/context.sh.changed")).unwrap();
        let files = || ["context.sh", "zonemesh.toml"].map(|name| read(&vm.file("etc").join(name)));
        let before = files();
        let other = [&GIVEN[..3], &[("ETH0_IP", "10.10.10.9")]].concat();
        let output = vm.run(&other, &(programs(superlink, gateway) + "service_configure"));
        assert!(!output.status.success(), "{who}");
        let said = text(&output.stderr);
        assert!(said.contains(&format!("{who} refuses the CONTEXT of this VM")), "{said}");
        assert_eq!(files(), before, "{who}");
        for left in ["context.sh.new", "context.sh.changed"] {
            assert!(!vm.file("etc").join(left).exists(), "{who}: {left}");
        }
    }
}

#[test]
fn all_three_units_are_started_and_the_report_tells_of_both() {
    let vm = Vm::of(BOTH);
    let plan =
        r#"printf '{"register":{"address":"10.10.10.1","fleet_port":8000,"control_port":8000}}'"#;
    let script = programs(plan, TAKES)
        + "onegate() { echo \"onegate $*\"; }
        ONEAPP_ZONEMESH_STATE_DIR=\"$ZONEMESH_ETC.state\"; mkdir \"$ZONEMESH_ETC.state\"
        zonemesh_superlink_is_ready() { [ -e \"$ZONEMESH_ETC.systemctl\" ]; }
        service_configure; service_bootstrap; service_configure; service_bootstrap";
    let output = vm.run(&GIVEN, &script);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!text(&output.stdout).contains("onegate"), "a script tells OneGate");
    let calls = read(&vm.file("etc.systemctl"));
    for unit in ["zonemeshd", "zonemesh-gateway", "zonemesh-superlink"] {
        // The second time they run with the same settings.
        let started = format!("enable {unit}.service\nrestart --no-block {unit}.service\n");
        assert_eq!(calls.matches(&started).count(), 1, "{unit}: {calls}");
    }
    let report = read(&vm.file("report"));
    for line in ["[Zonemesh gateway]", "[Flower SuperLink]", "supernodes = 10.10.10.1:8000"] {
        assert_eq!(report.matches(line).count(), 1, "{line}: {report}");
    }
}
