//! What is known of the streams to the neighbours, for status and reachability, and how much each
//! neighbour may say over all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use zonemesh_core::gateway::GatewayId;
use zonemesh_core::name::ZoneName;
use zonemesh_core::replication::ClockOffset;

use crate::facts::rate_limits::{LimitedCall, Rate, RateLimiter, RefusedCalls};

/// Messages and items of one neighbour: a thousand zones in step after a cut are one burst.
const SAYS: Rate = Rate { burst: 4000.0, per_second: 400.0 };

/// What the last failure was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum StreamFailure {
    /// The neighbour was not reached, or a stream broke.
    #[default]
    Broken,
    /// It was reached, and one of the two refused the other.
    Refused,
    /// The same, as one of the two clocks is wrong.
    ClockOff,
    /// The same, as its certificate is not of the zone key that it has here.
    KeyHere,
    /// The same, as this gateway's is not of the zone key that is known there.
    KeyThere,
}

/// The streams to one neighbour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StreamsState {
    /// Streams over which both ends have said hello: none, ours, theirs or both.
    pub(crate) open: u32,
    /// Why the last attempt failed; empty if none did since a stream was open.
    pub(crate) error: String,
    /// What kind of failure that was.
    pub(crate) failure: StreamFailure,
    /// The neighbour's clock minus ours, last known.
    pub(crate) clock_offset: Option<ClockOffset>,
}

impl StreamsState {
    /// True if the neighbour was reached, and one of the two refused the other.
    pub(crate) fn is_refused(&self) -> bool {
        self.failure != StreamFailure::Broken
    }
}

#[derive(Default)]
struct KnownStreams {
    entries: BTreeMap<GatewayId, StreamsState>,
    /// Whose tunnel IP is whose.
    at: BTreeMap<IpAddr, GatewayId>,
    /// A gateway under the name that it had before its record was known: streams that were opened
    /// then live on.
    renamed: BTreeMap<GatewayId, GatewayId>,
}

impl KnownStreams {
    fn of(&self, gateway: &GatewayId) -> StreamsState {
        let gateway = self.renamed.get(gateway).unwrap_or(gateway);
        self.entries.get(gateway).cloned().unwrap_or_default()
    }

    fn entry(&mut self, gateway: &GatewayId) -> &mut StreamsState {
        let gateway = self.renamed.get(gateway).unwrap_or(gateway);
        self.entries.entry(gateway.clone()).or_default()
    }
}

/// The streams to all neighbours.
pub(crate) struct StreamBoard {
    known: Mutex<KnownStreams>,
    says: RateLimiter<ZoneName>,
    refusals: Arc<RefusedCalls>,
}

impl StreamBoard {
    pub(crate) fn new(refusals: Arc<RefusedCalls>) -> Self {
        Self { known: Mutex::default(), says: RateLimiter::new(SAYS), refusals }
    }

    /// How long not to listen to `zone`, which has just said something with `items` in it.
    pub(crate) fn pause(&self, zone: &ZoneName, items: usize) -> Duration {
        let pause = self.says.charge(zone, 1 + items, Instant::now());
        if !pause.is_zero() {
            self.refuse(LimitedCall::ZoneMessages, zone);
        }
        pause
    }

    /// Counts what was refused.
    pub(crate) fn refuse(&self, flood: LimitedCall, zone: &ZoneName) {
        self.refusals.count(flood, zone);
    }

    /// What is known of the streams to a gateway now.
    pub(crate) fn entry(&self, gateway: &GatewayId) -> StreamsState {
        self.lock().of(gateway)
    }

