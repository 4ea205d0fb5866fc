//! Who of the zone's VMs may write what: the one place that decides.
//!
//! Reading, as well as a connection, is for the zone's subnets; a token that is shown with it must be
//! good. Writing needs a token (known by its SHA-256, with role, and federation and end if it has
//! them: from the configuration, or as it came with the invitation), and a VM may register only the
//! address it calls from.

use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use zonemesh_config::{FederationSettings, TokenSettings};
use zonemesh_core::name::FederationName;
use zonemesh_core::prefix;
use zonemesh_core::token::{self, VmRole};

use crate::facts::in_force::ConfigInForce;
use crate::facts::tokens::TokenBoard;

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
        "the token has the form of 0.1.0, which is taken no more; make one with: zonemesh key generate token, and put its sha256 into [[local_api.token]] of the gateway"
    )]
    OldToken,
    #[error(
        "the token {name:?} has expired; set a later `expires` in [[local_api.token]] of the gateway"
    )]
    ExpiredToken { name: String },
    #[error(
        "the token {name:?} is for a {}, not for a {}; make one for this VM with: zonemesh key generate token",
        role.as_str(), asked.as_str()
    )]
    OtherRole { name: String, role: VmRole, asked: VmRole },
    #[error("the token {name:?} is for the federation {federation}, not for this one")]
    OtherFederation { name: String, federation: FederationName },
    #[error(
        "the grant of this zone lets it run no SuperLink of the federation {0}; a new grant that names it lets it"
    )]
    MayNotHost(FederationName),
    #[error(
        "the grant of this zone lets none of its SuperNodes take part in the federation {0}; a new grant that names it lets them"
    )]
    MayNotTrain(FederationName),
    #[error(
        "this gateway does not hold the CA of the federation {0}; add [[federation]] name = \"{0}\" on the gateway of the SuperLink's zone"
    )]
    NotHeldHere(FederationName),
    #[error(
        "a SuperLink can be registered only with the address it calls from: {asked} was asked for, the call came from {caller}"
    )]
    ForeignAddress { asked: IpAddr, caller: IpAddr },
    #[error(
        "the SuperLink of the federation {federation} in this zone is at {registered}, and this is {caller}: two VMs register one for it, and the last to do so counts"
    )]
    AnotherVms { federation: FederationName, registered: IpAddr, caller: IpAddr },
    #[error("{0}")]
    NotThisVm(String),
    #[error("no SuperLink address was given")]
    NoAddress,
}

impl Denied {
    /// True if showing another token could help.
    pub(crate) fn is_about_identity(&self) -> bool {
        matches!(self, Self::UnknownToken | Self::OldToken | Self::ExpiredToken { .. })
    }

    /// What to do about it, as a fix of a finding is written.
    pub(crate) fn next(&self) -> String {
        match self {
            Self::NotOfThisZone(_) => {
                "give this VM an address of the zone, or add its subnet to {zone.prefixes} of the gateway"
                    .to_owned()
            }
            Self::UnknownToken
            | Self::OldToken
            | Self::ExpiredToken { .. }
            | Self::OtherRole { .. } => {
                "`zonemesh key generate token`: its sha256 into {local_api.token} of the gateway, with this VM's role, the token into {vm:token}"
                    .to_owned()
            }
            Self::OtherFederation { federation, .. } => format!(
                "set {{vm:federation}}={federation}, or make a token for this one with `zonemesh key generate token`"
            ),
            Self::MayNotHost(federation) => granted(federation, "host"),
            Self::MayNotTrain(federation) => granted(federation, "train"),
            Self::NotHeldHere(federation) => format!(
                "on the gateway add [[federation]] name = \"{federation}\", or correct {{vm:federation}}"
            ),
            Self::ForeignAddress { caller, .. } => format!("set {{vm:address}}={caller}"),
            Self::AnotherVms { registered, caller, .. } => format!(
                "a federation has one SuperLink: stop zonemesh-superlink in this VM ({caller}), or in the one at {registered}"
            ),
            Self::NotThisVm(_) => {
                "compare `onegate vm show` in this VM with {local_api.onegate} of the gateway".to_owned()
            }
            Self::NoAddress => "set {vm:address}".to_owned(),
        }
    }
}

