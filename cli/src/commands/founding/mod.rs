//! `zonemesh mesh init --out`: a mesh that is made on a machine without a gateway or a network.
//!
//! Promises: either everything that the zones need lies in the new folder, for its owner alone, or
//! nothing of it is of use to anybody. Each secret stands in one zone's folder only.

mod said;
mod vms;

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::SystemTime;

use zeroize::Zeroizing;
use zonemesh_api::view::MeshView;
use zonemesh_config::Endpoint;
use zonemesh_core::founding::{
    FoundedMesh, FoundingPlan, InvitedZone, PlannedZone, first_set, mesh_of,
};
use zonemesh_core::invitation::{InvitationId, InvitationSecret};
use zonemesh_core::membership::AuthorityIdentity;
use zonemesh_core::mesh::MeshId;
use zonemesh_core::time::UnixMillis;

use crate::arguments::{FederationArgument, LanArgument, Offline, ZoneArgument};
use crate::failure::{CommandFailure, Exit, OrFail as _};
use crate::secret_file;
use crate::view::mesh::FoundedView;
use said::SaidMesh;
use vms::ZoneVms;

/// TCP port of the join service.
const JOIN_PORT: u16 = 51823;
/// TCP port of the local API.
const LOCAL_API_PORT: u16 = 51822;
const NOT_FOUNDED: &str = "this mesh cannot be founded";

/// Reads what was said of the mesh, before anything is made.
pub(super) fn said(offline: &Offline, owner_keys: &[String]) -> Result<SaidMesh, CommandFailure> {
    let now = UnixMillis::from(SystemTime::now());
    said::read(offline, owner_keys, now).map_err(|mistakes| {
        let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        let message = match lines.as_slice() {
            [line] => format!("{NOT_FOUNDED}: {line}"),
            lines => format!("{NOT_FOUNDED}:\n  {}", lines.join("\n  ")),
        };
        CommandFailure::message(Exit::Usage, message)
    })
}

/// Makes the mesh in `folder`. Its owners are `owner_keys`, and those whose keys lie in
/// `owner_key_files`.
pub(super) fn found(
    folder: &Path,
    said: &SaidMesh,
    owner_keys: &[String],
    owner_key_files: Vec<String>,
) -> Result<FoundedView, CommandFailure> {
    let mut zones = with_tunnel_ips(said);
    let owners = owner_keys.iter().map(|key| key.parse()).collect::<Result<_, _>>();
    let owners =
        owners.or_exit(Exit::Usage, || "--owner takes an authority's public key".to_owned())?;
    let now = UnixMillis::from(SystemTime::now());
    let signing_key = AuthorityIdentity::from_seed(&Zeroizing::new(random()?));
    let public = signing_key.public_key();
    let first = first_set(owners, public, now).or_exit(Exit::Usage, || NOT_FOUNDED.to_owned())?;
    let mesh = mesh_of(&first).or_exit(Exit::Usage, || NOT_FOUNDED.to_owned())?;
    for zone in &mut zones {
        zone.take_part(&mesh, &said.federations)?;
    }
    let founded = plan(&zones, said.expires_at)?.found(first, signing_key);
    let founded = founded.or_exit(Exit::Usage, || NOT_FOUNDED.to_owned())?;
    write_all(folder, &zones, &founded, &said.federations)?;
    let names = zones.iter().map(|zone| zone.planned.zone.to_string()).collect();
    Ok(FoundedView(MeshView {
        schema: "zonemesh/mesh/v1",
        mesh: founded.mesh.to_string(),
        authority_key: public.to_string(),
        owner_key_files,
        zones: names,
    }))
}

/// A zone with what its configuration needs.
struct ConfiguredZone<'a> {
    planned: PlannedZone,
    endpoints: &'a [Endpoint],
    /// Where its VMs reach the gateway, as far as it is known before there is one.
    lan: IpAddr,
    /// The same, if it was said: else its VMs ask OneGate.
    said_lan: Option<IpAddr>,
    vms: Vec<ZoneVms>,
}

