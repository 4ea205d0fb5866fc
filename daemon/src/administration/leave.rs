//! This zone leaves its mesh, of its own will.
//!
//! Promises: the farewell is on disk before anybody hears it; whoever comes back does so by a new
//! invitation, so that a member's gateway knows where to find it. Refuses to know who may ask.

use zonemesh_core::journal::AuditAct;
use zonemesh_core::name::ZoneName;
use zonemesh_core::time::UnixMillis;

use super::{Administration, Refusal};
use crate::facts::ledger::FAREWELL;

impl Administration {
    /// Says that this zone, which must be `zone`, has left, and takes its tunnels down when its
    /// neighbours have had the time to hear it. Returns since when it has left.
    pub(crate) async fn leave(&self, zone: &ZoneName) -> Result<UnixMillis, Refusal> {
        let own = &self.config().zone.name;
        if zone != own {
            return Err(Refusal::OtherZone { asked: zone.clone(), own: own.clone() });
        }
        let since = {
            let _one_at_a_time = self.state.lock().await;
            let managed = self.ledger.read(|registry| registry.membership().is_some());
            if !managed {
                return Err(Refusal::Unmanaged);
            }
            self.fail_if_revoked()?;
            // Whoever leaves comes back by the invitation of another zone: one must be left.
            let is_alone = self.ledger.read(|registry| {
                let mut others = registry.all_members().filter(|member| member.zone != *own);
                others.all(|member| registry.left_since(&member.zone).is_some())
            });
            if is_alone && self.ledger.left_since().is_none() {
                return Err(Refusal::LastMember);
            }
            let since = self.ledger.leave().await?;
            tracing::warn!(zone = %own, "this zone has left the mesh");
            let audit = self.ledger.audit(AuditAct::Leave, own, String::new());
            self.disk.write(vec![audit]).await?;
            since
        };
        tokio::time::sleep(FAREWELL).await;
        self.ledger.look_again();
        Ok(since)
    }
}
