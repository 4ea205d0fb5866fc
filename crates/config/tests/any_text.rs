//! No text makes the reader panic, and no text is refused without a reason that has a place.

use proptest::prelude::*;
use zonemesh_config::Config;
use zonemesh_core::visible::is_hidden;

const EXAMPLE: &str = include_str!("../../../configs/zonemesh.example.toml");

/// Reads `text` and checks what every answer must hold.
fn read(text: &str) {
    let Err(errors) = Config::parse(text, "any.toml") else {
        return;
    };
    assert!(errors.count() > 0);
    let lines = text.split('\n').count();
    for error in &errors {
        assert!((1..=lines).contains(&error.line), "{error}");
        assert!(error.column >= 1);
        for part in [&error.key, &error.found, &error.expected, &error.fix] {
            assert!(!part.is_empty() && !part.contains(is_hidden), "{error:?}");
        }
    }
}

#[test]
fn a_value_with_a_control_character_is_shown_without_it() {
    read("gateway.endpoints = [\"\\e\"]\n");
    read("zone.name = \"\\u0007\"\n");
}

proptest! {
    #[test]
    fn arbitrary_text_is_read_or_refused(text in any::<String>()) {
        read(&text);
    }

    #[test]
    fn arbitrary_values_of_known_keys_are_read_or_refused(
        key in prop::sample::select(vec![
            "zone.name", "zone.prefixes", "tunnel.addresses", "tunnel.mtu", "peer", "local_api",
            "local_api.token", "keepalive.wireguard", "gateway.endpoints", "federation", "log.level",
        ]),
        value in r#"(\[)?("[ -~]{0,20}"|-?[0-9]{1,20}|[0-9.e]{1,8}|\{\}|true|1979-05-27)(, "\\PC{0,8}")?(\])?"#,
    ) {
        read(&format!("{key} = {value}\n"));
    }

    #[test]
    fn a_damaged_example_is_read_or_refused(
        start in 0..EXAMPLE.len(),
        length in 0..200usize,
        inserted in "[ -~\\n\"\\[\\]=.é]{0,12}",
    ) {
        let mut bytes = EXAMPLE.as_bytes().to_vec();
        let end = (start + length).min(bytes.len());
        bytes.splice(start..end, inserted.into_bytes());
        read(&String::from_utf8_lossy(&bytes));
    }
}
