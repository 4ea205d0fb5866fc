//! What happens to VMs that live: a CONTEXT that changes while they run, a power cut in the middle of a
//! stage, a gateway's VM that is made anew.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use zonemesh_lab::wait::{Look, until};

use super::flowers::with_each_flower;
use super::life::Life;
use super::one_life::{ORDER, READY, in_order};

/// How soon somebody is told what to do.
const TOLD: Duration = Duration::from_secs(120);

/// The processes of ours and of Flower that live on, with when they were started: not the look at
/// Flower's list, which ends by itself.
fn processes(life: &mut Life, vm: &str) -> Result<String> {
    let those = "grep -E 'zonemesh|flower' | grep -Ev 'grep|bin/flwr'";
    life.vm(vm)?.run(&format!("ps -e -o pid=,lstart=,args= | {those}"))
}

#[test]
fn another_ssh_key_in_context_restarts_nothing_and_another_setting_does() -> Result<()> {
    with_each_flower(|flower| {
        let mut life = Life::new(flower)?;
        in_order(&mut life, ORDER)?;
        life.wait_until_all_are_ready(READY)?;
        for vm in ORDER {
            let before = processes(&mut life, vm)?;
            life.vm(vm)?.context.set("SSH_PUBLIC_KEY", "ssh-ed25519 AAAAC3NzaC1 another");
            let said = life.vm(vm)?.reconfigure()?;
            ensure!(said.contains("bootstrap_success"), "{said}");
            let after = processes(&mut life, vm)?;
            ensure!(before == after, "{vm}:\n{before}\n{after}");
        }
        life.train()?;
        let before = processes(&mut life, "supernode")?;
        let config = "partition-id=0 num-partitions=3";
        life.vm("supernode")?.context.set("ONEAPP_ZONEMESH_NODE_CONFIG", config);
        life.vm("supernode")?.reconfigure()?;
        let look = |life: &mut Life| life.vm("supernode")?.run("ps -u flower -o args=");
        until("Flower with the new setting", READY, || {
            let after = look(&mut life).unwrap_or_default();
            Ok(Look::<()>::when(after.contains("num-partitions=3"), after))
        })?;
        ensure!(before != processes(&mut life, "supernode")?);
        life.train()?;
        life.succeeded()
    })
}

#[test]
fn a_power_cut_in_the_middle_of_a_stage_is_over_at_the_next_boot() -> Result<()> {
    with_each_flower(|flower| {
        let mut life = Life::new(flower)?;
        // Without a gateway its bootstrap waits for minutes: the cut meets it there.
        life.make("superlink")?;
        let superlink = life.vm("superlink")?;
        until("a bootstrap that waits", READY, || {
            let status = superlink.run("cat /etc/one-appliance/status").unwrap_or_default();
            Ok(Look::<()>::when(status.starts_with("bootstrap_started"), status))
        })?;
        superlink.cut_power()?;
        superlink.switch_on()?;
        for vm in ["berlin-gateway", "madrid-gateway", "supernode"] {
            life.make(vm)?;
        }
        life.wait_until_all_are_ready(READY)?;
        life.train()?;
        life.succeeded()
    })
}

#[test]
fn a_gateway_whose_vm_is_made_anew_is_told_what_to_do_and_it_helps() -> Result<()> {
    with_each_flower(|flower| {
        let mut life = Life::new(flower)?;
        in_order(&mut life, ORDER)?;
        life.wait_until_all_are_ready(READY)?;
        life.made_anew("madrid-gateway")?;
        let report = told(&mut life, "zone invite madrid")?;
        ensure!(
            report["fix"].as_str().is_some_and(|fix| fix.contains("state restore")),
            "{report}"
        );

        // Exactly what it says is typed in berlin.
        let fix = report["fix"].as_str().unwrap_or_default();
        let command = fix.split('`').find(|part| part.ends_with(" --out FILE"));
        let command = command.with_context(|| format!("no command in {fix}"))?;
        let command = command.replace("FILE", "/root/again");
        let invitation =
            life.vm("berlin-gateway")?.run(&format!("{command} >&2; cat /root/again"))?;
        let invitation = invitation.lines().next().context("an invitation")?;
        let madrid = life.vm("madrid-gateway")?;
        madrid.context.set("ONEAPP_ZONEMESH_INVITATION", invitation);
        madrid.reconfigure()?;
        madrid.wait_until_ready(READY)?;
        life.train()?;
        life.succeeded()
    })
}

/// What the companion of madrid's new gateway says to do, once it says this.
fn told(life: &mut Life, words: &str) -> Result<Value> {
    let madrid = life.vm("madrid-gateway")?;
    let (report, _) = until("madrid to be told", TOLD, || {
        let report = madrid.run("cat /run/zonemesh-gateway/status.json").unwrap_or_default();
        let is_told = report.contains(words);
        Ok(if is_told { Look::Done(report) } else { Look::Not(report) })
    })?;
    ensure!(madrid.told("READY").is_none(), "{report}");
    serde_json::from_str(&report).context("a report")
}
