//! Inviting a zone: which addresses are free for it, and what its invitation says.
//!
//! Promises: an invitation is in the book on disk before it is handed out, and its addresses are
//! nobody else's, neither granted nor configured nor promised. Refuses to know how it is redeemed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use zonemesh_config::Endpoint;
use zonemesh_core::invitation::{
    Invitation, InvitationId, InvitationSecret, InvitedAs, Inviter, Joiner, Redemptions,
};
use zonemesh_core::journal::AuditAct;
use zonemesh_core::key::ZonePublicKey;
use zonemesh_core::member::Member;
use zonemesh_core::membership::{FederationRight, MAX_CLAIMS};
use zonemesh_core::name::ZoneName;
use zonemesh_core::prefix;
use zonemesh_core::record::Gateway;
use zonemesh_core::registry::Registry;
use zonemesh_core::time::UnixMillis;
use zonemesh_core::token::{KnownToken, MAX_KNOWN};

use super::refusal::PromisedBy;
use super::{Administration, Refusal};
use crate::facts::clock;
use crate::facts::ledger::NotPublished;

/// A zone that is to be invited.
pub(crate) struct InvitationRequest {
    pub(crate) zone: ZoneName,
    pub(crate) prefixes: Vec<IpNet>,
    /// Empty: those that the zone is granted, or the next free one.
    pub(crate) tunnel_ips: Vec<IpAddr>,
    /// Empty: what the zone may now, at first everything.
    pub(crate) federations: Vec<FederationRight>,
    /// The tokens of its VMs.
    pub(crate) tokens: Vec<KnownToken>,
    pub(crate) valid_for_ms: u64,
}

impl Administration {
    /// Issues an invitation; what was issued for the zone before and is unused holds no more.
    pub(crate) async fn invite(&self, wanted: InvitationRequest) -> Result<Invitation, Refusal> {
        let mut state = self.state.lock().await;
        if self.ledger.left_since().is_some() {
            // Whoever came would find nobody.
            return Err(NotPublished::Left.into());
        }
        self.fail_if_revoked()?;
        let now = clock::never_back(&self.config());
        let book = state.book.as_mut().ok_or(Refusal::Unmanaged)?;
        let reserved =
            self.ledger.read(|registry| reserved(book, &wanted.zone, now, revoked(registry)));
        let invitation = self.draft_invitation(wanted, &reserved, now)?;
        let voided = book.void(&invitation.zone, None);
        let before = self.ledger.read(|registry| {
            registry.membership().map(|mesh| InvitedAs::of(&invitation.zone, mesh))
        });
        let (room, stale) = book.issue(&invitation, before.unwrap_or_default(), now);
        let mut writes = Vec::new();
        let issued = book.issued().find(|issued| room && issued.id == invitation.id);
        if let Some(issued) = issued {
            writes.push(self.invitations.write(issued));
            let detail = format!("invitation {}", issued.id);
            writes.push(self.ledger.audit(AuditAct::Invite, &issued.zone, detail));
        }
        let gone = stale.iter().chain(voided.iter().map(|issued| &issued.id));
        writes.extend(gone.map(|id| self.invitations.remove(id)));
        let stored = self.disk.write(writes).await;
        if !room {
            return Err(Refusal::BookFull);
        }
        if let Err(error) = stored {
            book.withdraw(&invitation.id);
            book.restore(voided);
            return Err(error.into());
        }
        self.want_to_listen();
        Ok(invitation)
    }

