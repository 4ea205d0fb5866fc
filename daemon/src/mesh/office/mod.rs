//! What changes the mesh: founding it, inviting, granting, revoking, blocking, importing.
//!
//! Promises: everything is on disk before anyone hears of it; what an authority must sign is signed
//! here only with the key in this gateway's state folder, or handed out to be signed elsewhere. A
//! refusal says what to do next. Refuses to know who may ask: that is the admin socket's.

mod redeem;
mod refusal;
mod zones;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use tokio::sync::watch;
use zonemesh_config::{Config, Endpoint};
use zonemesh_core::invitation::{Invitation, InvitationId, InvitationSecret, Inviter, Redemptions};
use zonemesh_core::key::{WireGuardPublicKey, ZonePublicKey};
use zonemesh_core::membership::{
    AuthorityIdentity, AuthorityPublicKey, Grant, GrantRequest, Membership, SignedTrustItem,
    TrustItem, sign, signatures_missing,
};
use zonemesh_core::name::ZoneName;
use zonemesh_core::prefix;
use zonemesh_core::record::Gateway;
use zonemesh_core::registry::Member;
use zonemesh_core::time::UnixMillis;

use super::hints::Hints;
use crate::join::Listening;
use crate::registry::{Ledger, Outcome, now};
use crate::state::blocked::BlockedFile;
use crate::state::invitations::InvitationFiles;
use crate::state::keys;

pub(crate) use refusal::Refusal;

/// The name of the authority key's file in the state folder.
const AUTHORITY_KEY: &str = "authority.key";

/// Who this gateway is in its mesh.
pub(crate) struct Identity {
    pub(crate) zone_key: ZonePublicKey,
    pub(crate) wireguard_key: WireGuardPublicKey,
}

/// What changes the mesh.
pub(crate) struct Office {
    pub(super) config: Arc<Config>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) identity: Identity,
    pub(super) hints: Hints,
    invitations: InvitationFiles,
    blocked: BlockedFile,
    authority_file: PathBuf,
    state: Mutex<State>,
    /// Tells the join service whether it is wanted, and hears how it fares.
    pub(crate) listening: watch::Sender<Listening>,
}

struct State {
    authority: Option<AuthorityIdentity>,
    /// The book of invitations, in a managed mesh.
    book: Option<Redemptions>,
}

/// A zone that is to be invited.
pub(crate) struct Wanted {
    pub(crate) zone: ZoneName,
    pub(crate) prefixes: Vec<IpNet>,
    /// Empty: the next free one.
    pub(crate) tunnel_ips: Vec<IpAddr>,
    pub(crate) valid_for_ms: u64,
}

/// A change of trust: what it has brought, and what is left to be signed elsewhere.
#[derive(Default)]
pub(crate) struct Signed {
    pub(crate) outcome: Outcome,
    /// Items with too few signatures, and how many the first of them lacks.
    pub(crate) unfinished: Vec<SignedTrustItem>,
    pub(crate) missing: u32,
}

impl Office {
    /// Opens the office with what the disk says.
    pub(crate) fn open(
        config: Arc<Config>,
        ledger: Arc<Ledger>,
        identity: Identity,
    ) -> anyhow::Result<Self> {
        let folder = &config.gateway.state_dir;
        let invitations = InvitationFiles::open(folder)?;
        let blocked = BlockedFile::new(folder);
        let authority_file = folder.join(AUTHORITY_KEY);
        let authority = authority_file.exists().then(|| keys::authority(&authority_file));
        let authority = authority.transpose().map_err(crate::failure::Failure::into_error)?;
        ledger.set_blocked(&blocked.read()?);
        let issued = invitations.read_all()?;
        let hints = Hints::new(&issued, invitations.inviter().as_ref());
        let managed = ledger.read(|registry| registry.membership().map(|m| m.mesh().clone()));
        let wanted = managed.is_some() && !issued.is_empty();
        let book = managed.map(|mesh| Redemptions::new(mesh, identity.zone_key, issued));
        Ok(Self {
            config,
            ledger,
            identity,
            hints,
            invitations,
            blocked,
            authority_file,
            state: Mutex::new(State { authority, book }),
            listening: watch::Sender::new(if wanted { Listening::Wanted } else { Listening::Off }),
        })
    }

