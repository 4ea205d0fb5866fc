//! The keys of a plain WireGuard peer, in the role of a gateway.

use serde_json::{Value, json};

use crate::{broken_by, put, rendered};

const KEY: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";

/// What is told of a gateway with these values and inputs beside its invitation's.
fn told(values: Value, inputs: &[(&str, &str)]) -> Vec<String> {
    let mut template = rendered("gateway-only");
    put(&mut template, "/roles/0/user_inputs_values", values);
    for (key, input) in inputs {
        put(&mut template, &format!("/roles/0/user_inputs/{key}"), json!(input));
    }
    broken_by(&template).into_iter().map(|(_rule, told)| told).collect()
}

#[test]
fn a_peer_that_its_gateway_would_refuse_is_a_mistake_value_by_value() {
    let whole = |key: &str, value: Value| {
        let mut values = json!({
            "ONEAPP_WG_PEER_PUBLIC_KEY": KEY, "ONEAPP_WG_PEER_ALLOWED_IPS": "10.77.30.0/24",
            "ONEAPP_WG_PEER_ENDPOINT": "203.0.113.9:51820",
            "ONEAPP_WG_PEER_PERSISTENT_KEEPALIVE": "25",
        });
        values[format!("ONEAPP_WG_PEER_{key}")] = value;
        told(values, &[])
    };
    assert_eq!(whole("PUBLIC_KEY", json!(KEY)), Vec::<String>::new());
    assert_eq!(whole("PERSISTENT_KEEPALIVE", json!(25)), Vec::<String>::new());
    for (key, value, words) in [
        ("PUBLIC_KEY", "abc", "a key is 44 characters of base64"),
        ("ENDPOINT", "1.2.3.4", "the port is missing"),
        ("PERSISTENT_KEEPALIVE", "25s", "from 0 to 65535"),
        ("ALLOWED_IPS", "10.77.300.0/24", "expected an address"),
        ("ALLOWED_IPS", "0.0.0.0/0", "is every address"),
        ("PRESHARED_KEY", "hunter2", "a key is 44 characters of base64"),
    ] {
        let told = whole(key, json!(value));
        assert!(told.len() == 1 && told[0].contains(words), "{key}={value}: {told:?}");
        assert!(!told[0].contains("hunter2"), "{told:?}");
    }
}

#[test]
fn a_key_of_a_peer_without_those_that_it_needs_is_a_mistake_but_not_where_they_may_be_typed() {
    let alone = json!({"ONEAPP_WG_PEER_PUBLIC_KEY": KEY});
    let found = told(alone.clone(), &[]);
    let words = "ONEAPP_WG_PEER_ALLOWED_IPS is not set, and ONEAPP_WG_PEER_PUBLIC_KEY is";
    assert!(found.len() == 1 && found[0].contains(words), "{found:?}");
    let typed = ("ONEAPP_WG_PEER_ALLOWED_IPS", "O|text|prefixes||");
    assert_eq!(told(alone, &[typed]), Vec::<String>::new());
    let hidden = ("ONEAPP_WG_PEER_PRESHARED_KEY", "O|password|what `wg genpsk` prints||");
    assert_eq!(told(json!({}), &[hidden]), Vec::<String>::new(), "it may stay empty");
    let needed = ("ONEAPP_WG_PEER_PRESHARED_KEY", "M|password|what `wg genpsk` prints");
    let found = told(json!({}), &[needed]);
    assert_eq!(found.len(), 2, "neither key nor prefixes: {found:?}");
}
