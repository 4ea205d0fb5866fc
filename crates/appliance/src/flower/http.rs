//! Flower from 1.40 on, which speaks HTTP/1.1: programs, the one port, arguments.
//!
//! It promises that the SuperLink listens on its zone's address (its own default is 127.0.0.1, where
//! no SuperNode of another zone comes), that a SuperNode's Runtime API, which speaks no TLS, stays on
//! loopback, and that nothing is installed at run time.
//! Specification: `flower-superlink --help` and `flower-supernode --help` of 1.42.0. What these
//! flags were before (`--fleet-api-address`, `--control-api-address`) is only warned of there;
//! `--serverappio-api-address` and `--clientappio-api-address` end both programs.

use zonemesh_api::keepalive::Keepalive;
use zonemesh_core::record::FlowerTransport;

use super::{
    AUTHENTICATES, FlowerGeneration, FlowerPorts, NODE_KEY, SuperLinkArguments, SuperNodeArguments,
    pairs, path_text,
};

/// The generation that speaks HTTP.
#[derive(Debug, Clone, Copy)]
pub struct HttpFlower;

/// Flower's own. One port serves SuperNodes, `flwr run`, ServerApps and `GET /health`.
const PORTS: FlowerPorts =
    FlowerPorts { fleet: 8000, control: None, serverappio: None, clientappio: 9094, health: None };

impl FlowerGeneration for HttpFlower {
    fn transport(&self) -> FlowerTransport {
        FlowerTransport::Http
    }

    fn ports(&self) -> FlowerPorts {
        PORTS
    }

    /// HTTP has none: its reads end after 30 s, and the next poll is a new connection.
    fn keepalive(&self) -> Option<Keepalive> {
        None
    }

    fn superlink_arguments(&self, superlink: &SuperLinkArguments) -> Vec<String> {
        let mut arguments = pairs(&[
            ("--host", superlink.address.to_string()),
            ("--port", superlink.ports.fleet.to_string()),
            ("--ssl-ca-certfile", path_text(&superlink.ca_file)),
            ("--ssl-certfile", path_text(&superlink.certificate_file)),
            ("--ssl-keyfile", path_text(&superlink.key_file)),
            ("--database", path_text(&superlink.database)),
        ]);
        // A SuperNode installs nothing unless it is told to; a SuperLink does unless it is told not to.
        arguments.push("--disable-runtime-dependency-installation".to_owned());
        arguments.extend(superlink.authenticates.then(|| AUTHENTICATES.to_owned()));
        arguments
    }

    fn supernode_arguments(&self, supernode: &SuperNodeArguments) -> Vec<String> {
        let mut arguments = vec![
            ("--superlink", supernode.superlink.clone()),
            ("--root-certificates", path_text(&supernode.ca_file)),
            ("--host", "127.0.0.1".to_owned()),
            ("--port", supernode.clientappio_port.to_string()),
        ];
        if let Some(config) = &supernode.node_config {
            arguments.push(("--node-config", config.clone()));
        }
        if let Some(key) = &supernode.key_file {
            arguments.push((NODE_KEY, path_text(key)));
        }
        pairs(&arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flower::tests::after;

    #[test]
    fn the_superlink_is_bound_to_its_own_address_and_installs_nothing() {
        for address in ["10.10.10.5", "fd00::5"] {
            let superlink = HttpFlower.superlink_arguments(&SuperLinkArguments {
                address: address.parse().unwrap(),
                ports: PORTS,
                ca_file: "/s/ca.pem".into(),
                certificate_file: "/s/server.pem".into(),
                key_file: "/s/server.key".into(),
                database: "/s/superlink.db".into(),
                authenticates: true,
            });
            assert!(superlink.iter().any(|word| word == "--enable-supernode-auth"));
            // As Python wants it: an IPv6 address without brackets, apart from the port.
            assert_eq!(after(&superlink, "--host"), address);
            assert_eq!(after(&superlink, "--port"), "8000");
            assert_eq!(after(&superlink, "--database"), "/s/superlink.db");
            assert!(
                superlink.iter().any(|word| word == "--disable-runtime-dependency-installation")
            );
            assert!(!superlink.iter().any(|word| word == "--insecure" || word.contains("-api-")));
        }
    }

    #[test]
    fn what_speaks_no_tls_at_a_supernode_listens_on_loopback_only() {
        let supernode = HttpFlower.supernode_arguments(&SuperNodeArguments {
            superlink: "[fd00::5]:8000".parse().unwrap(),
            ca_file: "/s/ca.pem".into(),
            clientappio_port: 9094,
            node_config: Some("partition-id=0".into()),
            key_file: Some("/s/supernode.key".into()),
        });
        assert_eq!(after(&supernode, "--auth-supernode-private-key"), "/s/supernode.key");
        assert_eq!(after(&supernode, "--superlink"), "[fd00::5]:8000");
        assert_eq!(
            (after(&supernode, "--host"), after(&supernode, "--port")),
            ("127.0.0.1", "9094")
        );
        assert_eq!(after(&supernode, "--node-config"), "partition-id=0");
        assert!(!supernode.iter().any(|word| word == "--insecure" || word.contains("-api-")));
    }
}
