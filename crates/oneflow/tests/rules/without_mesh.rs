//! A role of SuperNodes whose SuperLink stands at an address, without a mesh.

use serde_json::{Value, json};
use zonemesh_oneflow::TemplateRule;
use zonemesh_oneflow::render::{RenderValues, render};

use crate::{broken_by, put, rendered};

const ADDRESS: &str = "/roles/1/user_inputs_values/ONEAPP_FL_SUPERLINK_ADDRESS";
const CA: &str = "/roles/1/user_inputs_values/ONEAPP_FL_SSL_CA_CERTFILE";
/// The first line of a certificate.
const CERTIFICATE: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==";
const PRIVATE_KEY: &str = "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCg==";
const INPUTS: &str = "/roles/1/user_inputs";

/// The training site's template, whose SuperNodes are given an address; their inputs are as before.
fn with_address() -> Value {
    let mut template = rendered("training-site");
    put(&mut template, "/roles/1/user_inputs_values", json!({}));
    put(&mut template, ADDRESS, json!("10.10.10.5:9092"));
    put(&mut template, CA, json!(CERTIFICATE));
    template
}

#[test]
fn a_token_beside_an_address_is_a_mistake_and_so_is_an_address_without_a_ca() {
    let mut template = with_address();
    let found = broken_by(&template);
    let is_told = |found: &[(TemplateRule, String)], words: &str| {
        found.iter().any(|(rule, told)| *rule == TemplateRule::InputValue && told.contains(words))
    };
    assert!(is_told(&found, "ONEAPP_ZONEMESH_TOKEN beside"), "{found:?}");
    assert_eq!(found.len(), 1, "an input that may stay empty is none: {found:?}");
    put(&mut template, INPUTS, json!({"ONEAPP_ZONEMESH_FEDERATION": "M|text|Name"}));
    assert_eq!(broken_by(&template), [], "it needs no token");
    put(&mut template, "/roles/1/user_inputs_values", json!({}));
    put(&mut template, ADDRESS, json!("10.10.10.5:9092"));
    let found = broken_by(&template);
    assert!(is_told(&found, "without ONEAPP_FL_SSL_CA_CERTFILE"), "{found:?}");
}

#[test]
fn render_asks_for_no_token_where_an_address_stands() {
    let rendered = render(with_address().to_string().as_bytes(), &RenderValues::default());
    let Ok(rendered) = rendered else { panic!("it renders") };
    let asked_of_supernode = rendered.asked.iter().filter(|asked| asked.starts_with("supernode."));
    let asked: Vec<&String> = asked_of_supernode.collect();
    assert!(asked.iter().any(|asked| asked.ends_with("ONEAPP_ZONEMESH_FEDERATION")), "{asked:?}");
    let of_mesh = |asked: &&&String| asked.ends_with("_TOKEN") || asked.ends_with("_GATEWAY");
    assert_eq!(asked.iter().find(of_mesh), None, "{asked:?}");
}

#[test]
fn an_address_and_a_ca_that_no_supernode_would_take_are_mistakes() {
    for (place, value, words) in [
        (ADDRESS, "10.10.10.5", "no ADDRESS:PORT or NAME:PORT"),
        (ADDRESS, "0.0.0.0:9092", "nobody can be dialled there"),
        (CA, PRIVATE_KEY, "\"[a private key]\" holds a secret"),
        (CA, "hunter2", "no base64 of a PEM text"),
    ] {
        let mut template = with_address();
        put(&mut template, INPUTS, json!({"ONEAPP_ZONEMESH_FEDERATION": "M|text|Name"}));
        put(&mut template, place, json!(value));
        let found = broken_by(&template);
        assert_eq!(found.len(), 1, "{value}: {found:?}");
        assert!(found[0].1.contains(words), "{found:?}");
    }
}
