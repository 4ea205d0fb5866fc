//! A VM that plays its neighbour: nothing on the LAN stops it but OpenNebula's filters.
//!
//! ```text
//!   berlin
//!   superlink 10.10.10.5 (its link is down) - gw ==== madrid
//!   runaway   10.10.10.6, and takes .5 ------/
//! ```

use anyhow::{Result, ensure};
use netns_tests::updates::{Post, Registering, registration};
use tonic::Code;
use zonemesh_api::clients::local;
use zonemesh_api::v1::ResolveRequest;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{FEDERATION, Mesh};

const ZONES: [ZonePlan<'_>; 1] = [ZonePlan { name: "berlin", vms: &["superlink", "runaway"] }];

/// Registers from a VM; returns the certificate, or how it was refused.
fn register(from: &Post<'_>, request: &Registering) -> Result<Result<String, Code>> {
    from.place.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut gateway = local::connect(from.api, from.tls.clone()).await?;
            let question =
                ResolveRequest { federation: FEDERATION.to_owned(), ..Default::default() };
            gateway.resolve(question).await?;
            let answer = request.once(&mut gateway).await;
            Ok(answer.map(|issued| issued.certificate_pem).map_err(|said| said.code()))
        })
    })
}

#[test]
fn any_vm_is_told_where_the_superlink_is_and_which_ca_to_trust() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start_one(&lab, "berlin")?;
    let [home, runaway] = [
        Post::at(&lab, &mut mesh, "berlin", "superlink")?,
        Post::at(&lab, &mut mesh, "berlin", "runaway")?,
    ];
    let request = registration(&lab, &mesh, "superlink")?;
    ensure!(register(&home, &request)?.is_ok(), "the SuperLink itself");
    let view = runaway.place.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut gateway = local::connect(runaway.api, runaway.tls.clone()).await?;
            let question =
                ResolveRequest { federation: FEDERATION.to_owned(), ..Default::default() };
            Ok(gateway.resolve(question).await?.into_inner())
        })
    })?;
    let own = request.wanted.addresses[0].to_string();
    ensure!(view.addresses == [own] && view.cas.len() == 1, "{view:?}");
    ensure!(view.cas[0].pem.contains("BEGIN CERTIFICATE"), "{view:?}");
    lab.succeeded()
}

#[test]
fn a_vm_that_takes_its_neighbours_address_is_taken_for_it_but_has_no_token() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start_one(&lab, "berlin")?;
    let runaway = Post::at(&lab, &mut mesh, "berlin", "runaway")?;
    let zone = lab.zone("berlin")?;
    let neighbour = zone.vm("superlink")?;
    let for_neighbour = registration(&lab, &mesh, "superlink")?;
    let with_own_address = register(&runaway, &for_neighbour)?;
    ensure!(with_own_address == Err(Code::PermissionDenied), "{with_own_address:?}");

    let own = format!("{}/24", zone.vm("runaway")?.address);
    neighbour.namespace.ip(&["link", "set", "eth0", "down"])?;
    runaway.place.ip(&["addr", "del", &own, "dev", "eth0"])?;
    runaway.place.ip(&["addr", "add", &format!("{}/24", neighbour.address), "dev", "eth0"])?;
    runaway.place.ip(&["route", "replace", "default", "via", &zone.lan_address.to_string()])?;
    let without_token = Registering { token: "a guess".to_owned(), ..for_neighbour.clone() };
    let refused = register(&runaway, &without_token)?;
    ensure!(refused == Err(Code::Unauthenticated), "{refused:?}");
    let certified = register(&runaway, &for_neighbour)?;
    ensure!(certified.as_ref().is_ok_and(|pem| pem.contains("CERTIFICATE")), "{certified:?}");
    lab.succeeded()
}
