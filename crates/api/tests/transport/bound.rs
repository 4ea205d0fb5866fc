//! What is tied to one connection: both ends have the same of it, and no other connection has it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::{Request, Response, Status};
use zonemesh_api::clients::join::{JoinAddress, JoinConnection};
use zonemesh_api::serve::{self, Incoming};
use zonemesh_api::v1;
use zonemesh_api::v1::join_server::{Join, JoinServer};
use zonemesh_core::invitation::{ChannelBinding, Redemption};
use zonemesh_core::keepalive::Keepalive;
use zonemesh_core::key::ZoneIdentity;
use zonemesh_core::record::{ProtocolRange, SignedRecord};

use super::{client_tls, identity, server_tls};

/// Remembers what the connection of each caller has.
#[derive(Clone, Default)]
struct Inviter(Arc<Mutex<Vec<ChannelBinding>>>);

#[tonic::async_trait]
impl Join for Inviter {
    async fn redeem(
        &self,
        request: Request<v1::RedeemRequest>,
    ) -> Result<Response<v1::RedeemReply>, Status> {
        let caller = serve::caller(&request).ok_or_else(|| Status::internal("no caller"))?;
        self.0.lock().unwrap().push(caller.binding);
        Redemption::try_from(request.into_inner())?;
        Err(Status::unavailable("not now"))
    }

    async fn standing(
        &self,
        _: Request<v1::StandingRequest>,
    ) -> Result<Response<v1::StandingReply>, Status> {
        Err(Status::unimplemented("not asked here"))
    }
}

fn asked() -> Redemption {
    let payload = vec![7; zonemesh_core::record::MAX_RECORD_BYTES];
    Redemption {
        invitation: zonemesh_core::invitation::InvitationId([1; 16]),
        zone_key: ZoneIdentity::from_seed(&[1; 32]).public_key(),
        record: SignedRecord::from_parts(payload.into(), &[0; 64]).unwrap(),
        proof: zonemesh_core::invitation::RedemptionProof::from_bytes([0; 32]),
        signature: [0; 64],
        protocol: ProtocolRange::CURRENT,
    }
}

#[tokio::test]
async fn both_ends_of_a_connection_share_what_no_other_connection_has() {
    let (server, client) = (identity("127.0.0.1"), identity("joiner"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let outer: SocketAddr = listener.local_addr().unwrap();
    let inviter = Inviter::default();
    let service = JoinServer::new(inviter.clone());
    let service = service.max_decoding_message_size(serve::JOIN_REQUEST);
    let router = serve::strangers(&Keepalive::DEFAULT).add_service(service);
    let incoming = Incoming::new(listener, server_tls(&server, &client));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { router.serve_with_incoming(incoming).await.unwrap() });
    let at = JoinAddress { outer, tunnel_ip: IpAddr::from(Ipv4Addr::LOCALHOST) };
    let tls = client_tls(&server, &client);
    let mut bindings = Vec::new();
    for _ in 0..2 {
        let connection = JoinConnection::open(at, tls.clone()).await.unwrap();
        bindings.push(connection.binding);
        // The largest record that there is passes.
        let told = connection.redeem(asked()).await.unwrap_err().to_string();
        assert_eq!(told, "not now");
    }
    assert_eq!(*inviter.0.lock().unwrap(), bindings);
    assert_ne!(bindings[0], bindings[1]);
}
