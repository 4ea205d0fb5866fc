//! Becoming the founder of a mesh that was made elsewhere, from its bundle.
//!
//! Promises: the mesh, the key that signs for it and what its invitations need are on disk together or
//! not at all; the same bundle may be given again and changes nothing. Refuses to know how it was made.

use zonemesh_core::exit::error_line;
use zonemesh_core::founding::FoundingBundle;
use zonemesh_core::invitation::Redemptions;
use zonemesh_core::membership::{
    AuthorityPublicKey, Membership, TrustItem, sign, signatures_missing,
};
use zonemesh_core::mesh::MeshId;
use zonemesh_core::name::ZoneName;

use super::listening::Listening;
use super::{Administration, Refusal};
use crate::facts::disk::keys;
use crate::facts::ledger::now;

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
        let bundle = FoundingBundle::from_text(text)
            .map_err(|error| Refusal::Invitation(error_line(&error)))?;
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
            return Ok(founder);
        }
        self.fail_if_managed()?;
        let key = bundle.signing_key.to_base64();
        let mut writes = vec![keys::keep_authority(self.authority_file.clone(), &key)];
        writes.extend(bundle.invitations.iter().map(|issued| self.invitations.write(issued)));
        self.ledger.manage_with(membership, writes).await?;
        state.book = Some(Redemptions::new(mesh.clone(), bundle.invitations));
        tracing::info!(%mesh, "this gateway has founded the mesh of its bundle");
        self.listening.send_replace(Listening::Wanted);
        Ok(founder)
    }

    /// The bundle is for this gateway as it is configured, and no other key signs here.
    fn check_founder(&self, bundle: &FoundingBundle) -> Result<(), Refusal> {
        let own = &self.config.zone.name;
        let founder = &bundle.founder;
        if founder.zone != *own {
            return Err(Refusal::Invitation(format!(
                "the founding bundle is for zone {}, this is zone {own} (zone.name)",
                founder.zone
            )));
        }
        let here = self.authority()?.map(|identity| identity.public_key());
        match here.is_some_and(|here| here != bundle.signing_key.public_key()) {
            true => Err(Refusal::Join(format!(
                "another authority key lies in {}: move it away",
                self.authority_file.display()
            ))),
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