    /// The settings of this gateway.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The registry with its files.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The public keys of this gateway.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// How gateways are reached whose record is not here yet.
    pub(crate) fn hints(&self) -> Hints {
        self.hints.clone()
    }

    /// Founds a mesh with an authority key of its own and this zone as the first member;
    /// `grant_configured` makes members of the configured peers too.
    pub(crate) fn found(
        &self,
        mut authorities: BTreeSet<AuthorityPublicKey>,
        threshold: u32,
        grant_configured: bool,
    ) -> Result<(AuthorityPublicKey, Vec<ZoneName>), Refusal> {
        let mut state = self.lock();
        self.fail_if_managed()?;
        let authority = keys::authority(&self.authority_file)
            .map_err(|failure| Refusal::Disk(failure.into_error()))?;
        let key = authority.public_key();
        authorities.insert(key);
        let now = now();
        // The first set is this gateway's alone, so that it can be signed here; a further one that
        // asks for more takes force at once.
        let first = Membership::draft_first(BTreeSet::from([key]), 1, now)?;
        let signed = sign(&first, &TrustItem::AuthoritySet(first.clone()), &[&authority]);
        let mut membership = Membership::new(signed)?;
        self.grant_known(&mut membership, &authority, grant_configured, now)?;
        if authorities.len() > 1 || threshold > 1 {
            let set = membership.draft_authorities(authorities, threshold.max(1), now)?;
            let set = sign(&first, &TrustItem::AuthoritySet(set), &[&authority]);
            membership.accept(set)?;
        }
        let zones = membership.members().map(|member| member.zone.clone()).collect();
        self.adopt(&mut state, membership)?;
        state.authority = Some(authority);
        Ok((key, zones))
    }

    fn grant_known(
        &self,
        membership: &mut Membership,
        authority: &AuthorityIdentity,
        grant_configured: bool,
        now: UnixMillis,
    ) -> Result<(), Refusal> {
        let known = crate::announcement::members(&self.config, self.identity.zone_key);
        let count = if grant_configured { known.len() } else { 1 };
        for member in known.into_iter().take(count) {
            let grant = membership.draft_grant(request_of(member), now)?;
            let (_, set) = membership.authority_set();
            let grant = sign(set, &TrustItem::Grant(grant), &[authority]);
            membership.accept(grant)?;
        }
        Ok(())
    }

    /// Takes a mesh as this gateway's own: on disk, then in force.
    fn adopt(&self, state: &mut State, membership: Membership) -> Result<(), Refusal> {
        let mesh = membership.mesh().clone();
        self.ledger.manage(membership).map_err(|error| Refusal::Disk(error.into()))?;
        state.book = Some(Redemptions::new(mesh.clone(), self.identity.zone_key, Vec::new()));
        tracing::info!(%mesh, "this gateway belongs to a managed mesh");
        Ok(())
    }

    /// Becomes a member of a mesh that has granted this zone.
    pub(crate) fn join(
        &self,
        invitation: &Invitation,
        membership: Membership,
    ) -> Result<(), Refusal> {
        let mut state = self.lock();
        self.invitations.store_inviter(invitation).map_err(|error| Refusal::Disk(error.into()))?;
        self.hints.learn_inviter(invitation);
        if self.ledger.read(|registry| registry.mesh() == *membership.mesh()) {
            self.ledger.accept_trust(membership.items());
            return Ok(());
        }
        self.adopt(&mut state, membership)
    }

    /// Issues an invitation.
    pub(crate) fn invite(&self, wanted: Wanted) -> Result<Invitation, Refusal> {
        let mut state = self.lock();
        let now = now();
        let book = state.book.as_mut().ok_or(Refusal::Unmanaged)?;
        let reserved = reserved(book, &wanted.zone, now);
        let invitation = self.draft_invitation(wanted, &reserved, now)?;
        let (room, stale) = book.issue(&invitation, now);
        stale.iter().for_each(|id| self.invitations.remove(id));
        if !room {
            return Err(Refusal::BookFull);
        }
        let issued = book.issued().find(|issued| issued.id == invitation.id);
        let stored = issued.map_or(Ok(()), |issued| self.invitations.store(issued));
        stored.map_err(|error| Refusal::Disk(error.into()))?;
        self.listening.send_if_modified(|listening| {
            let off = matches!(listening, Listening::Off | Listening::Failed(_));
            if off {
                *listening = Listening::Wanted;
            }
            off
        });
        Ok(invitation)
    }

