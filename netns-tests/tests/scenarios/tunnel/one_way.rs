//! What is wrong on one way only is told with its direction, at both ends.
//!
//! ```text
//!   berlin                  WAN                    madrid
//!   gw <--- cut, loss, hole --- [ router ] ----------- gw
//!   gw ----------- in order --- [ router ] ----------> gw
//! ```

use std::time::Duration;

use anyhow::{Result, ensure};
use netns_tests::findings::{over, tells, told};
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::wait::{Look, holds_for, until};

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &[] }, ZonePlan { name: "madrid", vms: &[] }];
const TOLD_WITHIN: Duration = Duration::from_secs(10);
/// A check each 10 s, a search of some seconds, and probes that tell.
const HOLE_TOLD_WITHIN: Duration = Duration::from_secs(30);

fn start(lab: &Lab, interval: &str) -> Result<Mesh> {
    let mut mesh = Mesh::prepare(lab)?;
    for zone in ["berlin", "madrid"] {
        let probes = toml::Table::from_iter([("interval".to_owned(), interval.into())]);
        mesh.gateway(zone)?.config.insert("probes".to_owned(), probes.into());
    }
    mesh.start(lab)?;
    mesh.wait_until_connected(patience())?;
    for (zone, other) in [("berlin", "madrid"), ("madrid", "berlin")] {
        until("delay and MTU to be known", patience(), || {
            let peer = mesh.gateway(zone)?.ask(&["show", other])?["peer"].clone();
            Ok(Look::<()>::when(peer["rtt_ms"].is_f64() && peer["mtu"] == 1420, &peer))
        })?;
    }
    Ok(mesh)
}

/// Does this to what comes from madrid's gateway, and to nothing else.
fn on_the_way_from_madrid(lab: &Lab, rule: &str) -> Result<()> {
    let table = format!(
        "table ip one_way {{ chain c {{ type filter hook forward priority 1; \
         iifname \"madrid\" {rule}; }}; }}"
    );
    lab.router().run(&["nft", &table])?;
    Ok(())
}

fn in_order_again(lab: &Lab) -> Result<()> {
    lab.router().run(&["nft", "delete table ip one_way"])?;
    Ok(())
}

#[test]
fn a_cut_of_one_way_is_told_by_the_end_that_is_not_heard_and_ends_with_it() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = start(&lab, "1s")?;
    on_the_way_from_madrid(&lab, "drop")?;
    let not_heard = ["berlin", "what is sent there does not arrive", "what comes from there does"];
    told(mesh.gateway("madrid")?, "N232", &not_heard, TOLD_WITHIN)?;
    told(mesh.gateway("berlin")?, "N205", &["madrid", "nothing arrives"], TOLD_WITHIN)?;
    // Sessions are sought anew meanwhile: that changes nothing of it.
    holds_for("told as one way", Duration::from_secs(30), || {
        let status = mesh.gateway("madrid")?.ask(&["status"])?;
        Ok(Look::<()>::when(tells(&status, "N232", &[])?, &status["findings"]))
    })?;
    in_order_again(&lab)?;
    over(mesh.gateway("madrid")?, "N232", TOLD_WITHIN * 2)?;
    lab.succeeded()
}

#[test]
fn a_cut_of_both_ways_is_not_taken_for_one_way() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = start(&lab, "1s")?;
    lab.cut("madrid")?;
    for (zone, other) in [("berlin", "madrid"), ("madrid", "berlin")] {
        told(mesh.gateway(zone)?, "N205", &[other, "nothing arrives"], TOLD_WITHIN)?;
    }
    holds_for("not told as one way", Duration::from_secs(20), || {
        for zone in ["berlin", "madrid"] {
            let status = mesh.gateway(zone)?.ask(&["status"])?;
            ensure!(!tells(&status, "N232", &[])?, "{zone}: {}", status["findings"]);
        }
        Ok(Look::Done(()))
    })?;
    lab.succeeded()
}

#[test]
fn loss_of_one_way_is_told_with_that_way_at_both_ends() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = start(&lab, "100ms")?;
    on_the_way_from_madrid(&lab, "numgen random mod 100 < 15 drop")?;
    told(mesh.gateway("berlin")?, "N208", &["madrid", "on the way back"], patience())?;
    told(mesh.gateway("madrid")?, "N208", &["berlin", "on the way there"], patience())?;
    lab.succeeded()
}

#[test]
fn a_hole_on_one_way_is_told_at_both_ends() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = start(&lab, "1s")?;
    on_the_way_from_madrid(&lab, "meta length > 1300 drop")?;
    let [there, back] = ["1240 bytes passes on the way there", "1240 bytes passes on the way back"];
    told(mesh.gateway("madrid")?, "N209", &["berlin", there], HOLE_TOLD_WITHIN)?;
    told(mesh.gateway("berlin")?, "N209", &["madrid", back], TOLD_WITHIN)?;
    let berlin = mesh.gateway("berlin")?.ask(&["show", "madrid"])?["peer"].clone();
    ensure!(berlin["mtu"] == 1420, "what berlin sends passes: {berlin}");
    in_order_again(&lab)?;
    for zone in ["madrid", "berlin"] {
        over(mesh.gateway(zone)?, "N209", HOLE_TOLD_WITHIN * 2)?;
    }
    lab.succeeded()
}
