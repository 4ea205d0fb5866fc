//! A gateway that has run out of descriptors waits for some, and goes on.

use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{ClockId, clock_gettime};
use tokio::net::{TcpSocket, UnixSocket};

use crate::place;
use crate::zone::Zone;

/// Processor time that this process has taken.
fn taken() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).unwrap().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_out_of_descriptors_takes_no_core_and_is_back_when_it_has_some() {
    let mut zone = Zone::start(place(9, 1), &[]).await;
    // Sockets that can be connected when there are no descriptors any more, not even for this test.
    let (engineer, neighbour) = (UnixSocket::new_stream().unwrap(), TcpSocket::new_v4().unwrap());
    let (socket, registry) = (zone.path("admin.sock"), place(9, 1).registry());
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 3, hard).unwrap();
    let before = taken();
    let engineer = engineer.connect(&socket).await;
    let neighbour = neighbour.connect(registry).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let took = taken() - before;
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    assert!(engineer.is_ok() && neighbour.is_ok(), "both wait to be accepted");
    assert!(took < Duration::from_millis(600), "{took:?} of 2 s");
    zone.findings().await;
    zone.stop().await;
}
