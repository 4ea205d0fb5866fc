//! When a fresh source port is opened, changed for another and given up.
//!
//! One for each lane and family, whoever needs it: what a NAT keeps is about a pair of ends, so that
//! one port is fresh for every peer that was not spoken to from it. That bounds descriptors and
//! ports, however many peers are away and however long: none is changed sooner than [`KEPT`] after
//! it was opened, nor while a peer answers at it. Which peer takes it is not decided here.

use std::time::{Duration, Instant};

use super::Engine;
use crate::edge::{OwnPort, SocketFamily};
use crate::peer::{PortNews, RemoteGateway};

/// How long a port is tried before another one is.
const KEPT: Duration = Duration::from_secs(180);

/// What peers have to do with the fresh port of one lane and family.
#[derive(Debug, Default, Clone, Copy)]
struct PortNeed {
    is_open: bool,
    /// A peer leaves handshakes unanswered.
    is_sought: bool,
    /// A peer is spoken to from it, and answers as far as is known.
    is_answered: bool,
}

/// What is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PortChange {
    Nothing,
    Open,
    Close,
}

/// The fresh port of one lane and family.
#[derive(Debug, Default, Clone, Copy)]
struct FreshPort {
    opened_at: Option<Instant>,
}

impl FreshPort {
    fn look(&mut self, of: PortNeed, now: Instant) -> PortChange {
        let is_young = |at: Instant| now.saturating_duration_since(at) < KEPT;
        if self.opened_at.is_some_and(is_young) || (of.is_open && of.is_answered) {
            return PortChange::Nothing;
        }
        match (of.is_sought, of.is_open) {
            (true, _) => {
                self.opened_at = Some(now);
                PortChange::Open
            }
            (false, true) => PortChange::Close,
            (false, false) => PortChange::Nothing,
        }
    }
}

/// Those of all lanes.
#[derive(Debug, Default)]
pub(super) struct FreshPorts(Vec<[FreshPort; 2]>);

impl FreshPorts {
    /// Looks what peers need. Call about once a second.
    pub(super) fn look(&mut self, engine: &Engine, now: Instant) {
        self.0.resize(engine.lanes.len(), [FreshPort::default(); 2]);
        let uses = uses(engine);
        for ((lane, ports), uses) in engine.lanes.iter().zip(&mut self.0).zip(uses) {
            for ((family, port), of) in SocketFamily::ALL.into_iter().zip(ports).zip(uses) {
                match port.look(of, now) {
                    PortChange::Nothing => {}
                    PortChange::Open => {
                        if let Err(error) = lane.udp.open_fresh(family) {
                            tracing::warn!(%error, "no fresh source port");
                        }
                    }
                    PortChange::Close => lane.udp.close_fresh(family),
                }
            }
        }
    }
}

/// What peers have to do with the fresh ports of each lane now. Tells what has changed.
fn uses(engine: &Engine) -> Vec<[PortNeed; 2]> {
    let open = |lane: usize, family| engine.lanes[lane].udp.fresh_port(family);
    let of =
        |lane, family| PortNeed { is_open: open(lane, family).is_some(), ..PortNeed::default() };
    let mut uses: Vec<_> = (0..engine.lanes.len())
        .map(|lane| SocketFamily::ALL.map(|family| of(lane, family)))
        .collect();
    for zone in engine.zones.load().iter() {
        for link in zone.gateways().iter().flat_map(RemoteGateway::links) {
            let mut state = link.lock();
            let Some(path) = state.path() else { continue };
            let family = SocketFamily::of(path.remote);
            let fresh = open(link.lane.number, family);
            let is_sought = state.detour().is_some();
            let news = fresh.and_then(|port| Some((state.port_news()?, port)));
            drop(state);
            let of = &mut uses[link.lane.number][family as usize];
            // What is refused here comes to no translation.
            of.is_sought |= is_sought && !link.lane.is_refused();
            of.is_answered |= !is_sought && path.from == OwnPort::Fresh;
            if let Some((news, fresh)) = news {
                tell(news, &zone.name, engine.lanes[link.lane.number].udp.port(), fresh);
            }
        }
    }
    uses
}

fn tell(news: PortNews, zone: &str, listen: u16, fresh: u16) {
    match news {
        PortNews::BothTried => tracing::info!(
            zone,
            fresh,
            "handshakes from port {listen} stay unanswered: also trying from a fresh source port"
        ),
        PortNews::AnsweredAt(OwnPort::Listen) => {
            tracing::info!(zone, "handshakes from port {listen} are answered again");
        }
        PortNews::AnsweredAt(OwnPort::Fresh) => tracing::info!(
            zone,
            fresh,
            "the peer answers at a fresh source port, not at {listen}: it is spoken to from there"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Lets so many seconds pass with these peers; returns when the port was opened.
    fn opened(port: &mut FreshPort, of: PortNeed, seconds: u32) -> Vec<u32> {
        let start = Instant::now();
        let mut open = of.is_open;
        let mut opened = Vec::new();
        for second in 0..seconds {
            let change = port.look(PortNeed { is_open: open, ..of }, start + SECOND * second);
            match change {
                PortChange::Open => opened.push(second),
                PortChange::Close => open = false,
                PortChange::Nothing => {}
            }
            open |= change == PortChange::Open;
        }
        opened
    }

    const SOUGHT: PortNeed = PortNeed { is_open: false, is_sought: true, is_answered: false };

    #[test]
    fn a_peer_that_is_away_for_a_day_takes_one_port_each_three_minutes() {
        let opened = opened(&mut FreshPort::default(), SOUGHT, 86_400);
        assert_eq!(opened.len(), 86_400 / 180);
        assert!(opened.iter().zip(0..).all(|(at, n)| *at == 180 * n), "{opened:?}");
    }

    #[test]
    fn a_port_that_is_answered_stays_whoever_else_is_away() {
        let of = PortNeed { is_open: true, is_answered: true, ..SOUGHT };
        assert_eq!(opened(&mut FreshPort::default(), of, 3600), [0_u32; 0]);
    }

    #[test]
    fn one_that_nobody_needs_is_given_up_and_not_at_once() {
        let (mut port, start) = (FreshPort::default(), Instant::now());
        assert_eq!(port.look(SOUGHT, start), PortChange::Open);
        let unused = PortNeed { is_open: true, ..PortNeed::default() };
        assert_eq!(port.look(unused, start + KEPT - SECOND), PortChange::Nothing);
        assert_eq!(port.look(unused, start + KEPT), PortChange::Close);
        assert_eq!(port.look(PortNeed::default(), start + KEPT + SECOND), PortChange::Nothing);
    }

    #[test]
    fn a_port_that_went_with_its_sockets_is_opened_for_who_needs_one() {
        let of = PortNeed { is_answered: true, ..SOUGHT };
        assert_eq!(FreshPort::default().look(of, Instant::now()), PortChange::Open);
    }
}
