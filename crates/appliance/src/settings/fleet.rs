//! Where a SuperLink is reached: one address and its ports, said by several keys.
//!
//! It promises that what two keys say is the same, and that no two ports are one. It refuses to know
//! which addresses this VM has: that is seen when they are bound.

use std::net::IpAddr;

use zonemesh_context::judged::{self, companion as checks};
use zonemesh_context::keys::flower::{
    CONTROL_PORT, FLEET_API_ADDRESS, FLEET_PORT, HEALTH_PORT, SERVERAPPIO_PORT,
};
use zonemesh_context::keys::mesh::ADDRESS;
use zonemesh_context::keys::opennebula::ETH0_IP;
use zonemesh_context::{ContextKey, SettingsErrors, Variables};

use crate::flower::{FlowerPorts, GivenPorts};

/// What a SuperLink's VM is told of where it serves.
#[derive(Debug, Clone, Copy)]
pub(super) struct FleetPlace {
    pub(super) address: Option<IpAddr>,
    pub(super) ports: GivenPorts,
}

impl FleetPlace {
    /// Reads it; what is wrong is recorded.
    pub(super) fn read(variables: &mut Variables<'_>) -> Self {
        let fleet = variables.optional(FLEET_API_ADDRESS, checks::fleet_address);
        let port = variables.optional(FLEET_PORT, judged::port);
        let ports = GivenPorts {
            fleet: port.or(fleet.map(|fleet| fleet.port())),
            control: variables.optional(CONTROL_PORT, judged::port),
            serverappio: variables.optional(SERVERAPPIO_PORT, judged::port),
            health: variables.optional(HEALTH_PORT, judged::port),
            clientappio: None,
        };
        if fleet.zip(port).is_some_and(|(fleet, port)| fleet.port() != port) {
            let problem = format!("its port is another than {} says", FLEET_PORT.name);
            variables.wrong(FLEET_API_ADDRESS, &problem);
        }
        let said = fleet.map(|fleet| fleet.ip()).filter(|ip| !ip.is_unspecified());
        let address = address(variables, said);
        refuse_shared(variables, ports);
        Self { address, ports }
    }
}

/// `said` is the address of [`FLEET_API_ADDRESS`].
fn address(variables: &mut Variables<'_>, said: Option<IpAddr>) -> Option<IpAddr> {
    match said {
        Some(said) if variables.raw(ADDRESS).is_some() => {
            let own = variables.optional(ADDRESS, checks::own_address)?;
            if own != said {
                let problem = format!("{} says that this VM's address is {own}", ADDRESS.name);
                variables.wrong(FLEET_API_ADDRESS, &problem);
            }
            Some(own)
        }
        Some(said) => Some(said),
        None if variables.raw(ADDRESS).is_none() && variables.raw(ETH0_IP).is_some() => {
            variables.optional(ETH0_IP, checks::own_address)
        }
        None => variables.required(ADDRESS, checks::own_address),
    }
}

struct PortOfKey {
    key: ContextKey,
    port: Option<u16>,
}

fn by_key(fleet: Option<u16>, rest: [Option<u16>; 3]) -> [PortOfKey; 4] {
    let [control, serverappio, health] = rest;
    [
        PortOfKey { key: FLEET_PORT, port: fleet },
        PortOfKey { key: CONTROL_PORT, port: control },
        PortOfKey { key: SERVERAPPIO_PORT, port: serverappio },
        PortOfKey { key: HEALTH_PORT, port: health },
    ]
}

/// Records each given port that an earlier key has, too.
fn refuse_shared(variables: &mut Variables<'_>, given: GivenPorts) {
    let ports = by_key(given.fleet, [given.control, given.serverappio, given.health]);
    for (at, later) in ports.iter().enumerate() {
        let earlier = ports[..at].iter().find(|one| one.port.is_some() && one.port == later.port);
        if let Some(earlier) = earlier {
            let problem = format!("{} has that port, too: each needs its own", earlier.key.name);
            variables.wrong(later.key, &problem);
        }
    }
}

/// Refuses a given port that is the usual one of something else, now that Flower's version says which
/// are usual.
///
/// # Errors
/// Every port that two have.
pub fn distinct_ports(ports: FlowerPorts) -> Result<(), SettingsErrors> {
    let mut variables = Variables::new(Vec::new());
    let known = by_key(Some(ports.fleet), [ports.control, ports.serverappio, ports.health]);
    for (at, later) in known.iter().enumerate() {
        let Some(port) = later.port else { continue };
        if let Some(earlier) = known[..at].iter().find(|one| one.port == Some(port)) {
            let problem = format!(
                "is {port} here, given or as this Flower's usual one, and so is {}: each needs its own",
                earlier.key.name
            );
            variables.lacks(later.key, &problem);
        }
    }
    variables.finish(Some(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flower::{COMPATIBILITY, FlowerGeneration, GrpcFlower, HttpFlower};

    #[test]
    fn a_port_that_is_anothers_usual_one_is_refused_where_that_one_is_in_use() {
        let given = |fleet| GivenPorts { fleet: Some(fleet), ..GivenPorts::default() };
        for era in COMPATIBILITY {
            assert_eq!(distinct_ports(era.generation.ports()), Ok(()));
        }
        let error = distinct_ports(given(9093).or(GrpcFlower.ports())).unwrap_err().to_string();
        let words = "ONEAPP_ZONEMESH_CONTROL_PORT: is 9093 here, given or as this Flower's usual one, and so is ONEAPP_ZONEMESH_FLEET_PORT";
        assert!(error.starts_with(words), "{error}");
        assert_eq!(distinct_ports(given(9093).or(HttpFlower.ports())), Ok(()));
    }
}