impl ConfiguredZone<'_> {
    /// Plans what the zone does for the federations, and makes its VMs' tokens.
    fn take_part(
        &mut self,
        mesh: &MeshId,
        federations: &[FederationArgument],
    ) -> Result<(), CommandFailure> {
        let zone = &mut self.planned;
        zone.federations = vms::rights(&zone.zone, federations);
        self.vms = vms::vms(mesh, &zone.zone, &zone.federations)?;
        zone.tokens = self.vms.iter().map(ZoneVms::known).collect();
        Ok(())
    }
}

/// What was said of a zone's gateway.
fn said_lan(zone: &ZoneArgument, said: &[LanArgument]) -> Option<IpAddr> {
    said.iter().find(|lan| lan.zone == zone.zone).map(|lan| lan.address)
}

/// The same, or the first address of its first subnet.
fn lan_address(zone: &ZoneArgument, said: &[LanArgument]) -> Option<IpAddr> {
    said_lan(zone, said).or_else(|| said::first_of(zone.prefixes.first()?))
}

/// The founder first, each with the next address of the tunnel network.
fn with_tunnel_ips(said: &SaidMesh) -> Vec<ConfiguredZone<'_>> {
    let zones = said.zones.iter().zip(said.tunnel_net.hosts());
    let configured = zones.map(|(zone, ip)| ConfiguredZone {
        planned: PlannedZone {
            zone: zone.zone.clone(),
            prefixes: zone.prefixes.clone(),
            tunnel_ips: vec![ip],
            federations: Vec::new(),
            tokens: Vec::new(),
        },
        endpoints: &zone.endpoints,
        lan: lan_address(zone, &said.lan).unwrap_or(ip),
        said_lan: said_lan(zone, &said.lan),
        vms: Vec::new(),
    });
    configured.collect()
}

fn plan(
    zones: &[ConfiguredZone<'_>],
    expires_at: UnixMillis,
) -> Result<FoundingPlan, CommandFailure> {
    let invited = |zone: &ConfiguredZone<'_>| -> Result<_, CommandFailure> {
        let secret = InvitationSecret::from_bytes(random()?);
        Ok(InvitedZone { planned: zone.planned.clone(), id: InvitationId(random()?), secret })
    };
    let (first, others) = zones.split_first().ok_or_else(|| {
        CommandFailure::message(Exit::Usage, "a mesh has at least its founder".to_owned())
    })?;
    Ok(FoundingPlan {
        founder: first.planned.clone(),
        join_endpoints: first.endpoints.iter().map(join_endpoint).collect(),
        others: others.iter().map(invited).collect::<Result<_, _>>()?,
        expires_at,
    })
}

/// Where the founder's join service is, which listens beside its tunnels.
fn join_endpoint(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Address(address) => SocketAddr::new(address.ip(), JOIN_PORT).to_string(),
        Endpoint::Name { host, .. } => format!("{host}:{JOIN_PORT}"),
    }
}

/// The folder is whole, or is not there: half a mesh is none.
fn write_all(
    folder: &Path,
    zones: &[ConfiguredZone<'_>],
    founded: &FoundedMesh,
    federations: &[FederationArgument],
) -> Result<(), CommandFailure> {
    make_folder(folder)?;
    let written = fill(folder, zones, founded, federations);
    if written.is_err() {
        // What has failed is told; a folder that stays is told the next time.
        let _ = std::fs::remove_dir_all(folder);
    }
    written
}

fn fill(
    folder: &Path,
    zones: &[ConfiguredZone<'_>],
    founded: &FoundedMesh,
    federations: &[FederationArgument],
) -> Result<(), CommandFailure> {
    let founding = founded.bundle.to_text();
    let invitations = founded.invitations.iter().map(|invitation| invitation.to_text());
    let secrets = std::iter::once(founding).chain(invitations);
    for (index, (zone, secret)) in zones.iter().zip(secrets).enumerate() {
        let place = folder.join(zone.planned.zone.as_str());
        make_folder(&place)?;
        let kind = if index == 0 { "founding" } else { "invitation" };
        let config = configuration(zone, federations);
        secret_file::create(&place.join("zonemesh.toml"), config.trim_end())?;
        secret_file::create(&place.join(kind), &secret)?;
        secret_file::create(&place.join("context"), &context(zone, &secret))?;
        zone.vms.iter().try_for_each(|vms| vms.write(&place, zone.said_lan))?;
    }
    Ok(())
}

/// The lines for the CONTEXT of the zone's gateway: what its VM finds there itself is left out.
fn context(zone: &ConfiguredZone<'_>, secret: &str) -> Zeroizing<String> {
    let mut lines = Zeroizing::new(format!("ONEAPP_ZONEMESH_INVITATION=\"{secret}\""));
    if !zone.endpoints.is_empty() {
        let endpoints = texts(zone.endpoints).join(" ");
        // Writing into a String does not fail.
        let _ = write!(lines, "\nONEAPP_ZONEMESH_ENDPOINT=\"{endpoints}\"");
    }
    lines
}

fn make_folder(folder: &Path) -> Result<(), CommandFailure> {
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let message = format!("{} is there already and is not overwritten", folder.display());
            Err(CommandFailure::message(Exit::Policy, message).next("name another folder"))
        }
        made => made.or_exit(Exit::Configuration, || format!("cannot make {}", folder.display())),
    }
}

