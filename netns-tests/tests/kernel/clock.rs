//! A clock that goes back over a reboot, where setting one harms nobody: in the virtual machine.
//!
//! ```text
//!   the machine: zonemesh-wg on zm0  ---- loopback ---- the kernel's WireGuard on wg0, remembers
//! ```

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use netns_tests::wireguard::machine::Machine;
use netns_tests::wireguard::wan::Wan;
use zonemesh_lab::binaries;
use zonemesh_lab::wait::{Look, until};

use crate::{SOON, say};

const TWO_DAYS: u64 = 2 * 24 * 3600;
/// Three initiations and their repetitions.
const REFUSED_FOR: Duration = Duration::from_secs(15);
/// Where the time of the last handshakes is kept.
const KEPT_IN: &str = "/tmp/state/clock";

/// Where the kernel's WireGuard stands; it has no reason to begin by itself.
const KERNEL: &str = "set -e
mkdir -p /var /tmp/state
ln -sfn /run /var/run
umask 077
wg genkey >/tmp/ours; wg genkey >/tmp/theirs
ip link add wg0 type wireguard
wg set wg0 listen-port 51820 private-key /tmp/theirs peer $(wg pubkey </tmp/ours) \
  allowed-ips 10.9.0.2/32
ip addr add 10.9.0.1/32 dev wg0
ip link set wg0 up";

/// Starts ours; it begins at once, and again for as long as nobody answers.
const START: &str = "set -e
zonemesh-wg --log-file /tmp/log --clock-file /tmp/state/clock zm0
wg set zm0 listen-port 51821 private-key /tmp/ours peer $(wg pubkey </tmp/theirs) \
  endpoint 127.0.0.1:51820 allowed-ips 10.9.0.1/32 persistent-keepalive 1
ip link set zm0 up";

/// As a shutdown does.
const STOP: &str = "kill $(pidof zonemesh-wg)
while pidof zonemesh-wg >/dev/null; do sleep 1; done";

fn now(machine: &Machine<'_>) -> Result<u64> {
    Ok(machine.run("date +%s")?.trim().parse()?)
}

/// A reboot of a machine whose clock does not run while it is off.
fn set_back(machine: &Machine<'_>) -> Result<u64> {
    machine.run(STOP)?;
    let before = now(machine)?;
    machine.run(&format!("date -s @{}", before - TWO_DAYS))?;
    Ok(before)
}

/// When ours and the kernel last shook hands, as ours has it; 0 for never.
fn latest_handshake(machine: &Machine<'_>) -> Result<u64> {
    let shown = machine.run("wg show zm0 latest-handshakes")?;
    let (_, time) = shown.trim().split_once('\t').context("one peer expected")?;
    Ok(time.parse()?)
}

fn wait_for_handshake(machine: &Machine<'_>) -> Result<Duration> {
    let ((), took) = until("a handshake", SOON, || {
        Ok(Look::<()>::when(latest_handshake(machine)? > 0, machine.run("cat /tmp/log")?))
    })?;
    Ok(took)
}

#[test]
fn a_clock_that_went_back_over_a_reboot_is_raised_and_the_kernel_answers() -> Result<()> {
    let wan = Wan::new()?;
    let machine = Machine::boot(&wan)?;
    machine.install(&binaries::find("zonemesh-wg")?)?;
    machine.run(KERNEL)?;
    machine.run(START)?;
    wait_for_handshake(&machine)?;

    // Without the step: the kernel remembers later handshakes and refuses.
    let before = set_back(&machine)?;
    machine.run(START)?;
    std::thread::sleep(REFUSED_FOR);
    ensure!(latest_handshake(&machine)? == 0, "the kernel has answered an old handshake");
    let log = machine.run("cat /tmp/log")?;
    ensure!(log.contains("the clock went back"), "not reported: {log}");
    machine.run(STOP)?;

    let said = machine.run("zonemesh-wg --raise-clock --clock-file /tmp/state/clock")?;
    say(format_args!("{}", said.trim()))?;
    ensure!(said.contains("raised to") && said.contains("172"), "{said}");
    let raised = now(&machine)?;
    ensure!((before..before + 60).contains(&raised), "{before} became {raised}");
    machine.run(START)?;
    let took = wait_for_handshake(&machine)?;
    say(format_args!("refused for {REFUSED_FOR:?}; raised: a handshake after {took:.1?}"))?;
    let again = machine.run("zonemesh-wg --raise-clock --clock-file /tmp/state/clock")?;
    ensure!(again.trim().is_empty(), "raised twice: {again}");
    wan.succeeded()
}

const GATEWAY: &str = "[zone]
name = \"berlin\"
prefixes = [\"10.10.10.0/24\"]
[gateway]
state_dir = \"/tmp/state\"
[tunnel]
addresses = [\"10.255.0.1\"]
";

#[test]
fn the_step_before_zonemeshd_raises_a_clock_and_refuses_what_no_file_can_say() -> Result<()> {
    let wan = Wan::new()?;
    let machine = Machine::boot(&wan)?;
    machine.install(&binaries::find("zonemeshd")?)?;
    machine.run(&format!("mkdir -p /tmp/state; cat >/tmp/gw.toml <<'END'\n{GATEWAY}END"))?;
    let step = "zonemeshd raise-clock --config /tmp/gw.toml";
    let start = now(&machine)?;
    ensure!(machine.run(step)?.is_empty() && now(&machine)? < start + 60, "without a file");

    let stored = start + TWO_DAYS;
    machine.run(&format!("echo {stored}000 >{KEPT_IN}"))?;
    let said = machine.run(step)?;
    say(format_args!("{}", said.trim()))?;
    ensure!(said.contains("raised to"), "{said}");
    let raised = now(&machine)?;
    ensure!((stored..stored + 60).contains(&raised), "{stored} became {raised}");

    for too_far in [raised + 20 * TWO_DAYS, 3_000_000_000] {
        machine.run(&format!("echo {too_far}000 >{KEPT_IN}"))?;
        let said = machine.run(step)?;
        ensure!(said.contains("nothing is changed"), "{said}");
    }
    machine.run(&format!("echo yesterday >{KEPT_IN}"))?;
    match machine.run(step) {
        Ok(said) => bail!("a damaged file was read: {said}"),
        Err(error) => ensure!(error.to_string().contains("ended with 6"), "{error}"),
    }
    let after = now(&machine)?;
    ensure!(after < raised + 120, "the clock was moved: {raised} became {after}");
    wan.succeeded()
}
