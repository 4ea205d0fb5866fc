//! Whose a WireGuard key is, if two gateways name it.
//!
//! Promises: no zone gets another's key, and none can take another's peer away by naming it. What an
//! engineer wrote here by hand counts first, then what is proved by a signature of the key, then what
//! release 0.1.0 or an invitation has said; among equals the zone that was granted first. A record of
//! today that proves nothing is not believed at all. Refuses to know tunnels and addresses.

use std::collections::BTreeMap;

use zonemesh_core::key::WireGuardPublicKey;
use zonemesh_core::name::ZoneName;

use super::reached::Reached;

/// A WireGuard key that a zone names and does not get, or has to share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TakenKey {
    pub(crate) zone: ZoneName,
    /// Which of its keys.
    pub(crate) what: &'static str,
    pub(crate) why: KeyDispute,
}

/// What is wrong with a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyDispute {
    #[error("is another peer's or this gateway's own")]
    Anothers,
    #[error("is not proved: the zone's record has no signature by it")]
    Unproven,
    #[error("is zone {0}'s too, and both have proved it")]
    Shared(ZoneName),
}

/// How well it is known that a gateway has a key, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum KeyStrength {
    ByHand,
    Proven,
    /// Said before there were proofs.
    Said,
    /// Said where a proof was due.
    Nothing,
}

/// What a gateway has a key for. Nobody's present key is taken away by another's next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum KeyUse {
    Present,
    Next,
    OfLane,
}

impl KeyUse {
    fn text(self) -> &'static str {
        match self {
            Self::Present => "its WireGuard key",
            Self::Next => "its next WireGuard key",
            Self::OfLane => "a lane's WireGuard key",
        }
    }
}

struct KeyClaim {
    strength: KeyStrength,
    usage: KeyUse,
    /// Which gateway: those of zones that were granted first come first.
    gateway: usize,
    key: WireGuardPublicKey,
}

struct KeptKey {
    zone: ZoneName,
    has_proved: bool,
}

/// Leaves each key to one gateway. `gateways` are in the order in which their zones were granted; who
/// loses its present key is left out, who loses another does without.
pub(super) fn settle(
    gateways: Vec<Reached>,
    own_zone: &ZoneName,
    own_keys: &[WireGuardPublicKey],
    taken: &mut Vec<TakenKey>,
) -> Vec<Reached> {
    let own = || KeptKey { zone: own_zone.clone(), has_proved: true };
    let mut holders: BTreeMap<_, _> = own_keys.iter().map(|key| (*key, own())).collect();
    let mut claims: Vec<_> =
        gateways.iter().enumerate().flat_map(|(at, gateway)| claims_of(at, gateway)).collect();
    claims.sort_by_key(|claim| (claim.strength, claim.usage, claim.gateway));
    let mut gateways: Vec<_> = gateways.into_iter().map(Some).collect();
    for claim in claims {
        let Some(gateway) = &mut gateways[claim.gateway] else { continue };
        let zone = gateway.id.zone.clone();
        let has_proved = claim.strength == KeyStrength::Proven;
        let Some(why) = dispute(&claim, &zone, &holders) else {
            holders.insert(claim.key, KeptKey { zone, has_proved });
            continue;
        };
        if let KeyDispute::Shared(keeper) = &why {
            let why = KeyDispute::Shared(zone.clone());
            taken.push(TakenKey { zone: keeper.clone(), what: "a WireGuard key", why });
        }
        taken.push(TakenKey { zone, what: claim.usage.text(), why });
        match claim.usage {
            KeyUse::Present => gateways[claim.gateway] = None,
            KeyUse::Next => gateway.next_key = None,
            KeyUse::OfLane => gateway.lanes.clear(),
        }
    }
    // A gateway whose lanes are gone is complained of once.
    taken.dedup();
    gateways.into_iter().flatten().collect()
}

/// Why a claim fails, if it does.
fn dispute(
    claim: &KeyClaim,
    zone: &ZoneName,
    holders: &BTreeMap<WireGuardPublicKey, KeptKey>,
) -> Option<KeyDispute> {
    let both_prove = |holder: &&KeptKey| {
        holder.has_proved && claim.strength == KeyStrength::Proven && holder.zone != *zone
    };
    match holders.get(&claim.key) {
        Some(holder) if both_prove(&holder) => Some(KeyDispute::Shared(holder.zone.clone())),
        Some(_) => Some(KeyDispute::Anothers),
        None if claim.strength == KeyStrength::Nothing => Some(KeyDispute::Unproven),
        None => None,
    }
}

fn claims_of(at: usize, gateway: &Reached) -> Vec<KeyClaim> {
    let claim = |usage, key| {
        let strength = match usage {
            KeyUse::Present if gateway.is_by_hand => KeyStrength::ByHand,
            _ if gateway.proven.contains(&key) => KeyStrength::Proven,
            _ if gateway.must_prove => KeyStrength::Nothing,
            _ => KeyStrength::Said,
        };
        KeyClaim { strength, usage, gateway: at, key }
    };
    let present = std::iter::once(claim(KeyUse::Present, gateway.wireguard_key));
    let next = gateway.next_key.map(|key| claim(KeyUse::Next, key));
    let of_lanes = gateway.lanes.iter().flat_map(|lane| lane.wireguard_keys());
    present.chain(next).chain(of_lanes.map(|key| claim(KeyUse::OfLane, key))).collect()
}
