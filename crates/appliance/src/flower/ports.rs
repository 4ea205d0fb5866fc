//! The TCP ports of Flower: what a generation uses, and what CONTEXT gives instead.
//!
//! It promises that a port is known only when the generation is: settings alone have none.

/// The ports of one Flower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowerPorts {
    /// For SuperNodes.
    pub fleet: u16,
    /// For `flwr run`.
    pub control: u16,
    /// For ServerApps, on loopback.
    pub serverappio: u16,
    /// For ClientApps, on loopback.
    pub clientappio: u16,
    /// Of the health service, on loopback.
    pub health: u16,
}

/// The ports that CONTEXT gives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GivenPorts {
    /// For SuperNodes.
    pub fleet: Option<u16>,
    /// For `flwr run`.
    pub control: Option<u16>,
    /// For ServerApps, on loopback.
    pub serverappio: Option<u16>,
    /// For ClientApps, on loopback.
    pub clientappio: Option<u16>,
    /// Of the health service, on loopback.
    pub health: Option<u16>,
}

impl GivenPorts {
    /// The given ones, and those of the generation for the rest.
    #[must_use]
    pub fn or(self, usual: FlowerPorts) -> FlowerPorts {
        FlowerPorts {
            fleet: self.fleet.unwrap_or(usual.fleet),
            control: self.control.unwrap_or(usual.control),
            serverappio: self.serverappio.unwrap_or(usual.serverappio),
            clientappio: self.clientappio.unwrap_or(usual.clientappio),
            health: self.health.unwrap_or(usual.health),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_wins_and_the_rest_is_the_generations() {
        let usual = FlowerPorts { fleet: 1, control: 2, serverappio: 3, clientappio: 4, health: 5 };
        assert_eq!(GivenPorts::default().or(usual), usual);
        let given = GivenPorts { fleet: Some(19092), ..GivenPorts::default() };
        assert_eq!(given.or(usual), FlowerPorts { fleet: 19092, ..usual });
    }
}