/// The gateway's `zonemesh.toml`.
fn configuration(zone: &ConfiguredZone<'_>, federations: &[FederationArgument]) -> String {
    let ConfiguredZone { planned, endpoints, .. } = zone;
    let mut text = format!(
        "[zone]\nname = \"{}\"\nprefixes = {:?}\n\n[tunnel]\naddresses = {:?}\n",
        planned.zone,
        texts(&planned.prefixes),
        texts(&planned.tunnel_ips)
    );
    if !endpoints.is_empty() {
        // Writing into a String does not fail.
        let _ = write!(text, "\n[gateway]\nendpoints = {:?}\n", texts(endpoints));
    }
    if !zone.vms.is_empty() {
        let _ = write!(
            text,
            "\n[local_api]\nlisten = \"{}\"\n",
            SocketAddr::new(zone.lan, LOCAL_API_PORT)
        );
    }
    let hosted = federations.iter().filter(|federation| federation.host == planned.zone);
    for federation in hosted {
        let _ = write!(text, "\n[[federation]]\nname = \"{}\"\n", federation.name);
    }
    text
}

fn texts(values: &[impl ToString]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn random<const N: usize>() -> Result<[u8; N], CommandFailure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .or_exit(Exit::Negative, || "no randomness from the kernel".to_owned())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use zonemesh_config::Config;

    use super::*;

    #[test]
    fn what_is_written_for_a_gateway_is_a_valid_configuration() {
        let zone: ZoneArgument = "berlin=10.10.10.0/24@203.0.113.1:51820".parse().unwrap();
        let federation: FederationArgument = "health-eu=berlin:berlin".parse().unwrap();
        let mut configured = ConfiguredZone {
            planned: PlannedZone {
                zone: zone.zone.clone(),
                prefixes: zone.prefixes.clone(),
                tunnel_ips: vec!["10.255.0.1".parse().unwrap()],
                federations: Vec::new(),
                tokens: Vec::new(),
            },
            endpoints: &zone.endpoints,
            lan: lan_address(&zone, &[]).unwrap(),
            said_lan: None,
            vms: Vec::new(),
        };
        let federations = [federation];
        configured.take_part(&MeshId::new("0f".repeat(32)), &federations).unwrap();
        let lines = context(&configured, "c2VjcmV0");
        let expected = "ONEAPP_ZONEMESH_INVITATION=\"c2VjcmV0\"\nONEAPP_ZONEMESH_ENDPOINT=\"203.0.113.1:51820\"";
        assert_eq!(*lines, expected);
        let text = configuration(&configured, &federations);
        let config = Config::parse(&text, "zonemesh.toml").unwrap();
        let listen = config.local_api.map(|api| api.listen.to_string());
        assert_eq!(listen.as_deref(), Some("10.10.10.1:51822"));
        assert_eq!(
            (config.zone.prefixes, config.gateway.endpoints),
            (zone.prefixes, zone.endpoints)
        );
        assert_eq!((config.federations.len(), config.join.listen.port()), (1, JOIN_PORT));
    }
}