fn granted(federation: &FederationName, part: &str) -> String {
    format!(
        "an authority grants it: `zonemesh zone grant` with --federation {federation}={part}; or correct {{vm:federation}}"
    )
}

/// What VMs may do.
pub(crate) struct VmPermissions {
    config: ConfigInForce,
    kept: TokenBoard,
}

impl VmPermissions {
    /// What the configuration in force says at each question counts.
    pub(crate) fn new(config: ConfigInForce, kept: TokenBoard) -> Self {
        Self { config, kept }
    }

    /// May `caller` read endpoints and CA sets?
    pub(crate) fn may_read(&self, caller: SocketAddr) -> Result<(), Denied> {
        let ip = caller.ip().to_canonical();
        if self.is_of_this_zone(ip) { Ok(()) } else { Err(Denied::NotOfThisZone(ip)) }
    }

    /// Is this the address of a VM of the zone, or the gateway's own?
    pub(crate) fn is_of_this_zone(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_loopback() || prefix::contains(&self.config.now().zone.prefixes, &ip)
    }

    /// May `caller`, who shows `token`, write about the SuperLink of `federation`?
    pub(crate) fn may_write(
        &self,
        caller: SocketAddr,
        token: &str,
        federation: &FederationName,
        now: SystemTime,
    ) -> Result<FederationSettings, Denied> {
        self.may_read(caller)?;
        self.may_use(token, VmRole::SuperLink, federation, now)?;
        let config = self.config.now();
        let held = config.federations.iter().find(|held| held.name == *federation).cloned();
        held.ok_or_else(|| Denied::NotHeldHere(federation.clone()))
    }

    /// Is `token` good for this role in this federation?
    pub(crate) fn may_use(
        &self,
        shown: &str,
        asked: VmRole,
        federation: &FederationName,
        now: SystemTime,
    ) -> Result<(), Denied> {
        let Some(token) = self.known(shown) else {
            return Err(if token::is_old(shown) { Denied::OldToken } else { Denied::UnknownToken });
        };
        let name = || token.name.clone();
        if token.expires.is_some_and(|end| end <= now) {
            return Err(Denied::ExpiredToken { name: name() });
        }
        if token.role != asked {
            return Err(Denied::OtherRole { name: name(), role: token.role, asked });
        }
        match &token.federation {
            Some(own) if own != federation => {
                Err(Denied::OtherFederation { name: name(), federation: own.clone() })
            }
            _ => Ok(()),
        }
    }

    /// The token that is shown: what the configuration says of it counts before what is kept.
    fn known(&self, shown: &str) -> Option<TokenSettings> {
        let config = self.config.now();
        let mut tokens = config.local_api.iter().flat_map(|api| &api.tokens);
        let configured = tokens.find(|token| token.sha256.is_of(shown)).cloned();
        configured.or_else(|| {
            self.kept.of(shown).map(|token| TokenSettings {
                name: token.name(),
                role: token.role,
                sha256: token.hash,
                federation: token.federation,
                expires: token.expires_at.map(SystemTime::from),
            })
        })
    }

