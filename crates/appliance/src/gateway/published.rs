//! Which addresses the VMs of a service name as their gateway's. Pure.
//!
//! It promises that a VM which is terminated names none, and that whatever OneGate or a VM writes
//! there ends in addresses or in words. It refuses to believe anything: any VM of a service may
//! overwrite the attribute of any other.
//! Specification: `GET /service?extended=true` of OpenNebula's `onegate-server.rb`; the attribute
//! is base64 of IP:PORT, because OneGate damages brackets and commas. A release 0.1.0 told more
//! behind it.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::onegate::ZONEMESH_GATEWAY as PUBLISHED;
use crate::settings::local_api_address;

/// The state ACTIVE: neither poweroff nor done.
const ACTIVE: &str = "3";

/// The addresses that VMs name, each once, or why there are none.
pub(super) fn named_gateways(service: &Value) -> Result<Vec<SocketAddr>, String> {
    let Some(roles) = service["SERVICE"]["roles"].as_array() else {
        return Err("what OneGate answers is no service".to_owned());
    };
    let nodes = roles.iter().filter_map(|role| role["nodes"].as_array()).flatten();
    let vms: Vec<&Value> = nodes.map(|node| &node["vm_info"]["VM"]).collect();
    let (mut found, mut unusable) = (Vec::new(), Vec::new());
    for vm in vms.iter().filter(|vm| is_there(vm)) {
        for text in texts(&vm["USER_TEMPLATE"][PUBLISHED]) {
            match address(text) {
                Some(address) if !found.contains(&address) => found.push(address),
                Some(_) => {}
                None => unusable.push(number(vm)),
            }
        }
    }
    match (found.is_empty(), unusable.first()) {
        (false, _) => Ok(found),
        (true, Some(vm)) => Err(format!("{PUBLISHED} of VM {vm} is no address")),
        (true, None) => Err(none_of(vms.len())),
    }
}

fn none_of(vms: usize) -> String {
    format!("none of the VMs of this service ({vms}) that run has published {PUBLISHED}")
}

/// Without a state nothing is held against it.
fn is_there(vm: &Value) -> bool {
    vm["STATE"].is_null() || plain(&vm["STATE"]).is_some_and(|state| state == ACTIVE)
}

fn number(vm: &Value) -> String {
    plain(&vm["ID"]).unwrap_or_else(|| "?".to_owned())
}

/// OneGate writes numbers as texts, OneFlow not always.
fn plain(value: &Value) -> Option<String> {
    let number = || value.as_i64().map(|number| number.to_string());
    value.as_str().map(str::to_owned).or_else(number)
}

/// An attribute that stands twice is a list.
fn texts(value: &Value) -> impl Iterator<Item = &str> {
    let all = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    all.iter().filter_map(Value::as_str).filter(|text| !text.trim().is_empty())
}

fn address(text: &str) -> Option<SocketAddr> {
    let bytes = STANDARD.decode(text.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let address = local_api_address(text.split_whitespace().next()?).ok()?;
    let ip = address.ip();
    (!ip.is_unspecified() && !ip.is_multicast()).then_some(address)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn vm(id: &str, state: &str, attributes: Value) -> Value {
        json!({"vm_info": {"VM": {"ID": id, "STATE": state, "USER_TEMPLATE": attributes}}})
    }

    fn publishes(text: &str) -> Value {
        json!({ PUBLISHED: STANDARD.encode(text) })
    }

    fn named(nodes: Value) -> Result<Vec<SocketAddr>, String> {
        named_gateways(&json!({"SERVICE": {"roles": [{"name": "empty"}, {"nodes": nodes}]}}))
    }

    #[test]
    fn vms_name_their_gateway_and_terminated_ones_do_not() {
        let found = named(json!([
            vm("3", "6", publishes("10.10.10.9:51822")),
            vm("4", "8", publishes("10.10.10.8:51822")),
            vm("5", "3", publishes("[fd00::1]:51822")),
            vm("6", "3", publishes("10.10.10.1 sha256:ab")),
            vm("7", "3", publishes("[fd00::1]:51822")),
            vm("8", "3", json!({PUBLISHED: ["", STANDARD.encode("10.10.10.2:1")]})),
        ]));
        let texts: Vec<String> = found.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["[fd00::1]:51822", "10.10.10.1:51822", "10.10.10.2:1"]);
    }

    #[test]
    fn whatever_else_stands_there_is_words() {
        for damaged in ["10.10.10.1:51822", "%%%", "/w==", "[fd00::1\"]:51822"] {
            let problem = named(json!([vm("4", "3", json!({ PUBLISHED: damaged }))])).unwrap_err();
            assert_eq!(problem, "ZONEMESH_GATEWAY of VM 4 is no address", "{damaged}");
        }
        for nobody in ["0.0.0.0:51822", "224.0.0.1:51822", "10.10.10.1:0", "gateway:51822"] {
            assert!(named(json!([vm("4", "3", publishes(nobody))])).is_err(), "{nobody}");
        }
        let none = named(json!([vm("4", "3", json!({})), {}, {"vm_info": null}])).unwrap_err();
        assert!(none.contains("(3) that run has published"), "{none}");
        for answer in [json!(null), json!({"SERVICE": {}}), json!([3])] {
            let problem = named_gateways(&answer).unwrap_err();
            assert_eq!(problem, "what OneGate answers is no service");
        }
    }
}
