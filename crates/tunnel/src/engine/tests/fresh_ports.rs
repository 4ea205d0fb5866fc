//! A NAT on the way keeps an entry that leads nowhere: what is tried beside it, and how often.

use std::collections::BTreeMap;
use std::time::Duration;

use super::pair::{Pair, Setting, berlin_to_madrid, packet};
use crate::peer::{TYPE_DATA, TYPE_INITIATION};

const LISTEN: u16 = 51_820;
/// The first fresh port of a gateway in memory.
const FRESH: u16 = 40_000;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A pair that was in touch until a translation lost the way of berlin's listen port.
fn astray(setting: &Setting) -> Pair {
    let pair = Pair::established(setting);
    pair.berlin.want_fresh_ports();
    pair.berlin.lead_astray(LISTEN);
    pair.forget_wire();
    pair
}

fn assert_carries_both_ways(pair: &mut Pair) {
    let there = berlin_to_madrid(b"ping");
    let back = packet("10.2.0.7", "10.1.0.7", b"pong");
    pair.berlin.give(there.clone());
    pair.settle();
    assert_eq!(pair.madrid.take(), [there]);
    pair.madrid.give(back.clone());
    pair.settle();
    assert_eq!(pair.berlin.take(), [back]);
}

/// The ports from which berlin has sent messages of this type since the wire was forgotten, and how
/// many.
fn sent_from(pair: &Pair, kind: u8) -> BTreeMap<u16, usize> {
    let berlin = pair.berlin.address().ip();
    let mut ports = BTreeMap::new();
    for seen in pair.seen(kind).iter().filter(|seen| seen.from.ip() == berlin) {
        *ports.entry(seen.from.port()).or_default() += 1;
    }
    ports
}

#[test]
fn a_peer_behind_a_dead_mapping_is_reached_from_a_fresh_port() {
    let mut pair = astray(&Setting::default());
    // Silence is noticed after two keepalives and ten seconds, patience ends after four handshakes.
    pair.pass(seconds(60 + 25));
    assert_carries_both_ways(&mut pair);
    pair.forget_wire();
    pair.pass(seconds(600));
    assert!(!sent_from(&pair, TYPE_DATA).contains_key(&LISTEN), "the old way is left");
    assert_carries_both_ways(&mut pair);
    assert_eq!(pair.berlin.opened_ports(), 1);
}

#[test]
fn when_the_fresh_port_is_lost_as_well_the_listen_port_serves_again() {
    let mut pair = astray(&Setting::default());
    pair.pass(seconds(85));
    assert_carries_both_ways(&mut pair);
    pair.wire.astray.lock().unwrap().clear();
    pair.berlin.lead_astray(FRESH);
    pair.pass(seconds(85));
    assert_carries_both_ways(&mut pair);
    pair.forget_wire();
    pair.pass(seconds(300));
    assert!(!sent_from(&pair, TYPE_DATA).contains_key(&FRESH));
    assert_eq!(pair.berlin.opened_ports(), 1);
}

#[test]
fn when_both_are_lost_another_fresh_port_is_tried_after_some_minutes() {
    let mut pair = astray(&Setting::default());
    pair.berlin.lead_astray(FRESH);
    pair.pass(seconds(85 + 180 + 10));
    assert_carries_both_ways(&mut pair);
    assert_eq!(pair.berlin.opened_ports(), 2);
}

#[test]
fn a_peer_that_is_away_is_asked_from_the_listen_port_no_less_and_takes_few_others() {
    let mut pair = Pair::established(&Setting::default());
    pair.cut(true);
    pair.pass(seconds(1800));
    let without = sent_from(&pair, TYPE_INITIATION);
    let mut pair = Pair::established(&Setting::default());
    pair.berlin.want_fresh_ports();
    pair.cut(true);
    pair.pass(seconds(1800));
    let with = sent_from(&pair, TYPE_INITIATION);
    // Not the same to the last: when a handshake is repeated is a matter of luck, within 0.4 s.
    assert!(with[&LISTEN] * 100 > without[&LISTEN] * 98, "{with:?}, without {without:?}");
    assert!(with.len() <= 1 + 1800 / 180, "{with:?}");
    pair.cut(false);
    pair.pass(seconds(5));
    assert_carries_both_ways(&mut pair);
    pair.forget_wire();
    pair.pass(seconds(60));
    let ports: Vec<_> = sent_from(&pair, TYPE_DATA).into_keys().collect();
    assert_eq!(ports, [LISTEN], "both work: the one that peers are told of");
}

#[test]
fn where_no_fresh_port_is_wanted_all_comes_from_the_listen_port() {
    let mut pair = Pair::established(&Setting::default());
    pair.cut(true);
    pair.pass(seconds(600));
    let ports: Vec<_> = sent_from(&pair, TYPE_INITIATION).into_keys().collect();
    assert_eq!(ports, [LISTEN]);
}
