//! Probes: single packets to a peer that leave in one piece or not at all.
//!
//! They go round the TUN device, so that neither its MTU nor a route bounds them, and never ask for
//! a session: when one is sought is the schedule's. What they say, and who answers, is the caller's.

use std::io;

use zonemesh_core::key::WireGuardPublicKey;

use super::Engine;
use crate::edge::Transmit;
use crate::peer::{ClockReading, DATA_OVERHEAD, INITIATION, Sealed};

/// Why a probe was not sent.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// There is no such peer.
    #[error("there is no such peer")]
    NoPeer,
    /// There is no session with the peer now.
    #[error("there is no session with the peer")]
    NoSession,
    /// Nobody knows where the peer is.
    #[error("the peer's endpoint is not known")]
    NoEndpoint,
    /// The first link on the way is too narrow for it.
    #[error("the packet is too long for the first link")]
    TooLong,
    /// The kernel refused it for another reason.
    #[error("the datagram was refused")]
    Refused(#[source] io::Error),
}

impl Engine {
    /// Seals `packet` for `peer` as it is and sends it unfragmented.
    pub(crate) fn probe(
        &self,
        peer: &WireGuardPublicKey,
        packet: &[u8],
        now: ClockReading,
    ) -> Result<(), ProbeError> {
        let zones = self.zones.load();
        let link = zones.by_key(peer).ok_or(ProbeError::NoPeer)?.first();
        let mut datagram = vec![0; INITIATION.max(packet.len() + DATA_OVERHEAD)];
        let mut state = link.lock();
        let path = state.path().ok_or(ProbeError::NoEndpoint)?;
        if !state.session_is_up() {
            return Err(ProbeError::NoSession);
        }
        let sealed = state.seal(packet, &mut datagram, now);
        drop(state);
        let Ok(Sealed::Data(len)) = sealed else {
            return Err(ProbeError::NoSession);
        };
        let bytes = &datagram[..len];
        let result = self.udp_of(link).send_whole(Transmit { path, bytes, stride: len, ecn: 0 });
        match result {
            Ok(()) => {
                link.count_sent(len);
                Ok(())
            }
            Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => Err(ProbeError::TooLong),
            Err(error) => {
                link.note_refused(&error);
                Err(ProbeError::Refused(error))
            }
        }
    }
}