    fn draft_invitation(
        &self,
        wanted: Wanted,
        reserved: &BTreeMap<ZoneName, Vec<IpNet>>,
        now: UnixMillis,
    ) -> Result<Invitation, Refusal> {
        let Wanted { zone, prefixes, mut tunnel_ips, valid_for_ms } = wanted;
        if zone == self.config.zone.name {
            return Err(Refusal::OwnZone);
        }
        if prefixes.is_empty() {
            return Err(Refusal::NoPrefix);
        }
        if tunnel_ips.is_empty() {
            tunnel_ips = vec![self.free_tunnel_ip(reserved)?];
        }
        self.check_free(&zone, &prefixes, &tunnel_ips, reserved)?;
        let (mesh, authority_set) = self
            .ledger
            .read(|registry| registry.membership().map(|m| (m.mesh().clone(), m.authority_set().0)))
            .ok_or(Refusal::Unmanaged)?;
        let valid_for = match valid_for_ms {
            0 => zonemesh_core::invitation::DEFAULT_LIFETIME_MS,
            given => given,
        };
        let [id, secret] = [random()?, random()?];
        Ok(Invitation {
            id: InvitationId(id),
            mesh,
            authority_set,
            inviter: self.inviter()?,
            zone,
            prefixes,
            tunnel_ips,
            expires_at: now.plus(valid_for),
            secret: InvitationSecret::from_bytes(secret),
        })
    }

    /// How the joiner reaches this gateway.
    fn inviter(&self) -> Result<Inviter, Refusal> {
        let config = &self.config;
        let port = config.join.listen.port();
        let join = |endpoint: &Endpoint| match endpoint {
            Endpoint::Address(address) => {
                Endpoint::Address(std::net::SocketAddr::new(address.ip(), port)).to_string()
            }
            Endpoint::Name { host, .. } => format!("{host}:{port}"),
        };
        if config.gateway.endpoints.is_empty() {
            return Err(Refusal::NoEndpoint);
        }
        Ok(Inviter {
            zone: config.zone.name.clone(),
            zone_key: self.identity.zone_key,
            join_endpoints: config.gateway.endpoints.iter().map(join).collect(),
            gateways: vec![Gateway {
                name: config.gateway.name.clone(),
                wireguard_key: self.identity.wireguard_key,
                endpoints: config.gateway.endpoints.iter().map(Endpoint::to_string).collect(),
                tunnel_ips: config.tunnel.addresses.clone(),
                registry_port: config.registry.port,
            }],
            prefixes: config.zone.prefixes.clone(),
        })
    }

    /// Nobody else has these addresses: no grant, no configured peer, no open invitation.
    fn check_free(
        &self,
        zone: &ZoneName,
        prefixes: &[IpNet],
        tunnel_ips: &[IpAddr],
        reserved: &BTreeMap<ZoneName, Vec<IpNet>>,
    ) -> Result<(), Refusal> {
        let nets: Vec<IpNet> =
            prefixes.iter().copied().chain(tunnel_ips.iter().copied().map(IpNet::from)).collect();
        self.ledger.read(|registry| {
            let membership = registry.membership().ok_or(Refusal::Unmanaged)?;
            membership.check_free(zone, prefixes, tunnel_ips)?;
            let configured = registry.all_members().filter(|member| member.zone != *zone);
            let configured =
                configured.map(|member| (&member.zone, member_nets(member).collect::<Vec<_>>()));
            let reserved = reserved.iter().map(|(owner, nets)| (owner, nets.clone()));
            for (owner, theirs) in configured.chain(reserved) {
                let clash = nets.iter().find_map(|net| {
                    theirs
                        .iter()
                        .find(|their| prefix::overlaps(net, their))
                        .map(|their| (net, their))
                });
                if let Some((net, their)) = clash {
                    return Err(Refusal::Overlap {
                        zone: zone.clone(),
                        net: *net,
                        owner: owner.clone(),
                        theirs: *their,
                    });
                }
            }
            Ok(())
        })
    }

