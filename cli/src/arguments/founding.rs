//! Zones and federations as they are written on the command line.
//!
//! Promises that an argument that says nothing is kept with the reason ([`Written`]): what is wrong
//! with a mesh is told all at once. Refuses to know what fits together.

use std::convert::Infallible;
use std::error::Error;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;
use zonemesh_config::{Endpoint, EndpointError};
use zonemesh_core::name::{FederationName, NameError, ZoneName};
use zonemesh_core::prefix::{self, NotPrefix};

/// An argument as it was written, with what it says or why it says nothing.
#[derive(Debug, Clone)]
pub(crate) struct Written<T> {
    pub(crate) text: String,
    pub(crate) read: Result<T, Arc<dyn Error + Send + Sync>>,
}

/// Reads arguments that are judged together, and not one by one by clap.
pub(super) fn written<T, E: Error + Send + Sync + 'static>(
    read: fn(&str) -> Result<T, E>,
) -> impl Fn(&str) -> Result<Written<T>, Infallible> + Clone {
    move |text| {
        let read = read(text).map_err(|error| Arc::new(error) as Arc<dyn Error + Send + Sync>);
        Ok(Written { text: text.to_owned(), read })
    }
}

/// `berlin=10.10.10.0/24,10.20.0.0/16@203.0.113.1:51820`.
#[derive(Debug, Clone)]
pub(crate) struct ZoneArgument {
    pub(crate) zone: ZoneName,
    pub(crate) prefixes: Vec<IpNet>,
    pub(crate) endpoints: Vec<Endpoint>,
}

/// `health-eu=berlin:madrid,paris`.
#[derive(Debug, Clone)]
pub(crate) struct FederationArgument {
    pub(crate) name: FederationName,
    pub(crate) host: ZoneName,
    pub(crate) trainers: Vec<ZoneName>,
}

/// `madrid=10.10.11.254`.
#[derive(Debug, Clone)]
pub(crate) struct LanArgument {
    pub(crate) zone: ZoneName,
    pub(crate) address: IpAddr,
}

/// Why a text is none of these.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArgumentError {
    #[error("write NAME=PREFIX, NAME=PREFIX,PREFIX or NAME=PREFIX@ENDPOINT")]
    Zone,
    #[error("write NAME=HOST:TRAINER or NAME=HOST:TRAINER,TRAINER")]
    Federation,
    #[error("write NAME=ADDRESS, such as madrid=10.10.11.254")]
    Lan,
    #[error("an endpoint is empty: write IP:PORT or NAME:PORT behind the @, or leave the @ away")]
    NoEndpoint,
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("{0:?} is no prefix, such as 10.10.10.0/24: {1}")]
    Prefix(String, NotPrefix),
    #[error("{0:?} is no endpoint, such as 203.0.113.1:51820: {1}")]
    Endpoint(String, EndpointError),
}

impl FromStr for ZoneArgument {
    type Err = ArgumentError;

    fn from_str(text: &str) -> Result<Self, ArgumentError> {
        let (name, rest) = text.split_once('=').ok_or(ArgumentError::Zone)?;
        let (prefixes, endpoints) = match rest.split_once('@') {
            Some((prefixes, endpoints)) => (prefixes, endpoints.split(',').collect()),
            None => (rest, Vec::new()),
        };
        let prefix = |text: &str| {
            prefix::parse(text).map_err(|problem| ArgumentError::Prefix(text.to_owned(), problem))
        };
        let endpoint = |text: &str| match text {
            "" => Err(ArgumentError::NoEndpoint),
            _ => text.parse().map_err(|error| ArgumentError::Endpoint(text.to_owned(), error)),
        };
        Ok(Self {
            zone: name.parse()?,
            prefixes: prefixes.split(',').map(prefix).collect::<Result<_, _>>()?,
            endpoints: endpoints.into_iter().map(endpoint).collect::<Result<_, _>>()?,
        })
    }
}

impl FromStr for FederationArgument {
    type Err = ArgumentError;

    fn from_str(text: &str) -> Result<Self, ArgumentError> {
        let (name, rest) = text.split_once('=').ok_or(ArgumentError::Federation)?;
        let (host, trainers) = rest.split_once(':').ok_or(ArgumentError::Federation)?;
        let trainers = trainers.split(',').map(str::parse);
        let trainers = trainers.collect::<Result<_, _>>()?;
        Ok(Self { name: name.parse()?, host: host.parse()?, trainers })
    }
}

impl FromStr for LanArgument {
    type Err = ArgumentError;

    fn from_str(text: &str) -> Result<Self, ArgumentError> {
        let (zone, address) = text.split_once('=').ok_or(ArgumentError::Lan)?;
        let address = address.parse().map_err(|_no_address| ArgumentError::Lan)?;
        Ok(Self { zone: zone.parse()?, address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_a_name_with_its_prefixes_and_perhaps_endpoints() {
        let zone: ZoneArgument =
            "berlin=10.10.10.0/24,fd00:1::/64@[2001:db8::1]:51820,gw.example.org:51820"
                .parse()
                .unwrap();
        assert_eq!((zone.prefixes.len(), zone.endpoints.len()), (2, 2));
        let madrid: ZoneArgument = "madrid=10.10.11.0/24".parse().unwrap();
        assert!(madrid.endpoints.is_empty());
        for wrong in [
            "madrid",
            "madrid=",
            "Madrid=10.10.11.0/24",
            "madrid=10.10.11.0/24@x",
            "madrid=10.10.11.0/24@",
            "madrid=10.10.11.0/24@203.0.113.2:51820,",
        ] {
            assert!(wrong.parse::<ZoneArgument>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_federation_is_a_name_with_its_host_and_those_that_train() {
        let federation: FederationArgument = "health-eu=berlin:madrid,paris".parse().unwrap();
        assert_eq!((federation.host.as_str(), federation.trainers.len()), ("berlin", 2));
        for wrong in ["health-eu", "health-eu=berlin", "health-eu=berlin:", "=berlin:madrid"] {
            assert!(wrong.parse::<FederationArgument>().is_err(), "{wrong}");
        }
    }
}
