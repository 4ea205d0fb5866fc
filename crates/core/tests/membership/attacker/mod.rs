//! The attacker of docs/design/trust.md against the membership: random histories of operators, of
//! gateways that lose messages and disks, and of somebody who wants to win.
//!
//! It holds stolen signing keys, a minority of the owner keys of every set, every key that was removed
//! and a zone of its own. It signs what it likes, and delays, repeats, reorders and drops what others
//! say. It must never get (A1) another authority set followed; (A2) a zone admitted, changed or revoked
//! by keys that do not count; (A3) a state in which the owners' next change, grant or revocation is
//! refused; (A4) gateways that differ for ever once all have heard the same, except after the owners
//! signed two children of one set, which is told and mended by a pin; (A5) two zones with one address.
//!
//! ZONEMESH_HISTORIES says how many histories are played (500 by default, 20 000 in `make properties`).

mod count;
mod forge;
mod gateway;
mod operator;
mod rules;
mod world;

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use count::{Power, Tally};
use world::World;

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    /// The operators grant, grant anew or revoke a zone, at a gateway.
    Grant {
        node: u8,
        zone: u8,
        key: u8,
        prefix: u8,
    },
    Revoke {
        node: u8,
        zone: u8,
    },
    /// They change the set: which change is chosen by `how`.
    Change {
        node: u8,
        how: u8,
    },
    /// They sign two children of one set.
    Fork {
        node: u8,
        other: u8,
    },
    /// Two gateways exchange what the other lacks, or a part of it.
    Exchange {
        from: u8,
        to: u8,
        dropped: u8,
    },
    /// A gateway starts anew, from its disk, a torn one or a backup, or is made anew by an invitation.
    Restart {
        node: u8,
        how: u8,
    },
    Backup {
        node: u8,
    },
    /// The attacker's.
    Steal {
        which: u8,
    },
    ForgeSet {
        node: u8,
        parent: u8,
        how: u8,
    },
    ForgeGrant {
        node: u8,
        zone: u8,
        prefix: u8,
        how: u8,
    },
    ForgeRevocation {
        node: u8,
        zone: u8,
        how: u8,
    },
    ForgePage {
        node: u8,
        how: u8,
    },
    Replay {
        node: u8,
        item: u16,
        count: u8,
    },
}

fn act() -> impl Strategy<Value = Act> {
    let node = 0..3_u8;
    let zone = 0..5_u8;
    let any = || any::<u8>();
    prop_oneof![
        5 => (node.clone(), zone.clone(), any(), any())
            .prop_map(|(node, zone, key, prefix)| Act::Grant { node, zone, key, prefix }),
        3 => (node.clone(), zone.clone()).prop_map(|(node, zone)| Act::Revoke { node, zone }),
        4 => (node.clone(), any()).prop_map(|(node, how)| Act::Change { node, how }),
        5 => (node.clone(), 0..6_u8).prop_map(|(node, other)| Act::Fork { node, other }),
        8 => (node.clone(), node.clone(), any())
            .prop_map(|(from, to, dropped)| Act::Exchange { from, to, dropped }),
        2 => (node.clone(), any()).prop_map(|(node, how)| Act::Restart { node, how }),
        2 => node.clone().prop_map(|node| Act::Backup { node }),
        3 => any().prop_map(|which| Act::Steal { which }),
        3 => (node.clone(), any(), any())
            .prop_map(|(node, parent, how)| Act::ForgeSet { node, parent, how }),
        4 => (node.clone(), zone.clone(), any(), any())
            .prop_map(|(node, zone, prefix, how)| Act::ForgeGrant { node, zone, prefix, how }),
        6 => (node.clone(), zone, any())
            .prop_map(|(node, zone, how)| Act::ForgeRevocation { node, zone, how }),
        1 => (node.clone(), any()).prop_map(|(node, how)| Act::ForgePage { node, how }),
        4 => (node, proptest::num::u16::ANY, 1..6_u8)
            .prop_map(|(node, item, count)| Act::Replay { node, item, count }),
    ]
}

fn histories() -> u32 {
    std::env::var("ZONEMESH_HISTORIES").ok().and_then(|text| text.parse().ok()).unwrap_or(500)
}

#[test]
fn somebody_who_wants_to_win_gets_nothing_that_the_rules_deny() {
    let tally = Tally::default();
    let config = Config {
        cases: histories(),
        failure_persistence: None,
        max_shrink_iters: 400,
        ..Config::default()
    };
    let shape = (any::<u8>(), proptest::collection::vec(act(), 40..60));
    // What a search for a shorter history plays is not counted.
    let (before, is_searching) = (Cell::new(0_u32), Cell::new(false));
    let played = TestRunner::new(config).run(&shape, |(founding, acts)| {
        let mut world = World::found(founding, &tally);
        let holds = acts.iter().try_for_each(|act| {
            world.play(*act);
            rules::hold(&world)
        });
        let holds = holds.and_then(|()| rules::hold_in_the_end(world));
        is_searching.set(is_searching.get() || holds.is_err());
        before.set(before.get() + u32::from(!is_searching.get()));
        holds
    });
    if let Err(error) = played {
        panic!("after {} histories: {error}", before.get());
    }
    println!("{tally}");
    // Each is used often enough to mean something.
    assert_eq!(tally.below(u64::from(histories()) / 5), Vec::<&str>::new());
    assert!(tally.of(Power::ForgedSet) > 0);
}
