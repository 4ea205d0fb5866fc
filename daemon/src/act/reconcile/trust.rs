//! Whose certificates are accepted.

use zonemesh_pki::ZoneTrust;

use super::Reconciler;
use crate::plan::MeshPlan;

/// Names and keys of the zones that are trusted.
type Trusted = Vec<(String, [u8; 32])>;

/// The zones whose certificates TLS accepts.
pub(crate) struct TrustedZones {
    pub(crate) trust: ZoneTrust,
    pub(crate) set: Trusted,
}

impl Reconciler for TrustedZones {
    type Step = Trusted;

    fn difference(&self, plan: &MeshPlan) -> Vec<Trusted> {
        if plan.trusted == self.set { Vec::new() } else { vec![plan.trusted.clone()] }
    }

    async fn apply(&mut self, step: Trusted) -> anyhow::Result<()> {
        self.trust.replace(&step)?;
        self.set = step;
        Ok(())
    }
}
