//! What people, network tools and other daemons do to a gateway's kernel, at random and by a seed.
//!
//! Two safeguards keep packets out of the clear, routes and packet filter, each enough alone. A sequence
//! never takes the second away before the first is back; everything else comes as it comes.

use std::time::Duration;

use anyhow::{Context as _, Result};
use zonemesh_lab::lab::{Lab, LabZone};
use zonemesh_lab::namespace::Namespace;

use crate::kernel_state::whole_soon;

/// Which safeguard a meddling takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safeguard {
    /// Neither.
    None,
    /// Routes or rules.
    Routes,
    /// The packet filter.
    Filter,
}

/// One thing that somebody does to a gateway.
#[derive(Debug, Clone)]
pub struct Meddling {
    /// A line of shell, run at the gateway.
    pub line: String,
    /// What it takes away.
    pub takes: Safeguard,
    /// True if something of the gateway's has to be put right after it.
    pub leaves_damage: bool,
}

/// What is in lines after which nothing is to be put right: routes in `main`, a rule that goes again.
const OF_OTHERS: [&str; 3] = ["table main", "flush dev", "pref 9000"];

/// All that is done to the gateway whose neighbour has `prefix`.
#[must_use]
pub fn meddlings(zone: &LabZone, prefix: &str) -> Vec<Meddling> {
    let (own, router) = (zone.tunnel_address, router(zone));
    let of = |takes, lines: &[&str]| -> Vec<Meddling> {
        let one = |line: &&str| Meddling {
            line: (*line).to_owned(),
            takes,
            leaves_damage: !OF_OTHERS.iter().any(|words| line.contains(words)),
        };
        lines.iter().map(one).collect()
    };
    let mut all = of(
        Safeguard::None,
        &[
            "ip link set zm0 down",
            "ip link set zm0 down; ip link set zm0 up",
            "ip link set zm0 mtu 1300",
            "ip link set zm0 name other9 || { ip link set zm0 down; ip link set zm0 name other9; }",
            "ip link set zm0 alias nobody",
            "ip link del zm0",
            "ip route flush dev zm0",
            "ip route flush table all dev zm0",
            "ip route flush table local dev zm0",
            "ip addr flush dev zm0",
            &format!("ip addr del {own}/32 dev zm0"),
            "ip addr add 10.99.9.9/32 dev zm0",
            &format!("ip route replace {prefix} via {router} table main"),
            &format!("ip route change {prefix} dev zm0 metric 1024 mtu 1000 table 9091"),
            "ip route add 10.99.0.0/16 dev zm0 table 9091",
            &format!("ip route del {prefix} dev zm0 table 9091"),
        ],
    );
    all.extend(of(
        Safeguard::Routes,
        &[
            "ip route flush table 9091",
            "ip route flush table all proto 90",
            "ip rule del pref 9091",
            "ip rule add pref 9000 lookup main; sleep 0.1; ip rule del pref 9000",
            &format!("ip route change {prefix} via {router} metric 1024 table 9091"),
            &format!("ip route add {prefix} via {router} metric 3 table 9091"),
        ],
    ));
    all.extend(of(
        Safeguard::Filter,
        &[
            "nft flush ruleset",
            "nft delete table inet zonemesh",
            "nft flush chain inet zonemesh leaving",
            "nft flush set inet zonemesh zones4",
            "nft insert rule inet zonemesh leaving accept",
        ],
    ));
    all
}

fn router(zone: &LabZone) -> String {
    let [a, b, c, _] = zone.wan_address.octets();
    format!("{a}.{b}.{c}.254")
}

/// Does it.
///
/// # Errors
/// When no shell can be started. That a line finds nothing any more is none.
pub fn meddle(gateway: &Namespace, meddling: &Meddling) -> Result<()> {
    gateway.command("sh").args(["-c", &meddling.line]).output()?;
    Ok(())
}

/// Numbers that follow from a seed (splitmix64).
#[derive(Debug)]
pub struct Seeded(u64);

impl Seeded {
    /// The numbers of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One of `0..below`.
    pub fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

/// A sequence of this seed at the gateway of `zone`; returns how long it took to be whole after the last.
///
/// # Errors
/// When it is not whole again within two seconds: with the sequence.
pub fn sequence(lab: &Lab, zone: &str, other: &str, seed: u64) -> Result<Duration> {
    let mut numbers = Seeded::new(seed);
    let at = lab.zone(zone)?;
    let all = meddlings(at, &lab.zone(other)?.prefix());
    let mut done: Vec<String> = Vec::new();
    let mut taken = Safeguard::None;
    for _ in 0..3 + numbers.below(6) {
        let meddling = &all[numbers.below(all.len() as u64) as usize];
        if meddling.takes != Safeguard::None {
            if taken != Safeguard::None && taken != meddling.takes {
                whole_soon(lab, zone).with_context(|| format!("seed {seed}: {done:#?}"))?;
            }
            taken = meddling.takes;
        }
        meddle(&at.gateway, meddling)?;
        done.push(meddling.line.clone());
        std::thread::sleep(Duration::from_millis(numbers.below(200)));
    }
    whole_soon(lab, zone).with_context(|| format!("seed {seed}: {done:#?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_and_another_one_others() {
        let numbers = |seed| {
            let mut numbers = Seeded::new(seed);
            (0..20).map(|_| numbers.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
    }
}
