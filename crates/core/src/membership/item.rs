//! What trust items say: authority sets, pages of their lists of grants, grants, revocations.
//!
//! Promises: every kind has a domain text of its own, so that no signature holds for another kind of
//! item or for a record. Refuses to know how items are signed (`signed`), which authorities are right
//! (`chain`) and what follows from an item (`applied`).

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::key::AuthorityPublicKey;
use crate::key::ZonePublicKey;
use crate::mesh::MeshId;
use crate::name::{FederationName, NameError, ZoneName};
use crate::time::UnixMillis;

/// Most tunnel IPs of a grant in each family.
pub(super) const MAX_TUNNEL_IPS: usize = 4;
/// Most prefixes of a grant, and most federations.
pub const MAX_CLAIMS: usize = 64;
/// Largest payload of a trust item.
pub const MAX_ITEM_BYTES: usize = 8 * 1024;
/// Most owner keys of a mesh, and most signing keys.
pub const MAX_AUTHORITIES: usize = 16;
/// Most signatures of an item: those of two sets, of both kinds of keys.
pub(super) const MAX_SIGNATURES: usize = 4 * MAX_AUTHORITIES;
/// Most grants on a page of a list.
pub(super) const PAGE_GRANTS: usize = 128;
/// Most pages of a list, which is 16 384 grants.
pub(super) const MAX_PAGES: usize = 128;

/// SHA-256 of an authority set's payload; that of the first one names the mesh.
pub type SetHash = [u8; 32];

/// What kind of item it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrustKind {
    /// Who may sign.
    AuthoritySet,
    /// A zone belongs to the mesh.
    Grant,
    /// A zone key belongs to it no more.
    Revocation,
    /// A page of the list of grants that stay under an authority set.
    GrantPage,
}

impl TrustKind {
    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthoritySet => "authority_set",
            Self::Grant => "grant",
            Self::Revocation => "revocation",
            Self::GrantPage => "grant_page",
        }
    }

    pub(super) fn domain(self) -> &'static [u8] {
        match self {
            Self::AuthoritySet => b"zonemesh authority set v1\0",
            Self::Grant => b"zonemesh grant v1\0",
            Self::Revocation => b"zonemesh revocation v1\0",
            Self::GrantPage => b"zonemesh grant page v1\0",
        }
    }
}

/// Who may sign for a mesh, and which grants stay. The first set names the mesh by its hash and needs
/// no signature; each further one is linked to the one before it and valid with the signatures of a
/// strict majority of that one's owner keys and of every key that it adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthoritySet {
    /// 0 for the first set, then one more each time.
    pub epoch: u64,
    /// Hash of the set before; `None` for the first one.
    pub previous: Option<SetHash>,
    /// Who may change the set, at most [`MAX_AUTHORITIES`]. `None` in a set of release 0.1, whose
    /// keys are of both kinds: [`AuthoritySet::owners`].
    pub owner_keys: Option<BTreeSet<AuthorityPublicKey>>,
    /// The signing keys, at most [`MAX_AUTHORITIES`]: who may grant and revoke.
    pub keys: BTreeSet<AuthorityPublicKey>,
    /// How many signing keys must sign a grant or a revocation.
    pub threshold: u32,
    /// The pages of the list of grants that stay; what is not listed is out.
    pub pages: Vec<ContentId>,
    /// Keys that it removes as stolen: revocations that need them have ended.
    pub stolen: BTreeSet<AuthorityPublicKey>,
    /// When it was written, by the writer's clock. For people.
    pub issued_at: UnixMillis,
}

impl AuthoritySet {
    /// Who may change the set.
    #[must_use]
    pub fn owners(&self) -> &BTreeSet<AuthorityPublicKey> {
        self.owner_keys.as_ref().unwrap_or(&self.keys)
    }

    /// How many owner keys must sign the next set: a strict majority.
    #[must_use]
    pub fn majority(&self) -> usize {
        self.owners().len() / 2 + 1
    }

    /// True for a set of release 0.1, which has no owner keys and no list.
    #[must_use]
    pub fn is_older_form(&self) -> bool {
        self.owner_keys.is_none()
    }

    /// The keys that `next` adds to this set: each of them has to sign it.
    pub fn added_by<'a>(
        &'a self,
        next: &'a Self,
    ) -> impl Iterator<Item = &'a AuthorityPublicKey> + 'a {
        let every = next.owners().union(&next.keys);
        every.filter(|key| !self.keys.contains(key) && !self.owners().contains(key))
    }

    /// True if enough of these keys are signing keys of this set.
    #[must_use]
    pub fn entitles(&self, signers: &BTreeSet<AuthorityPublicKey>) -> bool {
        signers.intersection(&self.keys).count() as u64 >= u64::from(self.threshold)
    }
}