    /// What is known of the streams to these gateways, one for each, all of one moment.
    pub(crate) fn of<'a>(
        &self,
        gateways: impl Iterator<Item = &'a GatewayId>,
    ) -> Vec<StreamsState> {
        let known = self.lock();
        gateways.map(|gateway| known.of(gateway)).collect()
    }

    /// Streams that are open now, to gateways of which this is so.
    pub(crate) fn open_where(&self, is_so: impl Fn(&GatewayId) -> bool) -> u32 {
        let known = self.lock();
        let open = known.entries.iter().filter(|(gateway, entry)| entry.open > 0 && is_so(gateway));
        open.map(|(_, entry)| entry.open).sum()
    }

    /// The zones to which a stream is open now.
    pub(crate) fn open_to(&self) -> BTreeSet<ZoneName> {
        self.open_to_where(|_| true)
    }

    /// The zones to which a stream is open now, to a gateway of which this is so.
    pub(crate) fn open_to_where(&self, is_so: impl Fn(&GatewayId) -> bool) -> BTreeSet<ZoneName> {
        let known = self.lock();
        let open = known.entries.iter().filter(|(gateway, entry)| entry.open > 0 && is_so(gateway));
        open.map(|(gateway, _)| gateway.zone.clone()).collect()
    }

    /// What is known of the streams to all gateways of a zone.
    pub(crate) fn of_zone(&self, zone: &ZoneName) -> Vec<StreamsState> {
        let known = self.lock();
        let of_zone = known.entries.iter().filter(|(gateway, _)| gateway.zone == *zone);
        of_zone.map(|(_, entry)| entry.clone()).collect()
    }

    /// Which gateway of `zone` calls from this tunnel IP.
    pub(crate) fn caller(&self, zone: &ZoneName, from: IpAddr) -> GatewayId {
        let known = self.lock();
        let caller = known.at.get(&from).filter(|gateway| gateway.zone == *zone);
        caller.cloned().unwrap_or_else(|| GatewayId::assumed(zone.clone()))
    }

    /// Takes whose tunnel IP is whose.
    pub(crate) fn set_addresses(&self, at: BTreeMap<IpAddr, GatewayId>) {
        self.lock().at = at;
    }

    /// What is known of `old` is of `new` from now on.
    pub(crate) fn rename(&self, old: &GatewayId, new: &GatewayId) {
        let mut known = self.lock();
        known.renamed.remove(new);
        known.renamed.values_mut().filter(|name| *name == old).for_each(|name| *name = new.clone());
        known.renamed.insert(old.clone(), new.clone());
        if let Some(mut entry) = known.entries.remove(old) {
            entry.open += known.entry(new).open;
            known.entries.insert(new.clone(), entry);
        }
    }

    /// Forgets a neighbour to which no stream is kept any more, but for streams of its own.
    pub(crate) fn forget(&self, gateway: &GatewayId) {
        let mut known = self.lock();
        if known.entries.get(gateway).is_some_and(|entry| entry.open == 0) {
            known.entries.remove(gateway);
        }
    }

    /// True if it is the only one.
    pub(crate) fn opened(&self, gateway: &GatewayId) -> bool {
        let mut known = self.lock();
        let entry = known.entry(gateway);
        entry.open += 1;
        entry.error.clear();
        entry.failure = StreamFailure::Broken;
        entry.open == 1
    }

    /// True if it was the last one.
    pub(crate) fn closed(&self, gateway: &GatewayId) -> bool {
        let mut known = self.lock();
        let entry = known.entry(gateway);
        entry.open = entry.open.saturating_sub(1);
        entry.open == 0
    }

    pub(crate) fn failed(&self, gateway: &GatewayId, error: String, failure: StreamFailure) {
        let mut known = self.lock();
        let entry = known.entry(gateway);
        entry.error = error;
        entry.failure = failure;
    }

    pub(crate) fn set_clock_offset(&self, gateway: &GatewayId, offset: Option<ClockOffset>) {
        let mut known = self.lock();
        let entry = known.entry(gateway);
        entry.clock_offset = offset.or(entry.clock_offset);
    }

    fn lock(&self) -> MutexGuard<'_, KnownStreams> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_either_end_counts_as_open() {
        let (board, zone) = (StreamBoard::new(Arc::default()), "madrid/gw1".parse().unwrap());
        board.failed(&zone, "connection refused".to_owned(), StreamFailure::Broken);
        board.opened(&zone);
        board.opened(&zone);
        board.closed(&zone);
        let entry = board.entry(&zone);
        assert_eq!((entry.open, entry.error.as_str()), (1, ""));
        assert_eq!([true, false].map(|is_so| board.open_where(|_| is_so)), [1, 0]);
    }

    #[test]
    fn two_gateways_of_a_zone_are_kept_apart_and_a_new_name_keeps_what_is_known() {
        let board = StreamBoard::new(Arc::default());
        let [one, two, named] = ["madrid/madrid-gw1", "madrid/gw2", "madrid/edge"]
            .map(|name| name.parse::<GatewayId>().unwrap());
        board.opened(&one);
        board.failed(&two, "connection refused".to_owned(), StreamFailure::Refused);
        assert_eq!((board.entry(&one).open, board.entry(&two).open), (1, 0));
        assert!(board.entry(&one).error.is_empty());
        board.rename(&one, &named);
        assert_eq!(board.entry(&named).open, 1);
        // The stream that was opened under the name of before ends.
        assert!(board.closed(&one));
        assert_eq!(board.entry(&named).open, 0);
        assert_eq!(board.of_zone(&"madrid".parse().unwrap()).len(), 2);
    }

    #[test]
    fn a_caller_is_known_by_its_tunnel_ip_in_its_own_zone_only() {
        let board = StreamBoard::new(Arc::default());
        let ip: IpAddr = "10.255.0.2".parse().unwrap();
        let gateway: GatewayId = "madrid/edge".parse().unwrap();
        board.set_addresses(BTreeMap::from([(ip, gateway.clone())]));
        assert_eq!(board.caller(&gateway.zone, ip), gateway);
        let paris = "paris".parse().unwrap();
        assert_eq!(board.caller(&paris, ip), GatewayId::assumed(paris));
    }
}
