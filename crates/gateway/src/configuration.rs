//! The configuration that follows from CONTEXT. Pure.
//!
//! It promises a text that the daemon takes, and that whatever CONTEXT says comes before what OneGate
//! says. It refuses to write files.

use std::fmt::Write as _;

use zonemesh_config::{Config, ConfigErrors, Endpoint};

use crate::settings::{WantedGateway, ZoneValues};
use crate::written::WantedFile;

/// What people read below the first line.
const NOTE: &str = "# Whoever edits this file is its source from then on, and CONTEXT counts no more; \
                    without it,\n# or with the edit undone, CONTEXT counts again: zonemesh-gateway(8).\n";

/// Above endpoints that CONTEXT does not say.
const HINTED: &str = "# As OneGate knows this VM; ONEAPP_ZONEMESH_ENDPOINT says it for certain.\n";

/// What CONTEXT asks for. `hint` is what OneGate knows of this VM's outer addresses, which counts
/// where nobody else says any.
///
/// # Errors
/// The daemon would not take it.
pub(crate) fn wanted(
    wanted: &WantedGateway,
    hint: &[Endpoint],
) -> Result<WantedFile, ConfigErrors> {
    let (key, text) = match wanted {
        WantedGateway::Whole(text) => ("ONEAPP_ZONEMESH_CONFIG", text.clone()),
        WantedGateway::Values(values) => {
            ("ONEAPP_ZONEMESH_INVITATION", format!("{NOTE}\n{}", from_values(values, hint)))
        }
    };
    Config::parse(&text, "the configuration that follows from CONTEXT")?;
    Ok(WantedFile { key, text })
}

/// What OneGate has said once, as a text of ours has it: it counts until OneGate says something
/// else.
pub(crate) fn hinted(text: &str) -> Vec<Endpoint> {
    if !text.contains(HINTED) {
        return Vec::new();
    }
    let config = Config::parse(text, "the configuration from CONTEXT");
    config.map(|config| config.gateway.endpoints).unwrap_or_default()
}

fn from_values(values: &ZoneValues, hint: &[Endpoint]) -> String {
    let ZoneValues { given, endpoints, listen } = values;
    let is_hinted = endpoints.is_empty();
    let endpoints = if is_hinted { hint } else { endpoints };
    let mut text = format!(
        "[zone]\nname = \"{}\"\nprefixes = {:?}\n\n[tunnel]\naddresses = {:?}\n",
        given.zone,
        texts(&given.prefixes),
        texts(&given.tunnel_ips)
    );
    if !endpoints.is_empty() {
        // Writing into a String does not fail.
        let source = if is_hinted { HINTED } else { "" };
        let _ = write!(text, "\n[gateway]\n{source}endpoints = {:?}\n", texts(endpoints));
    }
    let _ = write!(text, "\n[local_api]\nlisten = \"{listen}\"\n");
    for federation in &given.hosts {
        let _ = write!(text, "\n[[federation]]\nname = \"{federation}\"\n");
    }
    text
}

fn texts(values: &[impl ToString]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::{told, usual};

    fn text(values: &[(&str, &str)], hint: &[Endpoint]) -> String {
        wanted(&told(values).unwrap().wanted.unwrap(), hint).unwrap().text
    }

    #[test]
    fn the_founder_has_its_federation_its_lan_and_its_tunnel_addresses() {
        let [bundle, invitation] = usual();
        let endpoint = ("ONEAPP_ZONEMESH_ENDPOINT", "gw.berlin.example");
        let lan = ("ETH0_IP", "10.10.10.7");
        let text = text(&[("ONEAPP_ZONEMESH_INVITATION", &bundle), endpoint, lan], &[]);
        let config = Config::parse(&text, "test").unwrap();
        assert_eq!(config.zone.name.as_str(), "berlin");
        assert_eq!(config.zone.prefixes, ["10.10.10.0/24".parse().unwrap()]);
        assert_eq!(config.gateway.endpoints, ["gw.berlin.example:51820".parse().unwrap()]);
        assert_eq!(config.local_api.unwrap().listen.to_string(), "10.10.10.7:51822");
        assert_eq!(config.federations.len(), 1);
        // Known before the first start: a founder is asked as soon as it has founded.
        assert_eq!(config.tunnel.addresses, ["10.255.0.1".parse::<std::net::IpAddr>().unwrap()]);
        assert!(!text.contains(&bundle[60..90]) && !text.contains(&invitation[60..90]));
    }

    #[test]
    fn what_onegate_knows_counts_where_context_says_nothing() {
        let [_, invitation] = usual();
        let invitation = ("ONEAPP_ZONEMESH_INVITATION", invitation.as_str());
        let hint = ["203.0.113.9:51820".parse().unwrap()];
        let lan = ("ETH0_IP", "10.10.11.1");
        let endpoints = |text: &str| Config::parse(text, "test").unwrap().gateway.endpoints;
        let with_hint = text(&[invitation, lan], &hint);
        assert_eq!((endpoints(&with_hint), hinted(&with_hint)), (hint.to_vec(), hint.to_vec()));
        assert!(endpoints(&text(&[invitation, lan], &[])).is_empty());
        let public = text(&[invitation, lan, ("ETH1_IP", "203.0.113.2")], &hint);
        assert_eq!(endpoints(&public), ["203.0.113.2:51820".parse().unwrap()]);
        assert!(hinted(&public).is_empty(), "that is no hint");
    }

    #[test]
    fn a_whole_configuration_is_not_touched() {
        let toml = "zone.name = 'berlin'\nzone.prefixes = ['10.10.10.0/24']\n[local_api]\n  listen = '0.0.0.0:51822'\n";
        assert_eq!(text(&[("ONEAPP_ZONEMESH_CONFIG", toml)], &[]), toml);
    }
}
