//! The law for the three keepalives of Zonemesh: WireGuard, gRPC's clients, gRPC's servers.
//!
//! One place holds the values and says how they must relate; configuration, connections, servers
//! and the companions' Flower settings take them from here. Why: a NAT forgets an idle UDP mapping
//! after 30 s (RFC 4787, REQ-5, allows 120 s, many keep 30); a gRPC server that is pinged more often
//! than it accepts answers `GOAWAY ENHANCE_YOUR_CALM "too_many_pings"` and cuts the connection
//! (gRPC proposal A8).

use std::time::Duration;

/// The values. [`Keepalive::default`] is what all of Zonemesh uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// An empty WireGuard packet after this much silence towards a peer.
    pub wireguard: Duration,
    /// A client of gRPC pings this often, also while no call is open.
    pub grpc_interval: Duration,
    /// A connection whose ping is not answered within this is dead.
    pub grpc_timeout: Duration,
    /// Shortest interval between a client's pings that a server of gRPC accepts.
    pub server_min_interval: Duration,
}

impl Keepalive {
    /// The values of Zonemesh: 25 s; 60 s and 20 s; servers accept a ping each 30 s.
    pub const DEFAULT: Self = Self {
        wireguard: Duration::from_secs(25),
        grpc_interval: Duration::from_secs(60),
        grpc_timeout: Duration::from_secs(20),
        server_min_interval: Duration::from_secs(30),
    };

    /// Longest silence that keeps a usual NAT's UDP mapping.
    pub const NAT_UDP_TIMEOUT: Duration = Duration::from_secs(30);

    /// Checks that the values can live with each other.
    ///
    /// # Errors
    /// The first [`KeepaliveError`].
    pub fn check(&self) -> Result<(), KeepaliveError> {
        let second = Duration::from_secs(1);
        if self.wireguard < second || self.wireguard >= Self::NAT_UDP_TIMEOUT {
            return Err(KeepaliveError::WireGuard(self.wireguard));
        }
        if self.grpc_timeout < second {
            return Err(KeepaliveError::TimeoutTooShort(self.grpc_timeout));
        }
        if self.grpc_timeout >= self.grpc_interval {
            return Err(KeepaliveError::TimeoutAboveInterval {
                timeout: self.grpc_timeout,
                interval: self.grpc_interval,
            });
        }
        if self.grpc_interval < self.server_min_interval {
            return Err(KeepaliveError::BelowServerMinimum {
                interval: self.grpc_interval,
                minimum: self.server_min_interval,
            });
        }
        Ok(())
    }
}

impl Keepalive {
    /// True if nothing differs that connections of gRPC are made with.
    #[must_use]
    pub fn is_same_for_streams(&self, other: &Self) -> bool {
        (self.grpc_interval, self.grpc_timeout, self.server_min_interval)
            == (other.grpc_interval, other.grpc_timeout, other.server_min_interval)
    }

    /// Checks that these values of one end can live with those that the other end has told.
    ///
    /// # Errors
    /// The first [`KeepaliveMismatch`]: the connection goes on, an engineer should know.
    pub fn check_against(&self, theirs: &Self) -> Result<(), KeepaliveMismatch> {
        if theirs.grpc_interval < self.server_min_interval {
            return Err(KeepaliveMismatch::TheyPingTooOften {
                interval: theirs.grpc_interval,
                minimum: self.server_min_interval,
            });
        }
        if self.grpc_interval < theirs.server_min_interval {
            return Err(KeepaliveMismatch::WePingTooOften {
                interval: self.grpc_interval,
                minimum: theirs.server_min_interval,
            });
        }
        theirs.check().map_err(KeepaliveMismatch::Theirs)
    }
}