/// What a zone may do for a federation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FederationRight {
    /// The federation.
    pub federation: FederationName,
    /// It may run the federation's SuperLink.
    pub host: bool,
    /// Its SuperNodes may take part.
    pub train: bool,
}

/// Not what a zone may do for a federation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FederationRightError {
    /// Another form.
    #[error("write FEDERATION=host, FEDERATION=train, FEDERATION=host,train or FEDERATION=none")]
    Form,
    /// Not a federation's name.
    #[error("not a federation's name")]
    Name(#[from] NameError),
}

impl fmt::Display for FederationRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rights = [(self.host, "host"), (self.train, "train")];
        let rights: Vec<_> = rights.iter().filter(|(has, _)| *has).map(|(_, word)| *word).collect();
        let rights = if rights.is_empty() { "none".to_owned() } else { rights.join(",") };
        write!(f, "{}={rights}", self.federation)
    }
}

impl FromStr for FederationRight {
    type Err = FederationRightError;

    fn from_str(text: &str) -> Result<Self, FederationRightError> {
        let (federation, rights) = text.split_once('=').ok_or(FederationRightError::Form)?;
        let mut right = Self { federation: federation.parse()?, host: false, train: false };
        if rights == "none" {
            return Ok(right);
        }
        for word in rights.split(',') {
            match word {
                "host" => right.host = true,
                "train" => right.train = true,
                _ => return Err(FederationRightError::Form),
            }
        }
        Ok(right)
    }
}

/// A zone belongs to the mesh: its key and all that it may claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The mesh.
    pub mesh: MeshId,
    /// The zone's name.
    pub zone: ZoneName,
    /// The zone's key.
    pub zone_key: ZonePublicKey,
    /// The prefixes that it may announce.
    pub prefixes: Vec<IpNet>,
    /// The tunnel IPs that its gateways may use.
    pub tunnel_ips: Vec<IpAddr>,
    /// What it may do for which federation; none named: all of both.
    pub federations: Vec<FederationRight>,
    /// The authority set under which it was signed; `None` in a grant of release 0.1.
    pub set: Option<SetHash>,
    /// Orders the grants of one zone that name the same set: the highest holds.
    pub serial: u64,
    /// Since when the zone has had what it is granted, in milliseconds since 1970 (in grants of release
    /// 0.1 their serial): of two zones that overlap the lower one keeps.
    pub since: u64,
    /// When it was written, by the writer's clock. For people.
    pub issued_at: UnixMillis,
}

impl Grant {
    /// True if the zone may run this federation's SuperLink.
    #[must_use]
    pub fn may_host(&self, federation: &FederationName) -> bool {
        self.allows(federation, |right| right.host)
    }

    /// True if SuperNodes of the zone may take part in this federation.
    #[must_use]
    pub fn may_train(&self, federation: &FederationName) -> bool {
        self.allows(federation, |right| right.train)
    }

    fn allows(&self, of: &FederationName, what: impl Fn(&FederationRight) -> bool) -> bool {
        let named = |right: &FederationRight| right.federation == *of && what(right);
        self.federations.is_empty() || self.federations.iter().any(named)
    }
}

/// A zone key belongs to the mesh no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The mesh.
    pub mesh: MeshId,
    /// The zone that had the key.
    pub zone: ZoneName,
    /// The key.
    pub zone_key: ZonePublicKey,
    /// The authority set under which it was signed; `None` in a revocation of release 0.1.
    pub set: Option<SetHash>,
    /// Its number, for people.
    pub serial: u64,
    /// Why, for people; at most 256 characters.
    pub reason: String,
    /// When it was written, by the writer's clock. For people.
    pub issued_at: UnixMillis,
}

/// Some of the grants that stay under an authority set: at most `PAGE_GRANTS`, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantPage {
    /// The grants, by what they say: whoever has signed them.
    pub grants: BTreeSet<ContentId>,
}

/// What an item says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustItem {
    /// Who may sign.
    AuthoritySet(AuthoritySet),
    /// A zone belongs to the mesh.
    Grant(Grant),
    /// A zone key belongs to it no more.
    Revocation(Revocation),
    /// A page of a list of grants.
    GrantPage(GrantPage),
}

impl TrustItem {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> TrustKind {
        match self {
            Self::AuthoritySet(_) => TrustKind::AuthoritySet,
            Self::Grant(_) => TrustKind::Grant,
            Self::Revocation(_) => TrustKind::Revocation,
            Self::GrantPage(_) => TrustKind::GrantPage,
        }
    }
}

/// Names an item by SHA-256 over its kind, its payload and the keys that have signed it, not over the
/// bytes of the signatures: who signs twice makes no second item.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId(pub [u8; 32]);

/// Names what an item says, whoever has signed it: SHA-256 over its kind and its payload.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(pub [u8; 32]);

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, f)
    }
}

impl fmt::Debug for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0[..4], f)
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, f)
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0[..4], f)
    }
}

fn hexadecimal(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}
