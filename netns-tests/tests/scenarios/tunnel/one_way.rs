//! What is wrong on one way only is told with its direction, at both ends.
//!
//! ```text
//!   berlin                  WAN                    madrid
//!   gw <--- cut, loss, hole --- [ router ] ----------- gw
//!   gw ----------- in order --- [ router ] ----------> gw
//! ```

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netns_tests::findings::{over, tells, told};
use netns_tests::markdown::read;
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

/// The table `site` of the runbook, for this lab's interfaces.
fn documented_firewall() -> Result<String> {
    let runbook = read("docs/OPERATIONS.md");
    let block =
        runbook.split("```").find(|block| block.trim_start().starts_with("table inet site"));
    Ok(block.context("no firewall in the runbook")?.replace("eth0", "wan0"))
}

#[test]
fn a_firewall_at_the_gateway_that_knows_the_wan_alone_is_told_and_the_documented_one_is_none()
-> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = start(&lab, "1s")?;
    let berlin = &lab.zone("berlin")?.gateway;
    let of_wan = "table inet site { chain input { type filter hook input priority 0; policy drop; \
         iifname \"lo\" accept; icmp type echo-reply accept; \
         iifname \"wan0\" udp dport 51820 accept; }; }";
    berlin.run(&["nft", of_wan])?;
    told(mesh.gateway("madrid")?, "N232", &["berlin"], patience())?;
    let said = mesh.gateway("madrid")?.ask(&["status"])?["findings"].to_string();
    ensure!(said.contains("registry.port") && said.contains("tunnel's interface"), "{said}");
    berlin.run(&["nft", &format!("delete table inet site; {}", documented_firewall()?)])?;
    for zone in ["berlin", "madrid"] {
        over(mesh.gateway(zone)?, "N232", patience())?;
        mesh.gateway(zone)?.wait_until_connected(patience())?;
    }
    holds_for("nothing told", Duration::from_secs(20), || {
        for zone in ["berlin", "madrid"] {
            let status = mesh.gateway(zone)?.ask(&["status"])?;
            let mut alarms = status["findings"].as_array().into_iter().flatten();
            let is_silent = alarms.all(|one| one["severity"] == "note");
            ensure!(is_silent, "{zone}: {}", status["findings"]);
        }
        Ok(Look::Done(()))
    })?;
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
