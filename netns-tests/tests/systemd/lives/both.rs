//! A life in which one VM is berlin's gateway and its SuperLink.
//!
//! ```text
//!   berlin                        WAN                              madrid
//!   gateway and SuperLink VM  ==  [ router ]  ====    gateway VM - SuperNode VM
//! ```
//!
//! `make test-appliances` runs it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use zonemesh_lab::wait::{Look, holds_for, until};

use super::life::Life;
use super::one_life::READY;

const GATEWAY_STATUS: &str = "cat /run/zonemesh-gateway/status.json";
const SUPERLINK_STATUS: &str = "cat /var/lib/zonemesh-superlink/status.json";
/// Whoever breaks out of Flower finds the zone's keys closed, its CA's among them.
const KEYS_ARE_CLOSED: &str = "
    read_as_flower() { runuser -u flower -- cat \"$1\" 2>/dev/null | grep -q .; }
    read_as_flower /etc/passwd || exit 1
    find /var/lib/zonemesh -name '*.key' >/run/keys
    grep -q 'federations/.*/ca.key' /run/keys || exit 2
    for file in $(cat /run/keys) /etc/zonemesh/context.sh /etc/zonemesh/zonemesh.toml; do
        test -s \"$file\" || exit 3
        if read_as_flower \"$file\"; then echo \"$file\" >&2; exit 4; fi
    done";
/// How soon OneGate hears what has changed.
const HEARD: Duration = Duration::from_secs(60);

/// The life of one VM for both, which OneFlow sees as one.
struct SharedLife(Life);

impl SharedLife {
    fn run(&mut self, script: &str) -> Result<String> {
        self.0.vm("berlin")?.run(script)
    }

    fn told(&mut self, name: &str) -> Result<Option<String>> {
        Ok(self.0.vm("berlin")?.told(name))
    }

    /// What each of the two says of itself.
    fn states(&mut self) -> Result<(bool, String)> {
        let gateway: Value = serde_json::from_str(&self.run(GATEWAY_STATUS)?)?;
        let superlink: Value = serde_json::from_str(&self.run(SUPERLINK_STATUS)?)?;
        let state = superlink["state"].as_str().context("a state")?.to_owned();
        Ok((gateway["ready"] == true, state))
    }

    fn until_told(&mut self, ready: Option<&str>, after: &str) -> Result<()> {
        until(&format!("READY={ready:?} after {after}"), HEARD, || {
            let told = self.told("READY")?;
            Ok(Look::<()>::when(told.as_deref() == ready, format!("{told:?}")))
        })?;
        Ok(())
    }

    /// READY is there at last, and both are ready when it comes.
    fn becomes_ready(&mut self) -> Result<()> {
        self.0.vm("berlin")?.wait_until_ready(READY)?;
        let states = self.states()?;
        ensure!(states == (true, "ready".to_owned()), "READY was told in {states:?}");
        Ok(())
    }
}

#[test]
fn one_vm_is_gateway_and_superlink_trains_and_is_ready_only_while_both_are() -> Result<()> {
    let mut life = SharedLife(Life::with_both_in_one_vm("1.42.0")?);
    life.0.make("berlin")?;
    life.becomes_ready()?;
    for vm in ["madrid-gateway", "supernode"] {
        life.0.make(vm)?;
    }
    life.0.wait_until_all_are_ready(READY)?;
    life.0.train()?;
    it_is_where_the_gateway_is(&mut life)?;
    ready_is_of_both(&mut life)?;

    for vm in ["berlin", "madrid-gateway", "supernode"] {
        life.0.vm(vm)?.switch_off()?;
    }
    for vm in ["supernode", "madrid-gateway", "berlin"] {
        life.0.vm(vm)?.switch_on()?;
    }
    life.becomes_ready()?;
    life.0.wait_until_all_are_ready(READY)?;
    life.0.train()?;
    packages_go_one_by_one(&mut life)?;
    life.0.succeeded()
}

/// What one package takes with it is not what the other needs.
fn packages_go_one_by_one(life: &mut SharedLife) -> Result<()> {
    life.run("dpkg --purge zonemesh-superlink >&2; test -s /etc/zonemesh/context.sh")?;
    life.run("systemctl restart zonemesh-gateway; systemctl is-active zonemeshd zonemesh-gateway")?;
    life.run("dpkg --purge zonemesh >&2; ! test -e /etc/zonemesh")?;
    Ok(())
}

/// The attributes of both stand in OneGate, and the SuperLink serves at the gateway's own address.
fn it_is_where_the_gateway_is(life: &mut SharedLife) -> Result<()> {
    let address = life.0.lab.zone("berlin")?.lan_address;
    for (name, expected) in [
        ("FL_ROLE", "superlink".to_owned()),
        ("FL_READY", "true".to_owned()),
        ("FL_ENDPOINT", format!("{address}:8000")),
        ("ZONEMESH_GATEWAY", zonemesh_standin::base64_word(&format!("{address}:51822"))),
    ] {
        let told = life.told(name)?;
        ensure!(told.as_deref() == Some(expected.as_str()), "{name}: {told:?}");
    }
    // Nothing of Flower's listens where other zones reach the gateway from outside.
    let wan = life.0.lab.zone("berlin")?.wan_address;
    let listens = life.run("ss -Hltnp | grep flower; ss -Hltn | awk '{print $4}'")?;
    ensure!(listens.contains(&format!("{address}:8000")), "{listens}");
    for open in [format!("{wan}:8000"), "0.0.0.0:8000".to_owned(), "*:8000".to_owned()] {
        ensure!(!listens.contains(&open), "{listens}");
    }
    life.run(KEYS_ARE_CLOSED).context("Flower's user reads what is the gateway's")?;
    let found = life.run("zonemesh status")?;
    ensure!(!found.contains('!'), "something needs a look: {found}");
    let said = life.run("journalctl --no-pager -b -u 'zonemesh*' -o cat")?;
    ensure!(!said.contains("has no effect here"), "{said}");
    Ok(())
}

/// Whichever of the two is not ready takes READY away, and no other attribute.
fn ready_is_of_both(life: &mut SharedLife) -> Result<()> {
    life.run("systemctl stop zonemesh-gateway")?;
    life.until_told(None, "the gateway's companion has ended")?;
    ensure!(life.told("FL_READY")?.as_deref() == Some("true"), "Flower serves as before");
    let flower = life.run("ps -u flower -o pid= | sort | head -n 1")?;
    holds_for("READY waits for the gateway", Duration::from_secs(5), || {
        let told = life.told("READY")?;
        Ok(Look::<()>::when(told.is_none(), format!("{told:?}")))
    })?;
    life.run("systemctl start zonemesh-gateway")?;
    life.until_told(Some("YES"), "it is back")?;
    ensure!(flower == life.run("ps -u flower -o pid= | sort | head -n 1")?, "Flower goes on");

    // Its daemon is what makes it a gateway.
    life.run("systemctl stop zonemeshd")?;
    life.until_told(None, "the daemon has ended")?;
    life.run("systemctl start zonemeshd")?;
    life.until_told(Some("YES"), "the daemon is back")?;

    life.run("kill -KILL $(ps -u flower -o pid=)")?;
    life.until_told(None, "Flower was killed")?;
    ensure!(life.told("ZONEMESH_GATEWAY")?.is_some(), "the gateway goes on");
    life.until_told(Some("YES"), "Flower is back")
}
