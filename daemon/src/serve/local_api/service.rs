//! Answers the VMs of the zone: the wire's end of the local API. What is done is `desk`'s.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use tonic::{Request, Response, Status, Streaming};
use zonemesh_api::v1::local_server::Local;
use zonemesh_api::v1::{
    AttestReply, AttestRequest, CompanionMessage, FederationView, GatewayMessage, ResolveRequest,
};
use zonemesh_api::wire::local::FederationQuestion;

use super::attest::OwnAttestation;
use super::desk::{VmDesk, caller};
use super::seats::OpenSessions;
use super::session::{self, CompanionSession};
use super::view;

pub(super) struct LocalService {
    desk: Arc<VmDesk>,
    attestation: OwnAttestation,
    sessions: Arc<OpenSessions>,
}

impl LocalService {
    pub(super) fn new(desk: VmDesk, sessions: Arc<OpenSessions>) -> Self {
        Self { desk: Arc::new(desk), attestation: OwnAttestation::default(), sessions }
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<GatewayMessage, Status>> + Send>>;

#[tonic::async_trait]
impl Local for LocalService {
    async fn attest(
        &self,
        request: Request<AttestRequest>,
    ) -> Result<Response<AttestReply>, Status> {
        self.desk.may_read(caller(&request)?.address)?;
        let reply = self.attestation.reply(&self.desk.parts.ledger).ok_or_else(|| {
            Status::failed_precondition(
                "this gateway's mesh is written by hand: make the token anew with: zonemesh key generate token",
            )
        })?;
        Ok(Response::new(reply))
    }

    async fn resolve(
        &self,
        request: Request<ResolveRequest>,
    ) -> Result<Response<FederationView>, Status> {
        let vm = caller(&request)?.address;
        self.desk.may_read(vm)?;
        drop(self.desk.hear_keepalives(&request)?);
        let asked = FederationQuestion::try_from(request.into_inner())?;
        self.desk.may_ask(vm, &asked)?;
        Ok(self.desk.telling(view::of(&self.desk.parts, &asked.federation, Some(vm.ip()))))
    }

    type SessionStream = Answers;

    async fn session(
        &self,
        request: Request<Streaming<CompanionMessage>>,
    ) -> Result<Response<Answers>, Status> {
        let caller = caller(&request)?;
        self.desk.may_read(caller.address)?;
        let heard = self.desk.hear_keepalives(&request)?;
        let seat = self.sessions.sit(&caller).ok_or_else(|| {
            Status::resource_exhausted("this VM has too many sessions: end one of them")
        })?;
        let mut inbound = request.into_inner();
        let hello = session::hello(&mut inbound).await?;
        let release = hello.release.clone();
        let vm = self.desk.prove(caller.address, hello)?;
        let opened = CompanionSession::begin(self.desk.clone(), vm, release, seat, inbound);
        let messages: Answers = Box::pin(opened.messages(heard));
        Ok(self.desk.telling(messages))
    }
}