    fn draft_invitation(
        &self,
        wanted: InvitationRequest,
        reserved: &BTreeMap<ZoneName, Vec<IpNet>>,
        now: UnixMillis,
    ) -> Result<Invitation, Refusal> {
        let InvitationRequest { zone, prefixes, mut tunnel_ips, .. } = wanted;
        let InvitationRequest { federations, tokens, valid_for_ms, .. } = wanted;
        if zone == self.config().zone.name {
            return Err(Refusal::OwnZone);
        }
        if prefixes.is_empty() {
            return Err(Refusal::NoPrefix);
        }
        if federations.len() > MAX_CLAIMS || tokens.len() > MAX_KNOWN {
            return Err(Refusal::TooMuch);
        }
        if tunnel_ips.is_empty() {
            tunnel_ips = self.tunnel_ips_for(&zone, reserved)?;
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
            federations,
            tokens,
            expires_at: now.plus(valid_for),
            secret: InvitationSecret::from_bytes(secret),
            read_from: None,
        })
    }

    /// Those that the zone has, or the next free one.
    pub(super) fn tunnel_ips_for(
        &self,
        zone: &ZoneName,
        reserved: &BTreeMap<ZoneName, Vec<IpNet>>,
    ) -> Result<Vec<IpAddr>, Refusal> {
        match self.granted_tunnel_ips(zone) {
            Some(granted) => Ok(granted),
            None => Ok(vec![self.free_tunnel_ip(reserved)?]),
        }
    }

    /// Those of a zone that is granted: it is invited anew with another key, or after it was granted as
    /// it stood in a configuration, and is not to be renumbered.
    fn granted_tunnel_ips(&self, zone: &ZoneName) -> Option<Vec<IpAddr>> {
        let granted = self.ledger.read(|registry| {
            let grant = registry.membership().and_then(|membership| membership.grant(zone));
            grant.map(|grant| grant.tunnel_ips.clone())
        });
        granted.filter(|tunnel_ips| !tunnel_ips.is_empty())
    }

    /// How the joiner reaches this gateway.
    fn inviter(&self) -> Result<Inviter, Refusal> {
        let config = self.config();
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
            zone_key: Some(self.own_keys.zone_key),
            join_endpoints: config.gateway.endpoints.iter().map(join).collect(),
            gateways: vec![Gateway {
                name: config.gateway.name.clone(),
                wireguard_key: self.own_keys.wireguard().newest(),
                next_wireguard_key: None,
                lanes: Vec::new(),
                proofs: Vec::new(),
                further_endpoints: Vec::new(),
                endpoints: config.gateway.endpoints.iter().map(Endpoint::to_string).collect(),
                tunnel_ips: config.tunnel.addresses.clone(),
                registry_port: config.registry.port,
            }],
            prefixes: config.zone.prefixes.clone(),
        })
    }

    /// Nobody else has these addresses: no grant, no configured peer, no open invitation.
    pub(super) fn check_free(
        &self,
        zone: &ZoneName,
        prefixes: &[IpNet],
        tunnel_ips: &[IpAddr],
        reserved: &BTreeMap<ZoneName, Vec<IpNet>>,
    ) -> Result<(), Refusal> {
        let nets: Vec<IpNet> =
            prefixes.iter().copied().chain(tunnel_ips.iter().copied().map(IpNet::from)).collect();
        self.check_outside(zone, &nets)?;
        self.ledger.read(|registry| {
            let membership = registry.membership().ok_or(Refusal::Unmanaged)?;
            membership.check_free(zone, prefixes, tunnel_ips)?;
            let configured = registry.all_members().filter(|member| member.zone != *zone);
            let configured = configured.map(|member| {
                (&member.zone, member_nets(member).collect::<Vec<_>>(), PromisedBy::Section)
            });
            let reserved =
                reserved.iter().map(|(owner, nets)| (owner, nets.clone(), PromisedBy::Invitation));
            for (owner, theirs, by) in configured.chain(reserved) {
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
                        by,
                    });
                }
            }
            Ok(())
        })
    }

    /// None of it is where this gateway is called from outside: it would not be routed here.
    fn check_outside(&self, zone: &ZoneName, nets: &[IpNet]) -> Result<(), Refusal> {
        let config = self.config();
        let outside = config.gateway.endpoints.iter().filter_map(|endpoint| match endpoint {
            Endpoint::Address(address) => Some(address.ip()),
            Endpoint::Name { .. } => None,
        });
        for address in outside {
            if let Some(net) = nets.iter().find(|net| net.contains(&address)) {
                return Err(Refusal::HoldsOuter { zone: zone.clone(), net: *net, address });
            }
        }
        Ok(())
    }

    /// The next address after this gateway's that nobody has, in the same /24 or /120.
    fn free_tunnel_ip(&self, reserved: &BTreeMap<ZoneName, Vec<IpNet>>) -> Result<IpAddr, Refusal> {
        let own = *self.config().tunnel.addresses.first().ok_or(Refusal::NoTunnelIp)?;
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
}

/// What open invitations of other zones have promised.
pub(super) fn reserved(
    book: &Redemptions,
    zone: &ZoneName,
    now: UnixMillis,
    is_revoked: impl Fn(&ZonePublicKey) -> bool,
) -> BTreeMap<ZoneName, Vec<IpNet>> {
    let open = book.issued().filter(|issued| {
        // Whoever came by it and was put out has nothing any more.
        let has = |joiner: &Joiner| !is_revoked(&joiner.zone_key);
        issued.zone != *zone && issued.used_by.as_ref().map_or(issued.expires_at > now, has)
    });
    let nets = |issued: &zonemesh_core::invitation::IssuedInvitation| {
        let ips = issued.tunnel_ips.iter().copied().map(IpNet::from);
        issued.prefixes.iter().copied().chain(ips).collect::<Vec<_>>()
    };
    open.map(|issued| (issued.zone.clone(), nets(issued))).collect()
}

/// Which keys were put out for ever.
pub(super) fn revoked(registry: &Registry) -> impl Fn(&ZonePublicKey) -> bool {
    |key| registry.membership().is_some_and(|membership| membership.is_revoked(key))
}

fn member_nets(member: &Member) -> impl Iterator<Item = IpNet> {
    let ips = member.tunnel_ips.iter().copied().map(IpNet::from);
    member.prefixes.iter().copied().chain(ips)
}

fn random() -> Result<[u8; 16], Refusal> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
