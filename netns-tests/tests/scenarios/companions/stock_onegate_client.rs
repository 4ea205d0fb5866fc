//! OpenNebula's own `onegate` client, as context-linux brings it, asks the view of another zone.
//!
//! Taken from a checkout of one-apps (`ONE_APPS_DIR`) and run by this machine's ruby.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use zonemesh_lab::federation::LabFederation;

use super::onegate_view::{script_vm, viewed};

fn stock_client() -> Result<PathBuf> {
    let checkout = std::env::var_os("ONE_APPS_DIR").context("ONE_APPS_DIR is not set")?;
    let client = PathBuf::from(checkout).join("context-linux/src/usr/bin/onegate.rb");
    ensure!(client.is_file(), "{} is not there", client.display());
    Ok(client)
}

/// As a script calls it, without a token.
fn onegate(federation: &LabFederation, endpoint: &str, args: &[&str]) -> Result<Output> {
    let mut command: Command = script_vm(federation)?.command("ruby");
    command.arg(stock_client()?).args(args);
    for variable in ["http_proxy", "TOKENTXT", "VMID"] {
        command.env_remove(variable);
    }
    Ok(command.env("ONEGATE_ENDPOINT", endpoint).output()?)
}

#[test]
fn the_stock_client_shows_the_superlink_and_is_told_that_nothing_is_written_here() -> Result<()> {
    let (mut federation, at) = viewed()?;
    federation.start_superlink()?;
    federation.wait_for_superlink("madrid", "ready", Duration::from_secs(180))?;
    let endpoint = format!("http://{at}");
    let said = |args: &[&str]| -> Result<String> {
        let output = onegate(&federation, &endpoint, args)?;
        ensure!(output.status.success(), "{args:?}: {output:?}");
        Ok(String::from_utf8(output.stdout)?)
    };
    let vm: Value = serde_json::from_str(&said(&["vm", "show", "--json"])?)?;
    ensure!(vm["VM"]["USER_TEMPLATE"]["FL_ENDPOINT"] == "10.10.10.5:9092", "{vm}");
    let vm = said(&["vm", "show"])?;
    ensure!(vm.contains("VM 0") && vm.contains("superlink_0_(health-eu)"), "{vm}");
    let plain = said(&["service", "show"])?;
    ensure!(plain.contains("ROLE superlink") && plain.contains("ROLE gateway"), "{plain}");
    ensure!(plain.contains("health-eu") && !plain.contains("10.10.10.5"), "{plain}");
    let extended = said(&["service", "show", "--extended"])?;
    ensure!(extended.contains("10.10.10.5") && extended.contains("RUNNING"), "{extended}");
    let json: Value = serde_json::from_str(&said(&["service", "show", "--extended", "--json"])?)?;
    ensure!(json["SERVICE"]["roles"][1]["nodes"][0]["vm_info"]["VM"]["NAME"] == "madrid-gw1");

    for (args, words) in [
        (vec!["vm", "update", "--data", "READY=YES"], "view for reading"),
        (vec!["vm", "update", "--erase", "READY"], "view for reading"),
        (vec!["service", "scale", "--role", "superlink", "--cardinality", "2"], "view for reading"),
        (vec!["vm", "terminate", "0"], "view for reading"),
        (vec!["vm", "show", "0"], "OneGate server doesn't support this feature"),
        (vec!["vrouter", "show"], "OneGate server doesn't support this feature"),
    ] {
        let refused = onegate(&federation, &endpoint, &args)?;
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(
            refused.status.code() == Some(255) && text.contains(words),
            "{args:?}: {refused:?}"
        );
        ensure!(!text.contains("READY=YES"), "{text}");
    }
    federation.succeeded()
}
