//! The TCP ports of Flower: what a generation uses, and what CONTEXT gives instead.
//!
//! It promises that a port is known only when the generation is: settings alone have none. Which
//! ports there are differs, too: from 1.40 on one serves all that a SuperLink serves.

/// The ports of one Flower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowerPorts {
    /// For SuperNodes.
    pub fleet: u16,
    /// For `flwr run`, if that is another.
    pub control: Option<u16>,
    /// For ServerApps, on loopback, if that is another.
    pub serverappio: Option<u16>,
    /// For ClientApps, on loopback.
    pub clientappio: u16,
    /// Of the health service, on loopback, if that is another.
    pub health: Option<u16>,
}

impl FlowerPorts {
    /// Where `flwr run` connects.
    #[must_use]
    pub fn for_runs(&self) -> u16 {
        self.control.unwrap_or(self.fleet)
    }
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
    /// The given ones, and those of the generation for the rest. One that the generation does not
    /// have stays none.
    #[must_use]
    pub fn or(self, usual: FlowerPorts) -> FlowerPorts {
        let if_used =
            |given: Option<u16>, usual: Option<u16>| usual.map(|usual| given.unwrap_or(usual));
        FlowerPorts {
            fleet: self.fleet.unwrap_or(usual.fleet),
            control: if_used(self.control, usual.control),
            serverappio: if_used(self.serverappio, usual.serverappio),
            clientappio: self.clientappio.unwrap_or(usual.clientappio),
            health: if_used(self.health, usual.health),
        }
    }

    /// What the given ports are for that this generation does not have, in words.
    #[must_use]
    pub fn without_effect(self, usual: FlowerPorts) -> Vec<&'static str> {
        let optional = [
            ("`flwr run`", self.control, usual.control),
            ("ServerApps", self.serverappio, usual.serverappio),
            ("Flower's health service", self.health, usual.health),
        ];
        let unused =
            optional.into_iter().filter(|(_, given, usual)| given.is_some() && usual.is_none());
        unused.map(|(purpose, ..)| purpose).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE: FlowerPorts = FlowerPorts {
        fleet: 1,
        control: Some(2),
        serverappio: Some(3),
        clientappio: 4,
        health: Some(5),
    };
    const ONE: FlowerPorts =
        FlowerPorts { fleet: 1, control: None, serverappio: None, clientappio: 4, health: None };

    #[test]
    fn what_is_given_wins_and_the_rest_is_the_generations() {
        for usual in [FIVE, ONE] {
            assert_eq!(GivenPorts::default().or(usual), usual);
            let given = GivenPorts { fleet: Some(19092), ..GivenPorts::default() };
            assert_eq!(given.or(usual), FlowerPorts { fleet: 19092, ..usual });
        }
    }

    #[test]
    fn a_port_that_the_generation_does_not_have_is_none_and_is_told() {
        let given = GivenPorts {
            fleet: Some(18000),
            control: Some(19093),
            health: Some(19099),
            ..GivenPorts::default()
        };
        assert_eq!(given.or(FIVE).for_runs(), 19093);
        assert_eq!(given.without_effect(FIVE), Vec::<&str>::new());
        assert_eq!(given.or(ONE), FlowerPorts { fleet: 18000, ..ONE });
        assert_eq!(given.or(ONE).for_runs(), 18000);
        assert_eq!(given.without_effect(ONE), ["`flwr run`", "Flower's health service"]);
    }
}
