//! The keepalives of the file against the law of `zonemesh_core::keepalive`.
//!
//! The law names its first breach only. Each value that was reported gives way to its default, which
//! obeys, so that the next turn finds the next breach.

use std::time::Duration;

use humantime::format_duration;
use zonemesh_core::keepalive::{Keepalive, KeepaliveError};

use crate::complaint::Complaint;
use crate::draft::ConfigDraft;
use crate::mistakes::{Mistakes, Placed};

pub(super) fn obeys_the_law(draft: &ConfigDraft, mistakes: &mut Mistakes<'_>) {
    let (given, default) = (&draft.keepalive, Keepalive::DEFAULT);
    let Some(settings) = given.clone().settings(&draft.known()) else {
        return;
    };
    let mut values = Keepalive::from(settings);
    for _each_value in 0..3 {
        let Err(breach) = values.check() else {
            return;
        };
        let (placed, expected, fix) = match breach {
            KeepaliveError::WireGuard(_) => {
                values.wireguard = default.wireguard;
                let fix = "a NAT forgets an idle mapping after 30s: \"25s\" is usual";
                (&given.wireguard, "1s to 29s".to_owned(), fix)
            }
            KeepaliveError::TimeoutTooShort(_) => {
                values.grpc_timeout = default.grpc_timeout;
                (&given.grpc_timeout, "at least 1s".to_owned(), "\"20s\" is usual")
            }
            KeepaliveError::TimeoutAboveInterval { interval, .. }
                if values.grpc_timeout != default.grpc_timeout =>
            {
                values.grpc_timeout = default.grpc_timeout;
                let expected = format!("less than grpc_interval, {}", format_duration(interval));
                let fix = "a PING is given up before the next is due: \"20s\" is usual";
                (&given.grpc_timeout, expected, fix)
            }
            KeepaliveError::TimeoutAboveInterval { .. }
            | KeepaliveError::BelowServerMinimum { .. } => {
                values.grpc_interval = default.grpc_interval;
                let minimum = format_duration(default.server_min_interval);
                let fix = "servers cut connections that ping more often (too_many_pings)";
                (&given.grpc_interval, format!("at least {minimum}"), fix)
            }
        };
        report(placed.as_ref(), expected, fix, mistakes);
    }
}

/// Only a value that was given can break the law: the defaults obey it.
fn report(
    placed: Option<&Placed<Duration>>,
    expected: String,
    fix: &str,
    mistakes: &mut Mistakes<'_>,
) {
    if let Some(placed) = placed {
        let found = format!("found {}", format_duration(placed.value));
        mistakes.report_at(placed, Complaint::new(found, expected, fix));
    }
}
