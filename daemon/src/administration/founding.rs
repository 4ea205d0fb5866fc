//! Becoming the founder of a mesh that was made elsewhere, from its bundle.
//!
//! Promises: the mesh, the key that signs for it, the hashes of this zone's tokens and what its
//! invitations need are on disk together or not at all; the same bundle may be given again and changes
//! nothing. Refuses to know how it was made.

use zonemesh_core::founding::FoundingBundle;
use zonemesh_core::invitation::Redemptions;
use zonemesh_core::membership::{
    AuthorityPublicKey, Membership, TrustItem, sign, signatures_missing,
};
use zonemesh_core::mesh::MeshId;
use zonemesh_core::name::ZoneName;

use super::listening::Listening;
use super::{Administration, Refusal, given};
use crate::facts::disk::keys;
use crate::facts::ledger::{NotPublished, now};

/// What a founder's gateway is part of.
pub(crate) struct Founder {
    pub(crate) mesh: MeshId,
    pub(crate) signing_key: AuthorityPublicKey,
    /// The members.
    pub(crate) zones: Vec<ZoneName>,
}

impl Administration {
    /// Takes the mesh of a founding bundle as this gateway's own, with its zone as the first member.
    pub(crate) async fn found_from(&self, text: &str) -> Result<Founder, Refusal> {
        let bundle = given::founding(text)?;
        let mut state = self.state.lock().await;
        self.check_founder(&bundle)?;
        let membership = self.founded(&bundle)?;
        let mesh = membership.mesh().clone();
        let founder = Founder {
            mesh: mesh.clone(),
            signing_key: bundle.signing_key.public_key(),
            zones: membership.members().map(|member| member.zone.clone()).collect(),
        };
        if self.ledger.read(|registry| registry.mesh()) == mesh {
            if self.ledger.left_since().is_some() {
                return Err(NotPublished::Left.into());
            }
            self.fail_if_revoked()?;
            return Ok(founder);
        }
        self.fail_if_managed()?;
        let key = bundle.signing_key.to_base64();
        let mut writes = vec![keys::keep_authority(self.authority_file.clone(), &key)];
        writes.extend(bundle.invitations.iter().map(|issued| self.invitations.write(issued)));
        let brought = Self::brought_by_bundle(&bundle);
        writes.extend(self.keep_tokens(brought.as_ref()));
        self.ledger.manage_with(membership, writes).await?;
        if let Some(kept) = brought {
            self.tokens.set(kept);
        }
        state.book = Some(Redemptions::new(mesh.clone(), bundle.invitations));
        tracing::info!(%mesh, "this gateway has founded the mesh of its bundle");
        // Without its tunnel addresses it starts anew at once: who joined before would be shown a
        // certificate that lacks them, and refuse it.
        if !self.config().tunnel.addresses.is_empty() {
            self.listening.send_replace(Listening::Wanted);
        }
        Ok(founder)
    }

    /// The bundle is for this gateway as it is configured, and no other key signs here.
    fn check_founder(&self, bundle: &FoundingBundle) -> Result<(), Refusal> {
        let own = &self.config().zone.name;
        let founder = &bundle.founder;
        if founder.zone != *own {
            return Err(given::of_another_zone("the founding bundle", &founder.zone, own));
        }
        let here = self.authority()?.map(|identity| identity.public_key());
        match here.is_some_and(|here| here != bundle.signing_key.public_key()) {
            true => Err(Refusal::Given(
                format!(
                    "{} has another authority key, perhaps of the mesh that this gateway is in",
                    self.authority_file.display()
                ),
                "zonemesh status shows which mesh this gateway is in; if it is in none: keep that file elsewhere, and repeat",
            )),
            false => Ok(()),
        }
    }

    /// The mesh with this zone's first grant.
    fn founded(&self, bundle: &FoundingBundle) -> Result<Membership, Refusal> {
        let mut membership = Membership::new(bundle.first.clone())?;
        let request = bundle.grant_request(self.own_keys.zone_key);
        let grant = TrustItem::Grant(membership.draft_grant(request, now())?);
        let (_, set) = membership.authority_set();
        let grant = sign(set, &grant, &[&bundle.signing_key]);
        if signatures_missing(set, &grant) > 0 {
            return Err(Refusal::Invitation(
                "the founding bundle's key may not sign in its own mesh".to_owned(),
            ));
        }
        membership.accept(grant)?;
        Ok(membership)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use zonemesh_core::founding::{FoundingPlan, PlannedZone, first_set};
    use zonemesh_core::membership::AuthorityIdentity;
    use zonemesh_core::time::UnixMillis;

    use super::super::AUTHORITY_KEY;
    use super::super::tests::open;
    use crate::facts::disk::{Together, TrialDisk};

    /// What the gateway of a zone founds a mesh of one zone with.
    pub(crate) fn bundle(zone: &str, prefix: &str, tunnel_ip: &str) -> zeroize::Zeroizing<String> {
        let founder = PlannedZone {
            zone: zone.parse().unwrap(),
            prefixes: vec![prefix.parse().unwrap()],
            tunnel_ips: vec![tunnel_ip.parse().unwrap()],
            federations: Vec::new(),
            tokens: Vec::new(),
        };
        let join_endpoints = vec!["192.0.2.1:51823".to_owned()];
        let key = AuthorityIdentity::from_seed(&[9; 32]);
        let owner = AuthorityIdentity::from_seed(&[8; 32]).public_key();
        let first = first_set([owner].into(), key.public_key(), UnixMillis(1)).unwrap();
        let expires_at = UnixMillis(1);
        let plan = FoundingPlan { founder, join_endpoints, others: Vec::new(), expires_at };
        plan.found(first, key).unwrap().bundle.to_text()
    }

    #[tokio::test]
    async fn a_gateway_killed_while_it_founds_has_mesh_key_and_invitations_or_nothing() {
        let text = || bundle("berlin", "10.10.1.0/24", "10.255.0.1");
        let mut outcomes = [0, 0];
        for kill_point in 0..8 {
            let (folder, disk) = (tempfile::tempdir().unwrap(), TrialDisk::default());
            let administration = open(folder.path(), &disk);
            disk.dies_after(kill_point);
            let told = administration.found_from(&text()).await;
            Together::new(folder.path()).finish().unwrap();
            let restarted = open(folder.path(), &TrialDisk::default());
            let is_managed = restarted.ledger.read(|registry| registry.membership().is_some());
            assert_eq!(is_managed, folder.path().join(AUTHORITY_KEY).exists(), "{kill_point}");
            assert!(is_managed || told.is_err());
            restarted.found_from(&text()).await.unwrap();
            outcomes[usize::from(is_managed)] += 1;
        }
        assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
    }
}
