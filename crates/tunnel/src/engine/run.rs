//! A run: datagrams on one link that leave in one system call.
//!
//! Packets are sealed straight into its buffer, each behind the one before it. All have the same
//! size except for the last, which may be shorter; one that does not fit begins the next run.

use std::sync::Arc;

use super::Engine;
use crate::edge::{Transmit, UdpPath};
use crate::peer::{ClockReading, DATA_OVERHEAD, HeldSendTurn, INITIATION, RemoteLink};

/// What the kernel takes in one send: 64 datagrams, and one UDP datagram's worth of bytes.
const MOST: usize = 64;
const MOST_BYTES: usize = 65_507;

/// The datagrams that wait to be sent. One buffer serves all peers in turn.
pub(crate) struct DatagramRun {
    bytes: Box<[u8]>,
    used: usize,
    count: usize,
    stride: usize,
    ecn: u8,
    to: Option<(Arc<RemoteLink>, UdpPath)>,
    /// Where several threads seal for one link.
    turn: Option<HeldSendTurn>,
}

impl DatagramRun {
    pub(crate) fn new() -> Self {
        Self {
            // Behind a full run there is still room to write an initiation.
            bytes: vec![0; (1 << 16) + INITIATION + DATA_OVERHEAD + 16].into(),
            used: 0,
            count: 0,
            stride: 0,
            ecn: 0,
            to: None,
            turn: None,
        }
    }

    /// Makes sure that what is pushed for `link` is sent before another thread seals for it. A run to
    /// another peer keeps its own turn: it has to be flushed first.
    pub(crate) fn take_turn(&mut self, link: &Arc<RemoteLink>) {
        let is_held = self.turn.as_ref().is_some_and(|turn| turn.is_for(link));
        if self.to.is_none() && !is_held {
            // Given back before the next one is waited for.
            self.turn = None;
            self.turn = Some(HeldSendTurn::take(link));
        }
    }

    /// True if a message of `len` bytes to `link` can join what is there.
    pub(crate) fn takes(&self, link: &Arc<RemoteLink>, path: UdpPath, ecn: u8, len: usize) -> bool {
        let Some((own_link, own_path)) = &self.to else {
            return true;
        };
        let is_last = self.used != self.count * self.stride;
        let room = self.count < MOST && self.used + len <= MOST_BYTES && len <= self.stride;
        let same = Arc::ptr_eq(own_link, link) && *own_path == path && self.ecn == ecn;
        same && room && !is_last
    }

    /// Where the next message is to be written, if [`Self::takes`] said so.
    pub(crate) fn slot(&mut self) -> &mut [u8] {
        &mut self.bytes[self.used..]
    }

    /// The message of `len` bytes that was written into the slot belongs to the run.
    pub(crate) fn push(&mut self, link: &Arc<RemoteLink>, path: UdpPath, ecn: u8, len: usize) {
        if self.to.is_none() {
            self.to = Some((Arc::clone(link), path));
            (self.stride, self.ecn) = (len, ecn);
        }
        self.used += len;
        self.count += 1;
    }

    /// Sends what is there.
    pub(crate) fn flush(&mut self, engine: &Engine, now: ClockReading) {
        if let Some((link, path)) = self.to.take() {
            let transmit = Transmit {
                path,
                bytes: &self.bytes[..self.used],
                stride: self.stride,
                ecn: self.ecn,
            };
            engine.transmit(&link, transmit, now);
        }
        (self.used, self.count, self.stride) = (0, 0, 0);
        self.turn = None;
    }
}
