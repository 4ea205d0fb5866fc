//! What a gateway opens before its tunnels: keys, CAs, the ledger, and who administers them.

use std::sync::Arc;

use zonemesh_core::finding::{Code, Evidence, Finding, Subject};
use zonemesh_core::key::WireGuardKeys;
use zonemesh_core::record::Lane;

use super::announcer::{Announcer, OwnProofs};
use super::{Administration, OwnKeys};
use crate::facts::certificates::{FederationCas, OwnLeaf};
use crate::facts::disk::{self, DiskWriter, FolderLock, keys};
use crate::facts::in_force::ConfigInForce;
use crate::facts::ledger::{Ledger, NotPublished, OwnZone};
use crate::facts::tunnel::TunnelKeys;
use crate::failure::{Exit, Failure, OrExit as _};
use crate::plan::announcement;

/// What lies on disk, in service.
pub(crate) struct OpenedState {
    /// Held for as long as this gateway works in its folder.
    pub(crate) lock: Arc<FolderLock>,
    pub(crate) tunnel_keys: TunnelKeys,
    pub(crate) leaf: Arc<OwnLeaf>,
    pub(crate) cas: Arc<FederationCas>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) administration: Arc<Administration>,
    pub(crate) announcer: Arc<Announcer>,
}

impl OpenedState {
    /// Opens everything below the state folder and publishes what this zone says.
    pub(crate) async fn open(held: &ConfigInForce, disk: DiskWriter) -> Result<Self, Failure> {
        let config = held.now();
        let folder = &config.gateway.state_dir;
        let lock = disk::open_folder(folder)?;
        let tunnel_keys = TunnelKeys {
            private: keys::wireguard(&config.tunnel.private_key_file)?,
            next: keys::next_wireguard(&config.tunnel.private_key_file)?,
        };
        let identity = keys::zone_identity(&config.registry.identity_key_file)?;
        let zone_key = identity.public_key();
        let own_keys = tunnel_keys.public();
        config.check_keys(own_keys.current, zone_key).or_exit(Exit::Configuration, || {
            "the configuration does not fit this gateway".to_owned()
        })?;
        let leaf = OwnLeaf::issue(&config.zone.name, &identity, &config.tunnel.addresses)?;
        let members = announcement::members(&config, zone_key);
        let (zone, gateway) = (config.zone.name.clone(), config.gateway.name.clone());
        let own_zone = OwnZone { zone, gateway, identity, members };
        let ledger = Ledger::open(own_zone, folder, disk.clone())?;
        let cas = FederationCas::open(folder, &config.federations, &ledger.draft(), disk.clone());
        let key_files = [&config.tunnel.private_key_file, &config.registry.identity_key_file];
        for file in key_files.into_iter().filter(|file| keys::is_open_to_others(file)) {
            let file = file.display().to_string();
            let open = Finding::new(Code::KeyFileOpen, Subject::File(file.clone()));
            ledger.findings().raise(open.with(Evidence::File(file)));
        }
        let cas = Arc::new(cas);
        let proofs = OwnProofs::new(zone_key, config.gateway.name.clone());
        std::iter::once(&tunnel_keys.private).chain(&tunnel_keys.next).for_each(|k| proofs.add(k));
        let announcer =
            Announcer { config: held.clone(), cas: cas.clone(), ledger: ledger.clone(), proofs };
        announce(&announcer, own_keys, None).await?;
        let own = OwnKeys::new(zone_key, own_keys);
        let administration = Administration::open(held.clone(), ledger.clone(), own, disk);
        let administration = administration.or_exit(Exit::Configuration, || {
            format!("cannot use the state in {}", folder.display())
        })?;
        Ok(Self {
            lock: Arc::new(lock),
            tunnel_keys,
            leaf: Arc::new(leaf),
            cas,
            ledger,
            administration: Arc::new(administration),
            announcer: Arc::new(announcer),
        })
    }

    /// Publishes what this zone says, with the lanes that its tunnel has.
    pub(crate) async fn announce(&self, lanes: Vec<Lane>) -> Result<(), Failure> {
        announce(&self.announcer, self.administration.own_keys().wireguard(), Some(lanes)).await
    }
}

/// In a managed mesh the grant bounds what a zone says: a gateway whose settings go beyond runs on
/// with what it said before. So does one whose disk is full.
pub(super) async fn announce(
    announcer: &Announcer,
    keys: WireGuardKeys,
    lanes: Option<Vec<Lane>>,
) -> Result<(), Failure> {
    let is_managed = announcer.ledger.read(|registry| registry.membership().is_some());
    match announcer.announce(keys, lanes).await {
        Err(NotPublished::Refused(error)) if !is_managed => Err(error)
            .or_exit(Exit::Configuration, || "cannot publish this zone's record".to_owned()),
        Err(error @ NotPublished::Left) => {
            tracing::warn!("{error}");
            Ok(())
        }
        Err(error) => {
            let error = format!("{:#}", anyhow::Error::new(error));
            tracing::error!(error, "this zone's record stays as it was");
            let refused = Finding::new(Code::AnnouncementRefused, Subject::Here);
            announcer.ledger.findings().raise(refused.with(Evidence::Reason(error)));
            Ok(())
        }
        Ok(()) => {
            announcer.ledger.findings().clear(Code::AnnouncementRefused, &Subject::Here);
            Ok(())
        }
    }
}
