//! `make demo`: three zones, one federation, on this machine.
//!
//! Owns the story: what is shown, in which order, and the verdict. Promises exit code 0 only if the
//! weights are those of plain FedAvg and nothing but WireGuard crossed the WAN.
//! Refuses to change the host's network; all happens in namespaces, see `zonemesh_lab::lab`.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use zonemesh_lab::capture::{Capture, Report};
use zonemesh_lab::federation::{HOME, LabFederation, TRAINING, ZONES};
use zonemesh_lab::flower::{Outcome, TrainingPlan};
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::WIREGUARD_PORT;
use zonemesh_lab::privilege::{self, Privilege};

const PLAN: TrainingPlan = TrainingPlan { rounds: 3, nodes: 2, train_sleep: Duration::ZERO };

#[derive(Parser)]
#[command(about = "Three zones, one federation, on this machine", version)]
struct DemoArguments {
    /// Leave the zones up at the end and print how to enter them.
    #[arg(long)]
    keep: bool,
}

/// Prints one line per step, with the seconds since the start.
struct Story {
    start: Instant,
}

impl Story {
    fn step(&self, text: &str) -> Result<()> {
        let seconds = self.start.elapsed().as_secs_f64();
        Ok(writeln!(std::io::stdout(), "[{seconds:6.1} s] {text}")?)
    }

    fn block(title: &str, text: &str) -> Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n{title}")?;
        for line in text.lines() {
            writeln!(out, "    {line}")?;
        }
        Ok(())
    }
}

fn main() -> Result<ExitCode> {
    let arguments = DemoArguments::parse();
    let privilege = privilege::enter()?;
    let story = Story { start: Instant::now() };
    story.step(&format!("using {privilege}"))?;
    // A user namespace ends with its last process: there the demo itself stays to keep it.
    let outlives = arguments.keep && privilege == Privilege::Root;
    let lab = if outlives { Lab::new_kept(&ZONES) } else { Lab::new(&ZONES) }?;
    let mut federation = LabFederation::prepare(lab)?;
    let right = tell(&story, &mut federation)?;
    federation.succeeded()?;
    if right {
        next_step(arguments.keep)?;
    }
    if arguments.keep {
        how_to_enter(&mut federation)?;
        federation.left();
        if !outlives {
            writeln!(std::io::stdout(), "The zones stay up until Ctrl-C.")?;
            loop {
                std::thread::park();
            }
        }
    }
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(story: &Story, federation: &mut LabFederation) -> Result<bool> {
    story.step("three zones up: berlin, madrid, paris, and a WAN router between them")?;
    let capture = Capture::start(&federation.lab, "wan", &[WIREGUARD_PORT])?;
    story.step("recording every frame on the three WAN links")?;
    let took = federation.connect()?;
    story.step(&format!(
        "three gateways: tunnels and registry connected after {:.2} s",
        took.as_secs_f64()
    ))?;
    federation.start_superlink()?;
    story.step("berlin: zonemesh-superlink registers, gets its certificate, starts Flower")?;
    for zone in std::iter::once(HOME).chain(TRAINING) {
        federation.wait_for_superlink(zone, "ready", Duration::from_secs(180))?;
        story.step(&format!("{zone}: the registry says the SuperLink is ready"))?;
    }
    for zone in TRAINING {
        federation.start_supernode(zone)?;
        story
            .step(&format!("{zone}: zonemesh-supernode discovers it, checks it, starts Flower"))?;
    }
    let outcome = train(story, federation)?;
    let expected = federation.flower.expected(PLAN)?;
    let report = capture.finish(&federation.lab)?;
    let digest_right = outcome.digest == expected.digest && outcome.rounds_done == PLAN.rounds;
    Story::block("Rounds", &rounds(&outcome))?;
    Story::block(
        "Weights",
        &format!(
            "this federation  {}\nplain FedAvg     {}  (same data, no Flower, no network)\n{}",
            outcome.digest,
            expected.digest,
            if digest_right { "equal" } else { "DIFFERENT" }
        ),
    )?;
    Story::block("zonemesh status (berlin)", &federation.mesh.gateway(HOME)?.show(&["status"])?)?;
    Story::block("Bytes carried per tunnel", &tunnels(federation)?)?;
    Story::block("What crossed the WAN (each frame is seen on two links)", &report.to_string())?;
    verdict(digest_right, &report)?;
    Ok(digest_right && report.is_clean())
}

fn train(story: &Story, federation: &mut LabFederation) -> Result<Outcome> {
    let mut run = federation.submit(PLAN)?;
    story.step("berlin: flwr run, 3 rounds over 2 SuperNodes")?;
    for round in 1..=PLAN.rounds {
        run.wait_for(&format!("[ROUND {round}/{}]", PLAN.rounds), Duration::from_secs(180))?;
        story.step(&format!("round {round} of {}", PLAN.rounds))?;
    }
    let outcome = federation.outcome(run, Duration::from_secs(180))?;
    story.step("training finished")?;
    Ok(outcome)
}

fn rounds(outcome: &Outcome) -> String {
    let lines = (1..).zip(&outcome.loss).map(|(round, loss)| format!("{round}   loss {loss:.3e}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn tunnels(federation: &mut LabFederation) -> Result<String> {
    let mut text = String::new();
    for zone in std::iter::once(HOME).chain(TRAINING) {
        let answer = federation.mesh.gateway(zone)?.ask(&["peers"])?;
        let peers = answer["peers"].as_array().context("zonemesh peers lists no peers")?;
        for peer in peers {
            let other = peer["zone"].as_str().context("a peer without a zone")?;
            let [rx, tx] = ["rx_bytes", "tx_bytes"].map(|key| peer[key].as_u64().unwrap_or(0));
            text.push_str(&format!("{zone:<7} <-> {other:<7} received {rx:>9}   sent {tx:>9}\n"));
        }
    }
    Ok(text)
}

fn verdict(digest_right: bool, report: &Report) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out)?;
    let weights = if digest_right { "RIGHT" } else { "WRONG" };
    writeln!(out, "{weights}: the weights of this federation against plain FedAvg")?;
    let wan = if report.is_clean() { "CLEAN" } else { "NOT CLEAN" };
    Ok(writeln!(out, "{wan}: only WireGuard datagrams may cross the WAN")?)
}

fn next_step(kept: bool) -> Result<()> {
    let look =
        if kept { "" } else { "make demo KEEP=1        the same, left up to look around in\n" };
    Story::block(
        "Next",
        &format!("{look}docs/QUICKSTART.md      three zones on machines of yours, by hand\n"),
    )
}

fn how_to_enter(federation: &mut LabFederation) -> Result<()> {
    let mut text = String::new();
    for zone in federation.lab.zones() {
        text.push_str(&format!("nsenter --net=/run/netns/{} bash\n", zone.gateway.name()));
        for vm in zone.vms() {
            text.push_str(&format!("nsenter --net=/run/netns/{} bash\n", vm.namespace.name()));
        }
    }
    Story::block("Enter a gateway or a VM", &text)?;
    let zonemesh = zonemesh_lab::binaries::find("zonemesh")?;
    let socket = federation.mesh.gateway(HOME)?.socket();
    let ask = format!("{} --socket {} status", zonemesh.display(), socket.display());
    Story::block("Ask a gateway", &ask)?;
    Story::block("Logs, configurations, captures", &federation.lab.folder().display().to_string())?;
    Story::block("Take it down", "make clean-lab")
}
