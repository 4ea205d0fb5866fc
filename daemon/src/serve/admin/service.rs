//! Answers `zonemesh` where it looks: one snapshot for each question. Rendering is the tool's.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use zonemesh_api::v1::admin_server::Admin;
use zonemesh_api::v1::{
    CertificatesReply, CertificatesRequest, CompareConfigReply, CompareConfigRequest,
    GatewayHealth, PeersReply, PeersRequest, RecordsReply, RecordsRequest, StatusReply,
    StatusRequest, SuperLinksReply, SuperLinksRequest,
};
use zonemesh_api::wire::admin as wire;

use super::{certificates, pairs, peers, reload, status};
use crate::administration::Administration;
use crate::administration::reload::Reloading;
use crate::serve::health::Health;
use crate::serve::snapshot::{Snapshot, TunnelsSnapshot, fingerprint};
use crate::serve::sources::SnapshotSources;

pub(super) struct AdminService {
    pub(super) administration: Arc<Administration>,
    pub(super) reloading: Arc<Reloading>,
    pub(super) sources: SnapshotSources,
}

#[tonic::async_trait]
impl Admin for AdminService {
    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<StatusReply>, Status> {
        let at_most = match request.get_ref().at_most {
            0 => usize::MAX,
            some => some as usize,
        };
        let waiting = self.administration.waiting_zones();
        // Before the snapshot, for which it is looked anew.
        let Health { not_live, not_ready } = Health::of(&self.sources);
        let reply = status::reply(Snapshot::take(&self.sources, at_most), &waiting);
        let health = Some(GatewayHealth { not_live, not_ready });
        Ok(Response::new(StatusReply { health, ..reply }))
    }

    async fn peers(&self, request: Request<PeersRequest>) -> Result<Response<PeersReply>, Status> {
        let PeersRequest { zone, ask_other_end } = request.into_inner();
        let tunnels = || match zone.as_str() {
            "" => TunnelsSnapshot::take(&self.sources),
            zone => TunnelsSnapshot::of_zone(&self.sources, zone),
        };
        let pairs = match ask_other_end && !zone.is_empty() {
            true => pairs::ask(&self.sources, &tunnels()).await,
            false => Vec::new(),
        };
        let reply = peers::reply(&tunnels(), &self.sources.config.now());
        Ok(Response::new(PeersReply { pairs, ..reply }))
    }

    async fn super_links(
        &self,
        _: Request<SuperLinksRequest>,
    ) -> Result<Response<SuperLinksReply>, Status> {
        let ledger = &self.sources.ledger;
        let reply = ledger.read(|registry| wire::superlinks(registry, fingerprint));
        Ok(Response::new(reply))
    }

    async fn records(&self, _: Request<RecordsRequest>) -> Result<Response<RecordsReply>, Status> {
        Ok(Response::new(self.sources.ledger.read(wire::records)))
    }

    async fn certificates(
        &self,
        _: Request<CertificatesRequest>,
    ) -> Result<Response<CertificatesReply>, Status> {
        let certificates = certificates::all(&self.sources);
        Ok(Response::new(CertificatesReply { certificates }))
    }

    async fn compare_config(
        &self,
        request: Request<CompareConfigRequest>,
    ) -> Result<Response<CompareConfigReply>, Status> {
        let text = request.into_inner().text;
        Ok(Response::new(reload::comparison(&self.reloading, &text)))
    }
}
