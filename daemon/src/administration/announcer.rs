//! Makes known what this zone says about itself.

use std::sync::Arc;

use zonemesh_config::Config;
use zonemesh_core::key::WireGuardKeys;
use zonemesh_core::pace::RecordChange;
use zonemesh_core::record::Lane;

use crate::facts::certificates::FederationCas;
use crate::facts::ledger::{Ledger, NotPublished};
use crate::plan::announcement::Announcement;

/// What this zone says follows from these, and goes into that.
pub(crate) struct Announcer {
    pub(crate) config: Arc<Config>,
    pub(crate) cas: Arc<FederationCas>,
    pub(crate) ledger: Arc<Ledger>,
}

impl Announcer {
    /// Publishes this zone's record with these keys. Without lanes they stay what they were.
    pub(crate) async fn announce(
        &self,
        keys: WireGuardKeys,
        lanes: Option<Vec<Lane>>,
    ) -> Result<(), NotPublished> {
        let announcement = self.announcement(keys, lanes);
        self.ledger.edit(RecordChange::Urgent, |draft| announcement.apply(draft)).await
    }

    /// Publishes this zone's record also if the zone had left: it is a member from now on.
    pub(crate) async fn join(
        &self,
        keys: WireGuardKeys,
        lanes: Vec<Lane>,
    ) -> Result<(), NotPublished> {
        let announcement = self.announcement(keys, Some(lanes));
        self.ledger.come_back(|draft| announcement.apply(draft)).await
    }

    fn announcement(&self, keys: WireGuardKeys, lanes: Option<Vec<Lane>>) -> Announcement<'_> {
        let ca_sets = self.cas.ca_sets().collect();
        Announcement { config: &self.config, keys, lanes, ca_sets }
    }
}
