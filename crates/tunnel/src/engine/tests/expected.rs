//! What users of `wg` expect: settings wait for their turn, a peer hears of a new way to us.

use super::pair::{Pair, Setting, berlin_to_madrid};
use crate::dropped::Dropped;
use crate::peer::TYPE_DATA;

#[test]
fn a_counter_beyond_the_last_of_a_session_is_dropped_unopened() {
    let mut pair = Pair::established(&Setting::default());
    pair.cut(true);
    pair.forget_wire();
    pair.berlin.give(berlin_to_madrid(b"numbered"));
    pair.settle();
    let [sealed] = &pair.seen(TYPE_DATA)[..] else { panic!("one datagram") };
    pair.cut(false);
    for (counter, dropped) in
        [(u64::MAX - 8192, (1, 0)), (u64::MAX, (2, 0)), (u64::MAX - 8193, (2, 1))]
    {
        let mut forged = sealed.clone();
        forged.bytes[8..16].copy_from_slice(&counter.to_le_bytes());
        pair.wire.deliver(forged);
        pair.settle();
        let of = |reason| pair.madrid.dropped(reason);
        assert_eq!((of(Dropped::CounterSpent), of(Dropped::Unauthentic)), dropped);
    }
}