impl Default for Keepalive {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why keepalives cannot live with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeepaliveError {
    /// A NAT would forget the mapping, or the link would be flooded.
    #[error(
        "a WireGuard keepalive of {0:?} is outside 1s to 29s: a NAT forgets an idle mapping after 30s"
    )]
    WireGuard(Duration),
    /// No answer can be that fast everywhere.
    #[error("a gRPC keepalive timeout of {0:?} is below 1s")]
    TimeoutTooShort(Duration),
    /// The next ping would leave before the last one is given up.
    #[error("a gRPC keepalive timeout of {timeout:?} is not below the interval of {interval:?}")]
    TimeoutAboveInterval {
        /// The timeout.
        timeout: Duration,
        /// The interval.
        interval: Duration,
    },
    /// The server would cut the connection.
    #[error(
        "a gRPC keepalive interval of {interval:?} is below the server's minimum of {minimum:?}: it would answer too_many_pings and cut the connection"
    )]
    BelowServerMinimum {
        /// The interval.
        interval: Duration,
        /// The server's minimum.
        minimum: Duration,
    },
}

/// Why the keepalives of the two ends of a connection cannot live with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeepaliveMismatch {
    /// The other end pings more often than this end accepts.
    #[error(
        "it pings after {interval:?} and here one each {minimum:?} is accepted: raise its keepalive.grpc_interval to at least {minimum:?}, or bring both ends to the same release"
    )]
    TheyPingTooOften {
        /// The other end's interval.
        interval: Duration,
        /// What this end accepts.
        minimum: Duration,
    },
    /// This end pings more often than the other one accepts.
    #[error(
        "it accepts a ping each {minimum:?} and here one goes out after {interval:?}: raise keepalive.grpc_interval here to at least {minimum:?}, or bring both ends to the same release"
    )]
    WePingTooOften {
        /// This end's interval.
        interval: Duration,
        /// What the other end accepts.
        minimum: Duration,
    },
    /// The other end's own values break the law.
    #[error("{0}: correct its [keepalive]")]
    Theirs(#[source] KeepaliveError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl Fn(&mut Keepalive)) -> Result<(), KeepaliveError> {
        let mut keepalive = Keepalive::default();
        change(&mut keepalive);
        keepalive.check()
    }

    #[test]
    fn the_values_of_zonemesh_obey_the_law() {
        assert_eq!(Keepalive::DEFAULT.check(), Ok(()));
    }

    #[test]
    fn a_client_that_pings_more_often_than_the_server_accepts_is_refused() {
        let error = with(|k| k.grpc_interval = Duration::from_secs(29)).unwrap_err();
        assert!(matches!(error, KeepaliveError::BelowServerMinimum { .. }));
        assert!(error.to_string().contains("29s is below the server's minimum of 30s"));
    }

    #[test]
    fn a_wireguard_keepalive_that_outlives_a_nat_mapping_is_refused() {
        assert!(with(|k| k.wireguard = Duration::from_secs(30)).is_err());
        assert!(with(|k| k.wireguard = Duration::ZERO).is_err());
        assert!(with(|k| k.wireguard = Duration::from_secs(29)).is_ok());
    }

    #[test]
    fn a_timeout_as_long_as_the_interval_is_refused() {
        assert!(with(|k| k.grpc_timeout = k.grpc_interval).is_err());
        assert!(with(|k| k.grpc_timeout = Duration::ZERO).is_err());
    }

    #[test]
    fn two_ends_that_keep_the_law_alone_can_break_it_together() {
        let usual = Keepalive::DEFAULT;
        assert_eq!(usual.check_against(&usual), Ok(()));
        let second = Duration::from_secs;
        let eager = Keepalive {
            grpc_interval: second(10),
            grpc_timeout: second(5),
            server_min_interval: second(5),
            ..usual
        };
        assert_eq!(eager.check(), Ok(()));
        let (interval, minimum) = (second(10), second(30));
        let they = usual.check_against(&eager).unwrap_err();
        assert_eq!(they, KeepaliveMismatch::TheyPingTooOften { interval, minimum });
        let we = eager.check_against(&usual).unwrap_err();
        assert_eq!(we, KeepaliveMismatch::WePingTooOften { interval, minimum });
        for mismatch in [they, we] {
            let text = mismatch.to_string();
            assert!(text.contains("10s") && text.contains("at least 30s"), "{text}");
        }
    }

    #[test]
    fn an_end_whose_own_values_break_the_law_is_named_for_it() {
        let broken = Keepalive { wireguard: Duration::from_secs(300), ..Keepalive::DEFAULT };
        let mismatch = Keepalive::DEFAULT.check_against(&broken).unwrap_err();
        assert!(mismatch.to_string().contains("a NAT forgets"), "{mismatch}");
    }
}
