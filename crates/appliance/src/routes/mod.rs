//! Routes to what lies behind the gateway, where neither CONTEXT nor anybody else has set one.
//!
//! The MTU stands in the routes and not at the link: what is not for another zone keeps the link's
//! own. Promises that what the gateway told last is kept up while it is away, also after `ip route
//! flush` and when a link goes and comes; that nothing is set or removed before a gateway has told
//! anything; and that one's own routes alone are touched: they carry routing protocol 91. Which
//! there are is decided in `decision.rs`. They stay when the companion ends.

pub(crate) mod decision;
mod kernel;

use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use zonemesh_core::exit::error_line;
use zonemesh_netlink::rtnetlink::{self, Handle};
use zonemesh_netlink::{NOT_PERMITTED, answers, news_of_routing};

use crate::onegate::OneGate;
use crate::reason::Reason;
use decision::{RouteDecision, ToldNetworks, decide};

/// How often the kernel is looked at also without news.
const LOOK: Duration = Duration::from_secs(2);
/// How long nobody looks after news, so that many changes are one.
const PAUSE: Duration = Duration::from_millis(50);
/// How many problems are told at once.
const TOLD_AT_ONCE: usize = 3;

/// Takes what is wrong with the routes, and says if that is news.
pub(crate) type ToldProblem = Box<dyn Fn(Option<&Reason>) -> bool + Send + Sync>;

/// Keeps the routes.
pub(crate) struct RouteKeeper {
    /// What a gateway has told, once one has.
    pub(crate) told: watch::Receiver<Option<ToldNetworks>>,
    /// Who is told what is wrong.
    pub(crate) say: ToldProblem,
    /// Addresses that are never led to the gateway.
    pub(crate) apart: Vec<IpAddr>,
}

/// OneGate's address, if CONTEXT gives it as one.
pub(crate) fn apart(onegate: Option<&OneGate>) -> Vec<IpAddr> {
    let endpoint = onegate.and_then(|onegate| onegate.endpoint.parse::<reqwest::Url>().ok());
    let host = endpoint.as_ref().and_then(reqwest::Url::host_str).unwrap_or_default();
    host.trim_matches(['[', ']']).parse().into_iter().collect()
}

impl RouteKeeper {
    /// Keeps them until it is dropped.
    pub(crate) async fn run(self) {
        let (connection, netlink, _messages) = match rtnetlink::new_connection() {
            Ok(opened) => opened,
            Err(error) => {
                let error = error_line(&error);
                tracing::warn!(error, "routes are neither seen nor set: no netlink socket");
                return;
            }
        };
        let news = watch::Sender::new(0);
        let changed = news.subscribe();
        tokio::join!(connection, news_of_routing(&news), self.keep(&netlink, changed));
    }

    async fn keep(mut self, netlink: &Handle, mut news: watch::Receiver<u64>) {
        loop {
            let told = self.told.borrow_and_update().clone();
            if let Some(told) = told {
                news.mark_unchanged();
                let problems = self.carry_out(netlink, &told).await;
                self.say(problems);
            }
            tokio::select! {
                changed = self.told.changed() => if changed.is_err() { return },
                Ok(()) = news.changed() => sleep(PAUSE).await,
                () = sleep(LOOK) => {}
            }
        }
    }

    /// One look and what follows from it; gives what is wrong.
    async fn carry_out(&self, netlink: &Handle, told: &ToldNetworks) -> Vec<String> {
        let seen = match kernel::look(netlink).await {
            Ok(seen) => seen,
            Err(error) => return vec![format!("cannot list the routes: {}", error_line(&error))],
        };
        let RouteDecision { set, remove, mut problems } = decide(told, &self.apart, &seen);
        for route in &set {
            let (prefix, via) = (route.prefix, route.via);
            match kernel::set(netlink, route).await {
                Ok(()) => tracing::info!(%prefix, %via, mtu = route.mtu, "route is set"),
                Err(error) => {
                    problems.push(format!("cannot set the route to {prefix}: {}", why(&error)))
                }
            }
        }
        for (prefix, metric) in remove {
            match kernel::remove(netlink, prefix, metric).await {
                Ok(()) => tracing::info!(%prefix, "route is removed: it is wanted no more"),
                Err(error) => {
                    problems.push(format!("cannot remove the route to {prefix}: {}", why(&error)));
                }
            }
        }
        problems
    }

    /// Says what is wrong, once for each change.
    fn say(&self, mut problems: Vec<String>) {
        let more = problems.len().saturating_sub(TOLD_AT_ONCE);
        problems.truncate(TOLD_AT_ONCE);
        if more > 0 {
            problems.push(format!("and {more} more"));
        }
        let problem = problems.join("; ");
        let routes = (!problem.is_empty()).then_some(Reason::RouteNotSet { problem });
        let is_new = (self.say)(routes.as_ref());
        if let Some(reason) = routes.filter(|_| is_new) {
            let (code, fix) = (reason.code(), reason.fix());
            tracing::warn!(code, %reason, fix, "a route is not as it should be");
        }
    }
}

fn why(error: &rtnetlink::Error) -> String {
    match answers(error, NOT_PERMITTED) {
        true => "this companion has no CAP_NET_ADMIN".to_owned(),
        false => error_line(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn onegates_address_is_apart_if_it_is_one() {
        let of = |endpoint| apart(Some(&OneGate::new(endpoint, "8", "abc=")));
        assert_eq!(of("http://192.0.2.9:5030"), ["192.0.2.9".parse::<IpAddr>().unwrap()]);
        assert_eq!(of("http://[2001:db8::9]:5030"), ["2001:db8::9".parse::<IpAddr>().unwrap()]);
        assert_eq!(of("http://onegate.example.org:5030"), [] as [IpAddr; 0]);
        assert_eq!(apart(None), [] as [IpAddr; 0]);
    }
}
