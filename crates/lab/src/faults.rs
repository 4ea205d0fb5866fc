//! What can be wrong with the WAN: cuts, loss, slow links, MTU holes.
//!
//! Owns the nftables table `zm_faults` and the tbf queues, both inside the Lab's router. Promises
//! that a change of one fault is atomic and leaves the others alone. Refuses delay and reordering:
//! this kernel has no netem, [`crate::relay`] does those.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::namespace::Namespace;

/// The faults of one zone's WAN link.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Fault {
    cut: bool,
    loss_percent: f64,
    largest_packet: Option<u16>,
}

/// The faults of all WAN links, by the router's interface (the zone's name).
#[derive(Debug, Default)]
pub struct Faults {
    links: BTreeMap<String, Fault>,
}

impl Faults {
    /// Drops every packet of the zone, silently, both ways (a black hole, not a dead link).
    pub fn set_cut(&mut self, router: &Namespace, zone: &str, cut: bool) -> Result<()> {
        self.change(router, zone, |fault| fault.cut = cut)
    }

    /// Loses this share of the zone's packets, each way, at random.
    pub fn set_loss(&mut self, router: &Namespace, zone: &str, percent: f64) -> Result<()> {
        self.change(router, zone, |fault| fault.loss_percent = percent)
    }

    /// Drops packets longer than this (IP length), without telling the sender.
    pub fn set_mtu_hole(
        &mut self,
        router: &Namespace,
        zone: &str,
        largest: Option<u16>,
    ) -> Result<()> {
        self.change(router, zone, |fault| fault.largest_packet = largest)
    }

    fn change(
        &mut self,
        router: &Namespace,
        zone: &str,
        edit: impl FnOnce(&mut Fault),
    ) -> Result<()> {
        edit(self.links.entry(zone.to_owned()).or_default());
        load(router, &ruleset(&self.links)?)
    }
}

/// The whole table; loading it replaces the old one in one transaction.
fn ruleset(links: &BTreeMap<String, Fault>) -> Result<String> {
    let mut rules = String::new();
    for (zone, fault) in links {
        for side in ["iifname", "oifname"] {
            let on = format!("    {side} \"{zone}\"");
            if fault.cut {
                writeln!(rules, "{on} drop")?;
            }
            if fault.loss_percent > 0.0 {
                let of_10_000 = (fault.loss_percent * 100.0).round();
                writeln!(rules, "{on} numgen random mod 10000 < {of_10_000} drop")?;
            }
            if let Some(largest) = fault.largest_packet {
                writeln!(rules, "{on} meta length > {largest} drop")?;
            }
        }
    }
    // The relay runs on the router itself, so its packets pass input and output, not forward.
    let mut table =
        "table inet zm_faults\ndelete table inet zm_faults\ntable inet zm_faults {\n".to_owned();
    for hook in ["forward", "input", "output"] {
        let keep = if hook == "forward" { &rules } else { &only(&rules, hook) };
        write!(
            table,
            "  chain {hook} {{\n    type filter hook {hook} priority 0; policy accept;\n{keep}  }}\n"
        )?;
    }
    table.push_str("}\n");
    Ok(table)
}

/// The input hook has no outgoing interface and the output hook no incoming one.
fn only(rules: &str, hook: &str) -> String {
    let word = if hook == "input" { "iifname" } else { "oifname" };
    rules.lines().filter(|rule| rule.contains(word)).fold(String::new(), |mut kept, rule| {
        kept.push_str(rule);
        kept.push('\n');
        kept
    })
}

fn load(router: &Namespace, ruleset: &str) -> Result<()> {
    let mut command = router.command("nft");
    command.args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut nft = command.spawn().context("cannot start nft -> install nftables")?;
    let mut input = nft.stdin.take().context("nft has no standard input")?;
    input.write_all(ruleset.as_bytes())?;
    drop(input);
    let output = nft.wait_with_output()?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("nft refused the faults: {reason}\n{ruleset}");
    }
    Ok(())
}

/// Limits one interface's outgoing rate; `None` takes the limit away.
///
/// # Errors
/// When `tc` refuses.
pub(crate) fn set_rate(namespace: &Namespace, interface: &str, mbit: Option<u32>) -> Result<()> {
    match mbit {
        Some(mbit) => {
            let rate = format!("{mbit}mbit");
            let qdisc = ["tc", "qdisc", "replace", "dev", interface, "root", "tbf", "rate", &rate];
            let shape = ["burst", "64kb", "latency", "100ms"];
            namespace.run(&[&qdisc[..], &shape[..]].concat())?;
        }
        None => {
            namespace.run(&["tc", "qdisc", "del", "dev", interface, "root"])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_a_link_stands_in_the_table_both_ways() {
        let fault = Fault { cut: true, loss_percent: 2.5, largest_packet: Some(1300) };
        let text = ruleset(&BTreeMap::from([("berlin".to_owned(), fault)])).expect("ruleset");
        for rule in [
            "iifname \"berlin\" drop",
            "oifname \"berlin\" drop",
            "iifname \"berlin\" numgen random mod 10000 < 250 drop",
            "oifname \"berlin\" meta length > 1300 drop",
        ] {
            assert!(text.contains(rule), "{rule} is missing in\n{text}");
        }
    }

    #[test]
    fn a_healthy_link_has_no_rule() {
        let text = ruleset(&BTreeMap::from([("paris".to_owned(), Fault::default())])).expect("ok");
        assert!(!text.contains("drop"), "{text}");
    }
}
