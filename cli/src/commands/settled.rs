//! After a join: a gateway that has its addresses from its grant starts anew to take them, and what is
//! typed next is to find it up.
//!
//! Promises an end within half a minute, and to say what is waited for.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use zonemesh_api::v1::{StatusReply, StatusRequest, StreamState};

use crate::daemon::{ask, body};
use crate::failure::{CommandFailure, Exit};

/// How long a gateway that has just joined has to start anew, and how often it is asked.
const SETTLE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);
/// What lasts longer than this is said.
const SOON: Duration = Duration::from_secs(2);

/// Waits until tunnels and a registry stream stand; `out`, if somebody reads it, is told for what.
pub(super) fn wait(socket: &Path, mut out: Option<&mut impl Write>) -> Result<(), CommandFailure> {
    let begin = Instant::now();
    let mut told = "";
    loop {
        let question = StatusRequest { at_most: 1 };
        let status = ask(socket, async |mut admin| admin.status(question).await.map(body));
        let lacks = match &status {
            Ok(status) => lacks(status),
            Err(_) => Some("the gateway, which starts anew"),
        };
        let Some(lacks) = lacks else { return Ok(()) };
        if begin.elapsed() > SETTLE {
            status?;
            let message = format!("this zone is a member, and there is not yet: {lacks}");
            return Err(CommandFailure::message(Exit::Negative, message).next("zonemesh status"));
        }
        if let Some(out) = &mut out
            && begin.elapsed() > SOON
            && told != lacks
        {
            writeln!(out, "waiting for: {lacks}")?;
            out.flush()?;
            told = lacks;
        }
        std::thread::sleep(LOOK);
    }
}

/// What is still to come, in words. Where streams are not kept, nobody waits for one.
fn lacks(status: &StatusReply) -> Option<&'static str> {
    let addresses = status.tunnel.as_ref().map_or(0, |tunnel| tunnel.addresses.len());
    let streams = status.registry.as_ref().map_or(0, |registry| registry.streams);
    let wants_none = status.peers.iter().all(|peer| peer.stream() == StreamState::None);
    match (addresses, status.peers_up, streams) {
        (0, ..) => Some("its tunnel address"),
        (_, 0, _) => Some("a tunnel that is up"),
        (_, _, 0) if !wants_none => Some("a registry stream to another zone"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use zonemesh_api::v1::{PeerView, RegistryView, TunnelView};

    use super::*;

    fn status(addresses: usize, peers_up: u32, streams: u32, stream: StreamState) -> StatusReply {
        let addresses = vec!["10.255.0.2".to_owned(); addresses];
        StatusReply {
            tunnel: Some(TunnelView { addresses, ..TunnelView::default() }),
            registry: Some(RegistryView { streams, ..RegistryView::default() }),
            peers: vec![PeerView { stream: stream.into(), ..PeerView::default() }],
            peers_up,
            ..StatusReply::default()
        }
    }

    #[test]
    fn a_join_is_over_when_address_tunnel_and_registry_stream_stand() {
        use StreamState::{Connecting, None as NotKept, Up};
        for (status, expected) in [
            (status(0, 0, 0, Connecting), Some("its tunnel address")),
            (status(1, 0, 0, Connecting), Some("a tunnel that is up")),
            (status(1, 1, 0, Connecting), Some("a registry stream to another zone")),
            (status(1, 1, 1, Up), None),
            (status(1, 1, 0, NotKept), None),
        ] {
            assert_eq!(lacks(&status), expected);
        }
    }
}
