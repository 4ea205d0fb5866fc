//! A zone that belongs to the mesh and means no good: where it gets, and what it can claim.
//!
//! ```text
//!   berlin                      madrid                    aachen (malicious)
//!   superlink 10.10.10.5 - gw ==== gw - supernode .11.5 ==== gw - superlink 10.10.12.5
//! ```

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use zonemesh_lab::federation::{self, HOME, LabFederation, SUPERLINK, SUPERNODE};
use zonemesh_lab::flower::TrainingPlan;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{FEDERATION, Mesh, patience};
use zonemesh_lab::namespace::Namespace;
use zonemesh_lab::wait::{Look, until};

const THIEF: &str = "aachen";
const ZONES: [ZonePlan<'_>; 3] = [
    ZonePlan { name: HOME, vms: &[SUPERLINK] },
    ZonePlan { name: "madrid", vms: &[SUPERNODE] },
    ZonePlan { name: THIEF, vms: &[SUPERLINK] },
];

/// How a connection from `place` ended.
fn dial(place: &Namespace, to: (Ipv4Addr, u16)) -> Result<Result<(), ErrorKind>> {
    place.inside(|| {
        let dialled = TcpStream::connect_timeout(&SocketAddr::from(to), Duration::from_secs(3));
        Ok(dialled.map(drop).map_err(|error| error.kind()))
    })
}

#[test]
fn every_address_and_port_of_a_zone_is_in_reach_unless_a_firewall_there_says_no() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    let (victim, thief) = (lab.zone(HOME)?.vm(SUPERLINK)?, lab.zone(THIEF)?);
    let ports = [1, 22, 9092, 9093, 40_000, 65_535];
    let listen = || -> Result<Vec<TcpListener>> {
        let bound = ports.map(|port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)));
        Ok(bound.into_iter().collect::<Result<_, _>>()?)
    };
    let _listeners = victim.namespace.inside(listen)?;
    let from = [&thief.gateway, &thief.vm(SUPERLINK)?.namespace];
    for place in from {
        for port in ports {
            let dialled = dial(place, (victim.address, port))?;
            ensure!(dialled == Ok(()), "{} to port {port}: {dialled:?}", place.name());
        }
        // The gateway itself is in its LAN too; its local API answers no other zone, yet a port is a port.
        let gateway = dial(place, (lab.zone(HOME)?.lan_address, 7))?;
        ensure!(gateway == Err(ErrorKind::ConnectionRefused), "{gateway:?}");
    }

    let rules = format!(
        "table inet who {{\n chain input {{\n type filter hook input priority 0; policy accept;\n \
         ip saddr {{ {}, {} }} tcp dport {{ 9092, 9093 }} reject with tcp reset\n }}\n}}",
        thief.prefix(),
        thief.tunnel_address
    );
    victim.namespace.run(&["nft", &rules])?;
    for place in from {
        for (port, wanted) in [(9092, false), (9093, false), (22, true)] {
            let reached = dial(place, (victim.address, port))?.is_ok();
            ensure!(reached == wanted, "{} to port {port}: {reached}", place.name());
        }
    }
    let friend = dial(&lab.zone("madrid")?.vm(SUPERNODE)?.namespace, (victim.address, 9092))?;
    ensure!(friend == Ok(()), "{friend:?}");
    lab.succeeded()
}

#[test]
fn whoever_reaches_the_control_port_can_submit_a_run_that_all_supernodes_carry_out() -> Result<()> {
    let mut federation = LabFederation::start(Lab::new(&federation::ZONES)?)?;
    let plan = TrainingPlan { rounds: 1, nodes: 2, train_sleep: Duration::ZERO };
    // From another zone, with no more than the CA certificate that everybody is told.
    let run = federation.submit_from(federation::TRAINING[0], SUPERNODE, plan)?;
    federation.check(run, plan)?;
    federation.succeeded()
}

/// Waits until a VM has a connection to this Fleet API and to no other.
fn wait_for_fleet(vm: &Namespace, superlink: Ipv4Addr, timeout: Duration) -> Result<()> {
    until(&format!("a SuperNode at {superlink}"), timeout, || {
        let open = vm.run(&["ss", "-Htn", "state", "established", "dport = 9092"])?;
        let here = open.contains(&format!("{superlink}:9092")) && open.lines().count() == 1;
        Ok(Look::<()>::when(here, open))
    })?;
    Ok(())
}

#[test]
fn a_federation_goes_to_the_zone_whose_name_comes_first_and_all_are_told() -> Result<()> {
    let mut federation = LabFederation::prepare(Lab::new(&ZONES)?)?;
    // Its gateway says that it holds the federation too, with a CA of its own.
    federation.mesh.gateway(THIEF)?.hold_federation()?;
    federation.connect()?;
    federation.start_superlink()?;
    federation.wait_until_ready()?;
    federation.start_supernode("madrid")?;
    let address = |federation: &LabFederation, zone: &str| -> Result<Ipv4Addr> {
        Ok(federation.zone(zone)?.vm(SUPERLINK)?.address)
    };
    let [right, wrong] = [address(&federation, HOME)?, address(&federation, THIEF)?];
    let flower_starts = Duration::from_secs(120);
    wait_for_fleet(&federation.zone("madrid")?.vm(SUPERNODE)?.namespace, right, flower_starts)?;

    let settings = federation.superlink_settings(THIEF, SUPERLINK)?;
    federation.start_superlink_with(THIEF, SUPERLINK, settings)?;
    wait_for_fleet(&federation.zone("madrid")?.vm(SUPERNODE)?.namespace, wrong, flower_starts)?;
    for zone in [HOME, "madrid", THIEF] {
        let (line, _) = federation.companion(zone)?.wait_for("P302", patience())?;
        ensure!(line.contains(&format!("{THIEF}'s is used")), "{zone}: {line}");
        let gateway = federation.mesh.gateway(zone)?;
        let shown = gateway.show(&["status"])?;
        ensure!(shown.contains(&format!("! P302 {FEDERATION}: ")), "{zone}: {shown}");
        let known = gateway.ask(&["superlink", "list"])?;
        let all = known["superlinks"].as_array().context("no list")?;
        let used: Vec<_> = all.iter().filter(|one| one["shadowed"] == false).collect();
        ensure!(all.len() == 2 && used.len() == 1 && used[0]["zone"] == THIEF, "{zone}: {known}");
    }
    federation.succeeded()
}
