//! What is for a zone that was put out stays barred, whatever is forgotten of it since: by a later set of
//! authorities, over restarts, in a state folder that knows nothing.

use std::time::Duration;

use anyhow::{Result, ensure};
use netns_tests::kernel_state::routes;
use netns_tests::managed::ManagedGateway as _;
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::wait::{Look, holds_for, until};

use crate::tool::{ZONES, joined, owner_key, say, without_peer};

/// True while the only way to `zone` from `at` is the one that leads nowhere.
fn is_barred(lab: &Lab, at: &str, zone: &str) -> Result<Look<()>> {
    let routes = routes(&lab.zone(at)?.gateway, &lab.zone(zone)?.prefix())?;
    let is_barred = routes.lines().count() == 1 && routes.starts_with("unreachable ");
    let address = format!("{{ {} }}", lab.zone(zone)?.lan_address);
    let filter = ["nft", "get", "element", "inet", "zonemesh", "zones4", &address];
    let is_filtered = lab.zone(at)?.gateway.run(&filter).is_ok();
    Ok(Look::<()>::when(is_barred && is_filtered, format!("{at}: {is_filtered} {routes}")))
}

#[test]
fn it_stays_barred_under_a_new_authority_set_and_over_restarts() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..3])?;
    let mut mesh = joined(&lab)?;
    mesh.gateway("berlin")?.revoke("paris")?;
    for zone in ["berlin", "madrid"] {
        without_peer(&mut mesh, zone, "paris", patience())?;
    }
    let head = |mesh: &mut Mesh, zone: &str| -> Result<String> {
        Ok(mesh.gateway(zone)?.ask(&["authority", "list"])?["set"].to_string())
    };
    let before = head(&mut mesh, "berlin")?;
    let owner = owner_key(&mut mesh, "berlin")?;
    say(&mut mesh, "berlin", &["authority", "renew", "--key", &owner])?;
    until("the new set at both", patience(), || {
        let heads = [head(&mut mesh, "berlin")?, head(&mut mesh, "madrid")?];
        let is_new = heads.iter().all(|head| *head != before);
        Ok(Look::<()>::when(is_new, format!("{heads:?}")))
    })?;
    for zone in ["berlin", "madrid"] {
        holds_for("what is for paris", Duration::from_secs(2), || is_barred(&lab, zone, "paris"))?;
        mesh.gateway(zone)?.kill_9_and_start(&lab)?;
        mesh.gateway(zone)?.wait_until_ready(patience())?;
        ensure!(matches!(is_barred(&lab, zone, "paris")?, Look::Done(())), "after a restart");
    }
    for zone in ["berlin", "madrid"] {
        mesh.gateway(zone)?.wait_until_connected(patience())?;
    }
    lab.succeeded()
}

#[test]
fn a_new_state_folder_lifts_no_bar_that_the_kernel_holds() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..3])?;
    let mut mesh = joined(&lab)?;
    let gateway = mesh.gateway("madrid")?;
    gateway.daemon()?.terminate(patience())?;
    let state = gateway.folder().join("state");
    for forgotten in ["mesh", "trust", "records", "barred"] {
        let file = state.join(forgotten);
        ensure!(file.exists(), "{} is another file now", file.display());
        std::fs::rename(&file, state.join(format!("{forgotten}.stolen")))?;
    }
    gateway.start(&lab)?;
    gateway.wait_until_ready(patience())?;
    for zone in ["berlin", "paris"] {
        holds_for("what is for the others", Duration::from_secs(2), || {
            is_barred(&lab, "madrid", zone)
        })?;
    }
    lab.succeeded()
}