    /// May `caller` report for the SuperLink that is registered at `addresses`?
    pub(crate) fn may_report(
        caller: SocketAddr,
        federation: &FederationName,
        addresses: &[IpAddr],
    ) -> Result<(), Denied> {
        let caller = caller.ip().to_canonical();
        match addresses.iter().find(|address| **address != caller) {
            Some(registered) => Err(Denied::AnotherVms {
                federation: federation.clone(),
                registered: *registered,
                caller,
            }),
            None => Ok(()),
        }
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

    use zonemesh_config::Config;
    use zonemesh_core::key::ZoneIdentity;
    use zonemesh_core::token::{KeptTokens, KnownToken, SECRET_BYTES, VmToken, ZonePin};

    use super::*;
    use crate::facts::in_force::PresharedKeys;

    const VM: &str = "10.10.10.5:40000";

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    /// Two federations are held; of three tokens the first is bound to one of them and ends.
    fn configured() -> ConfigInForce {
        let token = |name: &str, seed: u8, role: &str, more: &str| {
            let hash = vm_token(seed).hash();
            format!(
                "[[local_api.token]]\nname = \"{name}\"\nrole = \"{role}\"\nsha256 = \"{hash}\"\n{more}"
            )
        };
        let bound = "federation = \"health-eu\"\nexpires = \"2027-01-15T08:01:00Z\"\n";
        let text = [
            "[zone]\nname = \"berlin\"\nprefixes = [\"10.10.10.0/24\"]\n".to_owned(),
            "[local_api]\nlisten = \"10.10.10.1:51822\"\n".to_owned(),
            token("superlink-vm", 1, "superlink", bound),
            token("supernode-vm", 2, "supernode", ""),
            token("any-superlink", 3, "superlink", ""),
            "[[federation]]\nname = \"health-eu\"\n[[federation]]\nname = \"finance-eu\"\n"
                .to_owned(),
        ];
        let config =
            Config::parse(&text.concat(), "test").unwrap_or_else(|error| panic!("{error}"));
        ConfigInForce::of(config)
    }

    fn authority() -> VmPermissions {
        let kept = KnownToken {
            hash: vm_token(4).hash(),
            role: VmRole::SuperLink,
            federation: Some("health-eu".parse().unwrap()),
            expires_at: Some((now() + Duration::from_secs(60)).into()),
        };
        let ended = KnownToken { expires_at: None, hash: vm_token(1).hash(), ..kept.clone() };
        let kept = KeptTokens { tokens: vec![ended, kept], inviter: None };
        VmPermissions::new(configured(), TokenBoard::new(kept))
    }

    #[test]
    fn a_token_that_the_configuration_in_force_has_no_more_is_refused_at_once() {
        let config = configured();
        let authority = VmPermissions::new(config.clone(), TokenBoard::default());
        let federation: FederationName = "health-eu".parse().unwrap();
        let ask =
            || authority.may_write(VM.parse().unwrap(), vm_token(3).reveal(), &federation, now());
        assert!(ask().is_ok());
        let mut fewer = Config::clone(&config.now());
        fewer.local_api.as_mut().unwrap().tokens.pop();
        config.put(fewer.clone().into(), fewer, PresharedKeys::new());
        assert_eq!(ask(), Err(Denied::UnknownToken));
    }

    fn vm_token(seed: u8) -> VmToken {
        let pin = ZonePin::Key(ZoneIdentity::from_seed(&[7; 32]).public_key());
        VmToken::new(pin, &[seed; SECRET_BYTES])
    }

    fn good() -> String {
        vm_token(1).reveal().to_owned()
    }

    fn write(caller: &str, token: &str, federation: &str, at: SystemTime) -> Result<(), Denied> {
        let (caller, federation) = (caller.parse().unwrap(), federation.parse().unwrap());
        authority().may_write(caller, token, &federation, at).map(|_| ())
    }

    #[test]
    fn what_to_do_about_a_refusal_follows_its_reason() {
        let federation = || "health-eu".parse::<FederationName>().unwrap();
        let [asked, caller] = ["10.10.10.5", "10.10.10.6"].map(|ip| ip.parse().unwrap());
        let foreign = Denied::ForeignAddress { asked, caller };
        assert_eq!(foreign.next(), "set {vm:address}=10.10.10.6");
        for (denied, word) in [
            (Denied::NotOfThisZone(caller), "{zone.prefixes}"),
            (Denied::MayNotTrain(federation()), "--federation health-eu=train"),
            (Denied::MayNotHost(federation()), "--federation health-eu=host"),
            (Denied::NotHeldHere(federation()), "[[federation]] name = \"health-eu\""),
            (Denied::UnknownToken, "zonemesh key generate token"),
        ] {
            let next = denied.next();
            assert!(next.contains(word) && !next.contains("{vm:address}"), "{denied}: {next}");
        }
    }

    #[test]
    fn of_two_superlinks_of_one_federation_each_is_told_of_the_other() {
        let federation: FederationName = "health-eu".parse().unwrap();
        let other: IpAddr = "10.10.10.6".parse().unwrap();
        let (vm, own) = (VM.parse::<SocketAddr>().unwrap(), "10.10.10.5".parse().unwrap());
        assert_eq!(VmPermissions::may_report(vm, &federation, &[own]), Ok(()));
        let denied = VmPermissions::may_report(vm, &federation, &[other]).unwrap_err();
        let (said, next) = (denied.to_string(), denied.next());
        assert!(said.contains("is at 10.10.10.6, and this is 10.10.10.5"), "{said}");
        assert!(next.contains("stop zonemesh-superlink in this VM (10.10.10.5)"), "{next}");
        assert!(!next.contains("{vm:address}"), "its address is right: {next}");
    }

    #[test]
    fn a_vm_with_the_right_token_may_write() {
        assert_eq!(write(VM, &good(), "health-eu", now()), Ok(()));
    }

    #[test]
    fn a_wrong_or_old_token_is_refused() {
        let other = vm_token(9);
        assert_eq!(write(VM, other.reveal(), "health-eu", now()), Err(Denied::UnknownToken));
        assert_eq!(write(VM, "", "health-eu", now()), Err(Denied::UnknownToken));
        let late = now() + Duration::from_secs(60);
        let expired = Denied::ExpiredToken { name: "superlink-vm".to_owned() };
        assert_eq!(write(VM, &good(), "health-eu", late), Err(expired));
    }

    #[test]
    fn a_token_is_for_its_federation_only() {
        let denied = write(VM, &good(), "finance-eu", now());
        assert!(matches!(denied, Err(Denied::OtherFederation { .. })));
        for federation in ["health-eu", "finance-eu"] {
            assert_eq!(write(VM, vm_token(3).reveal(), federation, now()), Ok(()));
        }
    }

    #[test]
    fn a_token_that_came_with_the_invitation_is_taken_for_what_it_is_good_for() {
        let late = now() + Duration::from_secs(60);
        let kept = vm_token(4);
        assert_eq!(write(VM, kept.reveal(), "health-eu", now()), Ok(()));
        let other = write(VM, kept.reveal(), "finance-eu", now());
        assert!(matches!(other, Err(Denied::OtherFederation { .. })), "{other:?}");
        let name = "superlink-health-eu".to_owned();
        let expired = write(VM, kept.reveal(), "health-eu", late);
        assert_eq!(expired, Err(Denied::ExpiredToken { name }));
        // What the configuration says of a token counts, also where it came with the invitation.
        let ended = write(VM, &good(), "health-eu", late);
        assert_eq!(ended, Err(Denied::ExpiredToken { name: "superlink-vm".to_owned() }));
    }

    #[test]
    fn a_supernodes_token_registers_no_superlink() {
        let denied = write(VM, vm_token(2).reveal(), "health-eu", now()).unwrap_err();
        assert!(matches!(denied, Denied::OtherRole { .. }));
        assert!(denied.to_string().contains("is for a supernode, not for a superlink"), "{denied}");
    }

    #[test]
    fn a_token_of_0_1_0_is_told_apart_with_the_command_that_makes_a_new_one() {
        let old = "kntYxMidj3dFQp8G-YJbCa1tgHXuJcACjx4i2bSicjY";
        let denied = write(VM, old, "health-eu", now()).unwrap_err();
        assert_eq!(denied, Denied::OldToken);
        assert!(denied.is_about_identity());
        assert!(denied.to_string().contains("zonemesh key generate token"), "{denied}");
    }

    #[test]
    fn nobody_outside_the_zone_is_served() {
        let outside = "10.10.11.5:40000";
        let ip = "10.10.11.5".parse().unwrap();
        assert_eq!(write(outside, &good(), "health-eu", now()), Err(Denied::NotOfThisZone(ip)));
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
