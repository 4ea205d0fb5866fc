//! A SuperLink that is not at its VM's first address: a secondary one, as a NIC alias gives it.
//!
//! ```text
//!   berlin                                   WAN                madrid
//!   superlink 10.10.10.5, 10.10.10.77 - gw [ router ] gw - who asks for it
//! ```

use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, ensure};
use zonemesh_lab::federation::{HOME, LabFederation, SUPERLINK, SUPERNODE};
use zonemesh_lab::lab::{Lab, ZonePlan};

const ALIAS: &str = "10.10.10.77";
const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: HOME, vms: &[SUPERLINK] }, ZonePlan { name: "madrid", vms: &[SUPERNODE] }];
const TOLD_WITHIN: Duration = Duration::from_secs(20);

#[test]
fn an_address_that_comes_later_is_registered_once_it_is_there_and_serves() -> Result<()> {
    let mut federation = LabFederation::prepare(Lab::new(&ZONES)?)?;
    federation.connect()?;
    let mut settings = federation.superlink_settings(HOME, SUPERLINK)?;
    settings.insert("ONEAPP_ZONEMESH_ADDRESS", ALIAS.to_owned());
    federation.start_superlink_with(HOME, SUPERLINK, settings)?;
    let (line, _) = federation.companion(HOME)?.wait_for("P301", TOLD_WITHIN)?;
    ensure!(line.contains(ALIAS) && line.contains("10.10.10.5"), "{line}");

    let vm = federation.zone(HOME)?.vm(SUPERLINK)?;
    vm.namespace.run(&["ip", "address", "add", &format!("{ALIAS}/24"), "dev", "eth0"])?;
    federation.wait_for_superlink("madrid", "ready", Duration::from_secs(180))?;
    let shown = federation.mesh.gateway("madrid")?.ask(&["superlink", "list"])?;
    let shown = &shown["superlinks"][0];
    ensure!(shown["addresses"] == serde_json::json!([ALIAS]), "{shown}");
    let asker = &federation.zone("madrid")?.vm(SUPERNODE)?.namespace;
    asker.inside(|| Ok(TcpStream::connect((ALIAS, 9092))?))?;
    federation.succeeded()
}
