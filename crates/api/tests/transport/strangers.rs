//! Callers whom nobody knows yet, at a service that everyone may call.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use zonemesh_api::clients;
use zonemesh_api::serve::{self, Door, Incoming};
use zonemesh_api::v1;
use zonemesh_api::v1::local_server::LocalServer;
use zonemesh_core::keepalive::Keepalive;

use super::{Gateway, client_tls, identity, server_tls};

/// A door with few places.
struct FewPlaces(Arc<Semaphore>);

impl Door for FewPlaces {
    fn enter(&self, _caller: IpAddr) -> Option<Box<dyn Send>> {
        let place = self.0.clone().try_acquire_owned().ok()?;
        Some(Box::new(place))
    }

    fn ended(&self, _caller: IpAddr) {}
}

#[tokio::test]
async fn a_stranger_that_does_nothing_gives_its_place_back() {
    let (server, client) = (identity("127.0.0.1"), identity("joiner"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let places = Arc::new(Semaphore::new(1));
    let door = Arc::new(FewPlaces(places.clone()));
    let incoming = Incoming::through(door, listener, server_tls(&server, &client));
    let service = LocalServer::new(Gateway { revision: watch::Sender::new(1).subscribe() });
    let router = serve::strangers(&Keepalive::DEFAULT).add_service(service);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { router.serve_with_incoming(incoming).await.unwrap() });
    let tls = client_tls(&server, &client);
    let mut idle = clients::local::connect(address, tls.clone()).await.unwrap();
    idle.resolve(v1::ResolveRequest::default()).await.unwrap();
    let kept_out = clients::local::connect(address, tls.clone()).await;
    assert!(kept_out.is_err(), "there is one place");
    let given_back = serve::STRANGER_TIMEOUT + Duration::from_secs(3);
    drop(timeout(given_back, places.acquire()).await.expect("the place is given back"));
    clients::local::connect(address, tls).await.unwrap();
}
