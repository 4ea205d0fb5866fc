//! `zonemesh-superlink plan` with unkind values of the kinds that real users have given it.
#![allow(clippy::unwrap_used)]

use zonemesh_core::visible::is_hidden;
use zonemesh_standin::{CompanionProcess, LIVES, TestGateway, free_port};

const PROGRAM: &str = env!("CARGO_BIN_EXE_zonemesh-superlink");
const WRONG: i32 = 7;

fn companion(gateway: &TestGateway) -> CompanionProcess {
    CompanionProcess::new(PROGRAM, &gateway.variables(), ("flower-superlink", LIVES))
}

#[tokio::test]
async fn what_a_plan_prints_of_a_value_steers_no_terminal_and_means_the_same() {
    let gateway = TestGateway::start();
    let mut process = companion(&gateway);
    let database = "/srv/\u{202e}bd.\u{1b}[2J\u{9b}31m\u{2028}\u{200b}";
    process.set("ONEAPP_FL_DATABASE", database);
    let (exit, out, errors) = process.output(&["plan"]);
    assert_eq!(exit, 0, "{errors}");
    assert!(!out.contains(|c: char| c != '\n' && is_hidden(c)), "{out:?}");
    let plan: serde_json::Value = serde_json::from_str(&out).unwrap();
    let arguments = plan["program"]["arguments"].as_array().unwrap();
    assert!(arguments.contains(&database.into()), "it is the path that was given: {out}");
    assert!(!errors.contains(|c: char| c != '\n' && is_hidden(c)), "{errors:?}");
}

#[test]
fn a_value_of_any_length_is_told_in_a_few_words() {
    let long = "x/".repeat(1 << 19);
    let process = CompanionProcess::new(PROGRAM, &[], ("flower-superlink", LIVES));
    let context = process.folder.path().join("context.sh");
    for key in [
        "ONEAPP_FL_DATABASE",
        "ONEAPP_FL_FLEET_API_ADDRESS",
        "ONEAPP_ZONEMESH_ADDRESS",
        "ONEAPP_ZONEMESH_FEDERATION",
        "ONEAPP_ZONEMESH_GATEWAY",
        "ONEAPP_ZONEMESH_IDENTITY",
        "ONEAPP_FL_SUPERNODE_AUTH",
        "ONEAPP_FL_NUM_ROUNDS",
    ] {
        std::fs::write(&context, format!("{key}='{long}x'\n")).unwrap();
        let (exit, out, errors) = process.output(&["plan", "--context", context.to_str().unwrap()]);
        assert_eq!((exit, out.as_str()), (WRONG, ""), "{key}");
        assert!(errors.contains(&format!("{key} (")), "{key}: {errors}");
        assert!(errors.contains("more characters]"), "{key}: how long it was: {errors}");
        assert!(errors.len() < 4000, "{key}: {} bytes are said", errors.len());
    }
}

/// The gateway lets a VM register the address that it calls from: the companion binds the one that
/// it is told, whatever the route to the gateway would choose.
#[tokio::test]
async fn a_secondary_address_and_one_of_ipv6_are_called_from_and_registered() {
    for (gateway, own) in [("127.0.0.1", "127.0.0.77"), ("::1", "::1"), ("127.0.0.9", "127.1.2.3")]
    {
        let gateway = TestGateway::start_at(gateway.parse().unwrap());
        let mut process = companion(&gateway);
        let port = free_port().to_string();
        for (key, value) in [("ADDRESS", own), ("FLEET_PORT", &port)] {
            process.set(&format!("ONEAPP_ZONEMESH_{key}"), value);
        }
        process.run();
        process.until_state("starting").await;
        assert_eq!(gateway.view().addresses, [own], "{}", process.log());
        assert!(!process.log().contains("P301"), "{}", process.log());
    }
}
