//! When a gateway is ready. Pure.
//!
//! Ready: its local API is reached where the VMs of the zone reach it, and it has founded its mesh,
//! or a tunnel to at least one zone has been up since this program began. It promises that a tunnel
//! which is cut later takes no readiness away: nothing in this zone could do anything about it.

use zonemesh_core::finding::Code;

use super::member::{MemberRefusal, MemberStage};

/// What is known of the gateway.
#[derive(Debug, Clone)]
pub(super) struct GatewaySeen {
    /// Why the local API is not reached; nothing if it is, or the configuration has none.
    pub(super) unserved: Option<String>,
    /// Tunnels, of them up; nothing if the daemon does not answer.
    pub(super) tunnels: Option<TunnelCount>,
    pub(super) stage: MemberStage,
}

/// How many tunnels there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TunnelCount {
    pub(super) up: u32,
    pub(super) total: u32,
}

/// What a gateway waits for, and what to do meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GatewayLack {
    pub(super) text: String,
    /// The code of the finding that it is.
    pub(super) code: Option<&'static str>,
    pub(super) fix: String,
}

impl GatewayLack {
    fn new(text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { text: text.into(), code: None, fix: fix.into() }
    }

    /// This program has ended.
    pub(super) fn stopped() -> Self {
        Self::new("zonemesh-gateway is stopped", "`systemctl start zonemesh-gateway`")
    }
}

/// Remembers that a tunnel was up.
#[derive(Debug, Default)]
pub(super) struct GatewayReadiness {
    was_connected: bool,
}

impl GatewayReadiness {
    /// What the gateway waits for; nothing if it is ready.
    pub(super) fn missing(&mut self, seen: &GatewaySeen) -> Option<GatewayLack> {
        let Some(tunnels) = seen.tunnels else {
            let code = Some(Code::DaemonUnreachable.as_str());
            let lack =
                GatewayLack::new("the daemon does not answer", "`systemctl status zonemeshd`");
            return Some(GatewayLack { code, ..lack });
        };
        self.was_connected |= tunnels.up > 0;
        if let Some(why) = &seen.unserved {
            let text = format!("the local API is not reached: {why}");
            let fix = "`zonemesh status` and `journalctl -u zonemeshd` say more";
            return Some(GatewayLack::new(text, fix));
        }
        let has_nobody = tunnels.total == 0;
        match &seen.stage {
            MemberStage::Founder => None,
            _ if self.was_connected => None,
            // Nobody else is in its configuration, and it is asked into no mesh.
            MemberStage::NotAsked if has_nobody => None,
            MemberStage::Refused(MemberRefusal { code, text, fix }) => {
                Some(GatewayLack { text: text.clone(), code: *code, fix: fix.clone() })
            }
            MemberStage::Waiting(step) => {
                Some(GatewayLack::new(step, "it is tried again by itself; `zonemesh status`"))
            }
            MemberStage::NotAsked | MemberStage::Member => Some(GatewayLack::new(
                "no tunnel to another zone has been up yet",
                "`zonemesh status` says what keeps each tunnel",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(up: u32, total: u32, stage: MemberStage) -> GatewaySeen {
        GatewaySeen { unserved: None, tunnels: Some(TunnelCount { up, total }), stage }
    }

    fn missing(seen: &GatewaySeen) -> Option<GatewayLack> {
        GatewayReadiness::default().missing(seen)
    }

    #[test]
    fn a_founder_is_ready_alone_and_a_member_with_its_first_tunnel() {
        assert_eq!(missing(&seen(0, 0, MemberStage::Founder)), None);
        assert_eq!(missing(&seen(1, 2, MemberStage::Member)), None);
        assert_eq!(missing(&seen(0, 0, MemberStage::NotAsked)), None);
        assert_eq!(missing(&seen(1, 1, MemberStage::NotAsked)), None);
        for waits in [
            seen(0, 2, MemberStage::Member),
            seen(0, 1, MemberStage::NotAsked),
            seen(0, 0, MemberStage::Waiting("no answer yet".to_owned())),
            GatewaySeen { tunnels: None, ..seen(1, 1, MemberStage::Founder) },
            GatewaySeen {
                unserved: Some("Connection refused".to_owned()),
                ..seen(1, 1, MemberStage::Founder)
            },
        ] {
            let lack = missing(&waits);
            assert!(lack.is_some_and(|lack| !lack.fix.is_empty()), "{waits:?}");
        }
    }

    #[test]
    fn a_daemon_that_does_not_run_is_told_with_its_code_and_what_to_type() {
        let silent = GatewaySeen { tunnels: None, ..seen(0, 0, MemberStage::Founder) };
        let lack = missing(&silent).unwrap();
        assert_eq!((lack.code, lack.fix.as_str()), (Some("N220"), "`systemctl status zonemeshd`"));
    }

    #[test]
    fn a_tunnel_that_is_cut_takes_no_readiness_away_and_a_local_api_does() {
        let mut readiness = GatewayReadiness::default();
        let member = |up| seen(up, 1, MemberStage::Member);
        assert!(readiness.missing(&member(0)).is_some());
        assert_eq!(readiness.missing(&member(1)), None);
        assert_eq!(readiness.missing(&member(0)), None);
        let unserved = GatewaySeen { unserved: Some("refused".to_owned()), ..member(1) };
        assert!(readiness.missing(&unserved).is_some());
    }
}
