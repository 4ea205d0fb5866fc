//! Who of the zone's VMs may write what: the one place that decides.
//!
//! Reading, as well as a connection, is for the zone's subnets. Writing needs a bootstrap token (kept as its SHA-256, with
//! expiry and federation), and a VM may register only the address it calls from.

use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use ipnet::IpNet;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zonemesh_config::{FederationSettings, TokenSettings};
use zonemesh_core::name::FederationName;

/// Why a VM may not do what it asked for. The texts reach the VM's log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error(
        "{0} is outside this zone's prefixes; only VMs of the zone are served (zone.prefixes of the gateway)"
    )]
    NotOfThisZone(IpAddr),
    #[error(
        "the token is not known to this gateway; make one with: zonemesh key generate token, and put its sha256 into [[local_api.token]] of the gateway"
    )]
    UnknownToken,
    #[error(
        "the token {name:?} has expired; set a later `expires` in [[local_api.token]] of the gateway"
    )]
    ExpiredToken { name: String },
    #[error("the token {name:?} is for the federation {federation}, not for this one")]
    OtherFederation { name: String, federation: FederationName },
    #[error(
        "this gateway does not hold the CA of the federation {0}; add [[federation]] name = \"{0}\" on the gateway of the SuperLink's zone"
    )]
    NotHeldHere(FederationName),
    #[error(
        "a SuperLink can be registered only with the address it calls from: {asked} was asked for, the call came from {caller}"
    )]
    ForeignAddress { asked: IpAddr, caller: IpAddr },
    #[error("no SuperLink address was given")]
    NoAddress,
}

impl Denied {
    /// True if showing another token could help.
    pub(crate) fn is_about_identity(&self) -> bool {
        matches!(self, Self::UnknownToken | Self::ExpiredToken { .. })
    }
}

/// What VMs may do.
pub(crate) struct VmPermissions {
    prefixes: Vec<IpNet>,
    tokens: Vec<TokenSettings>,
    federations: Vec<FederationSettings>,
}

impl VmPermissions {
    pub(crate) fn new(
        prefixes: Vec<IpNet>,
        tokens: Vec<TokenSettings>,
        federations: Vec<FederationSettings>,
    ) -> Self {
        Self { prefixes, tokens, federations }
    }

    /// May `caller` read endpoints and CA sets?
    pub(crate) fn may_read(&self, caller: SocketAddr) -> Result<(), Denied> {
        let ip = caller.ip().to_canonical();
        if self.is_of_this_zone(ip) { Ok(()) } else { Err(Denied::NotOfThisZone(ip)) }
    }

    /// Is this the address of a VM of the zone, or the gateway's own?
    pub(crate) fn is_of_this_zone(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_loopback() || self.prefixes.iter().any(|prefix| prefix.contains(&ip))
    }

    /// May `caller`, who shows `token`, write about the SuperLink of `federation`?
    pub(crate) fn may_write(
        &self,
        caller: SocketAddr,
        token: &str,
        federation: &FederationName,
        now: SystemTime,
    ) -> Result<&FederationSettings, Denied> {
        self.may_read(caller)?;
        let shown: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = self.tokens.iter().find(|token| bool::from(token.sha256.ct_eq(&shown)));
        let token = known.ok_or(Denied::UnknownToken)?;
        let name = || token.name.clone();
        if token.expires <= now {
            return Err(Denied::ExpiredToken { name: name() });
        }
        if token.federation != *federation {
            let federation = token.federation.clone();
            return Err(Denied::OtherFederation { name: name(), federation });
        }
        let held = self.federations.iter().find(|held| held.name == *federation);
        held.ok_or_else(|| Denied::NotHeldHere(federation.clone()))
    }

    /// May `caller` have a SuperLink at `addresses` certified?
    pub(crate) fn may_certify(caller: SocketAddr, addresses: &[IpAddr]) -> Result<(), Denied> {
        let caller = caller.ip().to_canonical();
        if addresses.is_empty() {
            return Err(Denied::NoAddress);
        }
        match addresses.iter().find(|address| **address != caller) {
            Some(asked) => Err(Denied::ForeignAddress { asked: *asked, caller }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const VM: &str = "10.10.10.5:40000";

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn authority() -> VmPermissions {
        let federation: FederationName = "health-eu".parse().unwrap();
        let token = TokenSettings {
            name: "superlink-vm".to_owned(),
            sha256: Sha256::digest(b"secret").into(),
            federation: federation.clone(),
            expires: now() + Duration::from_secs(60),
        };
        let held = FederationSettings { name: federation, extra_sans: Vec::new() };
        VmPermissions::new(vec!["10.10.10.0/24".parse().unwrap()], vec![token], vec![held])
    }

    fn write(caller: &str, token: &str, federation: &str, at: SystemTime) -> Result<(), Denied> {
        let (caller, federation) = (caller.parse().unwrap(), federation.parse().unwrap());
        authority().may_write(caller, token, &federation, at).map(|_| ())
    }

    #[test]
    fn a_vm_with_the_right_token_may_write() {
        assert_eq!(write(VM, "secret", "health-eu", now()), Ok(()));
    }

    #[test]
    fn a_wrong_or_old_token_is_refused() {
        assert_eq!(write(VM, "Secret", "health-eu", now()), Err(Denied::UnknownToken));
        assert_eq!(write(VM, "", "health-eu", now()), Err(Denied::UnknownToken));
        let late = now() + Duration::from_secs(60);
        let expired = Denied::ExpiredToken { name: "superlink-vm".to_owned() };
        assert_eq!(write(VM, "secret", "health-eu", late), Err(expired));
    }

    #[test]
    fn a_token_is_for_its_federation_only() {
        let denied = write(VM, "secret", "finance-eu", now());
        assert!(matches!(denied, Err(Denied::OtherFederation { .. })));
    }

    #[test]
    fn nobody_outside_the_zone_is_served() {
        let outside = "10.10.11.5:40000";
        let ip = "10.10.11.5".parse().unwrap();
        assert_eq!(write(outside, "secret", "health-eu", now()), Err(Denied::NotOfThisZone(ip)));
        assert!(authority().may_read("[::ffff:10.10.10.5]:1".parse().unwrap()).is_ok());
    }

    #[test]
    fn a_certificate_is_only_for_the_callers_own_address() {
        let caller: SocketAddr = VM.parse().unwrap();
        assert_eq!(VmPermissions::may_certify(caller, &[caller.ip()]), Ok(()));
        assert_eq!(VmPermissions::may_certify(caller, &[]), Err(Denied::NoAddress));
        let asked = "10.10.10.6".parse().unwrap();
        let foreign = Denied::ForeignAddress { asked, caller: caller.ip() };
        assert_eq!(VmPermissions::may_certify(caller, &[caller.ip(), asked]), Err(foreign));
    }
}
