//! Another VM of the service says that it is the gateway.

use std::net::{SocketAddr, TcpListener};

use anyhow::{Result, ensure};
use zonemesh_standin::{TestGateway, base64_word};

use super::flowers::with_each_flower;
use super::life::Life;
use super::one_life::READY;

const PORT: u16 = 51822;

/// A gateway with a zone's key of its own, which takes whatever it is shown.
fn false_gateway(life: &Life) -> Result<TestGateway> {
    let place = life.lab.zone("madrid")?.vm("onegate")?;
    let at = SocketAddr::from((place.address, PORT));
    place.namespace.inside(|| Ok(TestGateway::false_one(TcpListener::bind(at)?)))
}

#[test]
fn a_false_gateway_in_the_service_gets_no_token_and_keeps_nobody_out() -> Result<()> {
    with_each_flower(|flower| {
        let mut life = Life::new(flower)?;
        for vm in ["berlin-gateway", "superlink", "madrid-gateway"] {
            life.make(vm)?;
            life.vm(vm)?.wait_until_ready(READY)?;
        }
        let false_one = false_gateway(&life)?;
        let gateway = life.vm("madrid-gateway")?;
        let (id, true_one) = (gateway.id.clone(), gateway.told("ZONEMESH_GATEWAY"));
        let lie = base64_word(&false_one.address.to_string());
        // As any VM of the service may; and it says it of itself, which nobody takes back. OneGate lists
        // it first.
        let onegate = life.onegate("madrid");
        onegate.makes_vm("12", "attacker");
        onegate.write("12", "ZONEMESH_GATEWAY", Some(&lie));
        onegate.write(&id, "ZONEMESH_GATEWAY", Some(&lie));
        life.make("supernode")?;
        life.wait_until_all_are_ready(READY)?;
        life.train()?;
        let seen = false_one.all_calls();
        let was_asked_alone = !seen.is_empty() && seen.iter().all(|call| call == "attest");
        ensure!(was_asked_alone, "the false gateway was shown {seen:?}");
        // The gateway has said again where it is.
        ensure!(life.vm("madrid-gateway")?.told("ZONEMESH_GATEWAY") == true_one);
        life.succeeded()
    })
}
