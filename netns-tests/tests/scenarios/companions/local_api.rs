//! What the local API tells the VMs and hears from them: reachability by the path, keepalives.
//!
//! ```text
//!   berlin                        WAN                     madrid
//!   vm (SuperLink) - gw ---- [ router: a cut ] ---- gw - vm (asks where the SuperLink is)
//! ```

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use netns_tests::updates::registration;
use netns_tests::vm;
use serde_json::Value;
use tonic::Request;
use tonic::transport::Channel;
use zonemesh_api::clients::local;
use zonemesh_api::keepalive::{self, Keepalive, Whose};
use zonemesh_api::v1::ResolveRequest;
use zonemesh_api::v1::local_client::LocalClient;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{FEDERATION, LOCAL_API_PORT, Mesh, patience};
use zonemesh_lab::wait::{Look, until};

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &["vm"] }, ZonePlan { name: "madrid", vms: &["vm"] }];

/// Calls a zone's gateway from its VM.
fn call<T: Send>(
    (lab, mesh): (&Lab, &mut Mesh),
    zone: &str,
    work: impl AsyncFnOnce(LocalClient<Channel>) -> Result<T> + Send,
) -> Result<T> {
    let place = lab.zone(zone)?;
    let address = SocketAddr::from((place.lan_address, LOCAL_API_PORT));
    let tls = vm::pinned(&mesh.gateway(zone)?.keys.zone)?;
    place.vm("vm")?.namespace.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { work(local::connect(address, tls).await?).await })
    })
}

/// Asks madrid's gateway, over one connection, until it says that the SuperLink's zone is in reach, or
/// that it is not.
fn wait_for_reach(lab: &Lab, mesh: &mut Mesh, wanted: bool, patience: Duration) -> Result<()> {
    call((lab, mesh), "madrid", async |mut gateway| {
        let begun = Instant::now();
        loop {
            let request =
                ResolveRequest { federation: FEDERATION.to_owned(), ..Default::default() };
            let view = gateway.resolve(request).await?.into_inner();
            if view.found && view.zone_reachable == wanted {
                return Ok(());
            }
            ensure!(begun.elapsed() < patience, "not {wanted} within {patience:?}: {view:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
}

fn register(lab: &Lab, mesh: &mut Mesh) -> Result<()> {
    let request = registration(lab, mesh, "vm")?;
    call((lab, mesh), "berlin", async |mut gateway| {
        request.once(&mut gateway).await?;
        Ok(())
    })
}

#[test]
fn a_zone_is_out_of_reach_as_soon_as_its_path_is_down() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    register(&lab, &mut mesh)?;
    wait_for_reach(&lab, &mut mesh, true, patience())?;
    until("probes to be answered", patience(), || {
        let peer = mesh.gateway("madrid")?.ask(&["show", "berlin"])?["peer"].clone();
        Ok(Look::<()>::when(!peer["rtt_ms"].is_null(), &peer))
    })?;
    lab.cut("berlin")?;
    // The registry stream is there for another minute and stands still, the session for three.
    wait_for_reach(&lab, &mut mesh, false, Duration::from_secs(12))?;
    let peer = mesh.gateway("madrid")?.ask(&["show", "berlin"])?["peer"].clone();
    ensure!(peer["state"] == "down" && peer["stream"] == "connecting", "{peer}");
    lab.heal("berlin")?;
    wait_for_reach(&lab, &mut mesh, true, Duration::from_secs(10))?;
    lab.succeeded()
}

#[test]
fn keepalives_that_do_not_fit_are_an_event_and_a_line_and_stop_nothing() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start_one(&lab, "berlin")?;
    let tell = |mesh: &mut Mesh, whose: Whose, interval: u64| {
        call((&lab, mesh), "berlin", async |mut gateway| {
            let mut request = Request::new(ResolveRequest {
                federation: FEDERATION.to_owned(),
                ..Default::default()
            });
            let grpc_interval = Duration::from_secs(interval);
            let grpc_timeout = Duration::from_secs(5);
            let figures = Keepalive { grpc_interval, grpc_timeout, ..Keepalive::DEFAULT };
            keepalive::tell(request.metadata_mut(), whose, &figures);
            let answer = gateway.resolve(request).await?;
            Ok(keepalive::told(answer.metadata(), Whose::Own))
        })
    };
    let heard = tell(&mut mesh, Whose::Own, 60)?;
    ensure!(heard == Some(Keepalive::DEFAULT), "the gateway tells {heard:?}");
    ensure!(lines(&mut mesh)?.is_empty(), "{:?}", lines(&mut mesh)?);

    tell(&mut mesh, Whose::Own, 10)?;
    tell(&mut mesh, Whose::Flowers, 15)?;
    tell(&mut mesh, Whose::Flowers, 15)?;
    let all = lines(&mut mesh)?;
    ensure!(all.len() == 2, "{all:?}");
    let vm = lab.zone("berlin")?.vm("vm")?.address;
    for (line, [who, interval]) in all.iter().zip([
        [format!("VM {vm}: "), "10s".to_owned()],
        [format!("Flower in VM {vm}: "), "15s".to_owned()],
    ]) {
        let whole =
            line.starts_with(&who) && line.contains(&interval) && line.contains("at least 30s");
        ensure!(whole, "{line}");
    }
    let shown = mesh.gateway("berlin")?.show(&["status"])?;
    let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    ensure!(words.contains("raise its keepalive.grpc_interval to at least 30s"), "{shown}");
    let events = mesh.gateway("berlin")?.ask(&["peers"])?["events"].clone();
    ensure!(events["keepalive_mismatch"] == 2, "{events}");

    tell(&mut mesh, Whose::Own, 60)?;
    tell(&mut mesh, Whose::Flowers, 30)?;
    ensure!(lines(&mut mesh)?.is_empty(), "{:?}", lines(&mut mesh)?);
    lab.succeeded()
}

/// The lines of `zonemesh status` about keepalives.
fn lines(mesh: &mut Mesh) -> Result<Vec<String>> {
    let status = mesh.gateway("berlin")?.ask(&["status"])?;
    let findings = status["findings"].as_array().into_iter().flatten();
    let line = |finding: &Value| {
        let subject = finding["subject"]["name"].as_str()?;
        Some(format!("{subject}: {}", finding["sentence"].as_str()?))
    };
    Ok(findings.filter(|finding| finding["code"] == "N204").filter_map(line).collect())
}