    /// The next address after this gateway's that nobody has, in the same /24 or /120.
    fn free_tunnel_ip(&self, reserved: &BTreeMap<ZoneName, Vec<IpNet>>) -> Result<IpAddr, Refusal> {
        let own = *self.config.tunnel.addresses.first().ok_or(Refusal::NoTunnelIp)?;
        let around = match own {
            IpAddr::V4(_) => IpNet::new(own, 24),
            IpAddr::V6(_) => IpNet::new(own, 120),
        };
        let around = around.or(Err(Refusal::NoTunnelIp))?.trunc();
        let taken: Vec<IpNet> = self.ledger.read(|registry| {
            let members = registry.all_members().flat_map(member_nets);
            members.chain(reserved.values().flatten().copied()).collect()
        });
        let free = |ip: &IpAddr| *ip != own && !taken.iter().any(|net| net.contains(ip));
        around.hosts().find(free).ok_or(Refusal::NoTunnelIp)
    }

    /// Signs an item as far as this gateway can.
    fn sign(&self, state: &State, item: &TrustItem) -> Result<(SignedTrustItem, u32), Refusal> {
        self.ledger.read(|registry| {
            let membership = registry.membership().ok_or(Refusal::Unmanaged)?;
            let (_, set) = membership.authority_set();
            let keys: Vec<_> = state.authority.iter().collect();
            let signed = sign(set, item, &keys);
            let missing = signatures_missing(set, &signed);
            Ok((signed, missing))
        })
    }

    /// Signs and applies an item, or hands it out to be signed elsewhere.
    fn sign_and_apply(&self, state: &State, item: &TrustItem) -> Result<Signed, Refusal> {
        let (signed, missing) = self.sign(state, item)?;
        if missing > 0 {
            return Ok(Signed { unfinished: vec![signed], missing, ..Signed::default() });
        }
        let outcome = self.ledger.accept_trust(vec![signed]);
        Ok(Signed { outcome, ..Signed::default() })
    }

    fn draft_grant(&self, request: GrantRequest) -> Result<Grant, Refusal> {
        self.ledger.read(|registry| {
            let membership = registry.membership().ok_or(Refusal::Unmanaged)?;
            Ok(membership.draft_grant(request, now())?)
        })
    }

    fn fail_if_managed(&self) -> Result<(), Refusal> {
        let mesh = self.ledger.read(|registry| registry.membership().map(|m| m.mesh().clone()));
        mesh.map_or(Ok(()), |mesh| Err(Refusal::Managed(mesh)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What open invitations of other zones have promised.
fn reserved(
    book: &Redemptions,
    zone: &ZoneName,
    now: UnixMillis,
) -> BTreeMap<ZoneName, Vec<IpNet>> {
    let open = book.issued().filter(|issued| {
        issued.zone != *zone && (issued.used_by.is_some() || issued.expires_at > now)
    });
    let nets = |issued: &zonemesh_core::invitation::Issued| {
        let ips = issued.tunnel_ips.iter().copied().map(IpNet::from);
        issued.prefixes.iter().copied().chain(ips).collect::<Vec<_>>()
    };
    open.map(|issued| (issued.zone.clone(), nets(issued))).collect()
}

fn member_nets(member: &Member) -> impl Iterator<Item = IpNet> {
    let ips = member.tunnel_ips.iter().copied().map(IpNet::from);
    member.prefixes.iter().copied().chain(ips)
}

fn request_of(member: Member) -> GrantRequest {
    GrantRequest {
        zone: member.zone,
        zone_key: member.key,
        prefixes: member.prefixes,
        tunnel_ips: member.tunnel_ips,
    }
}

fn random() -> Result<[u8; 16], Refusal> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(Refusal::Randomness)?;
    Ok(bytes)
}
