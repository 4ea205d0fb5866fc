//! The tunnel addresses of a gateway whose configuration leaves them out: those of its zone's grant.
//!
//! Promises: what is configured is never replaced; a grant that names others than are in use is told
//! once, when no join is under way. Refuses to know how a gateway starts anew.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use zonemesh_config::Config;
use zonemesh_core::membership::Membership;

use super::Administration;
use crate::facts::disk;
use crate::facts::disk::trust::TrustFiles;
use crate::facts::in_force::ConfigInForce;
use crate::facts::ledger::Ledger;
use crate::failure::{Exit, Failure, OrExit as _};

/// How long the last word of a join has to reach whoever waits for it.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Fills in what the grant on disk says. True if the configuration leaves them out.
pub(crate) fn fill_in(config: &mut Config) -> Result<bool, Failure> {
    if !config.tunnel.addresses.is_empty() {
        return Ok(false);
    }
    let folder = &config.gateway.state_dir;
    disk::open_folder(folder)?;
    let message = || format!("cannot read the mesh in {}", folder.display());
    let files = TrustFiles::open(folder).or_exit(Exit::Configuration, message)?;
    let membership = files.read().or_exit(Exit::Trust, message)?;
    config.tunnel.addresses = granted(config, membership.as_ref());
    Ok(true)
}

/// Takes out what this gateway has outside: the peers' own datagrams would go there. Returns it.
pub(crate) fn leave_out(config: &mut Config, outside: &[IpAddr]) -> Vec<IpAddr> {
    let addresses = std::mem::take(&mut config.tunnel.addresses);
    let (left_out, kept) = addresses.into_iter().partition(|ip| outside.contains(ip));
    config.tunnel.addresses = kept;
    left_out
}

fn granted(config: &Config, membership: Option<&Membership>) -> Vec<IpAddr> {
    let grant = membership.and_then(|membership| membership.grant(&config.zone.name));
    grant.map(|grant| grant.tunnel_ips.clone()).unwrap_or_default()
}

/// Waits until the zone is granted other tunnel addresses than the gateway has.
pub(crate) async fn granted_anew(
    config: &ConfigInForce,
    outside: &[IpAddr],
    ledger: &Arc<Ledger>,
    administration: &Administration,
) {
    let mut revision = ledger.revision();
    loop {
        let mut now = ledger.read(|registry| granted(&config.now(), registry.membership()));
        now.retain(|ip| !outside.contains(ip));
        if !now.is_empty() && now != config.now().tunnel.addresses {
            let _no_join_is_under_way = administration.joins.write().await;
            tracing::info!(addresses = ?now, "this zone was granted tunnel addresses");
            tokio::time::sleep(LAST_WORD).await;
            return;
        }
        if revision.changed().await.is_err() {
            // The ledger is gone, and the gateway with it.
            return std::future::pending().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::opened::OpenedState;
    use super::*;
    use crate::administration::listening::Listening;
    use crate::facts::disk::writer;

    fn config(folder: &Path) -> Config {
        let text = format!(
            "[zone]\nname = \"madrid\"\nprefixes = [\"10.10.2.0/24\"]\n\
             [gateway]\nstate_dir = {folder:?}\n"
        );
        Config::parse(&text, "test").unwrap()
    }

    #[tokio::test]
    async fn a_tunnel_address_that_the_gateway_has_outside_is_not_used_and_no_news() {
        let folder = tempfile::tempdir().unwrap();
        let mut bare = config(folder.path());
        let opened = OpenedState::open(&ConfigInForce::of(bare.clone()), writer()).await.unwrap();
        let (ledger, administration) = (&opened.ledger, &opened.administration);
        let bundle = super::super::founding::tests::bundle("madrid", "10.10.2.0/24", "10.255.0.2");
        administration.found_from(&bundle).await.unwrap();
        let outside = [IpAddr::from([10, 255, 0, 2])];
        bare.tunnel.addresses = vec![outside[0], IpAddr::from([10, 255, 0, 9])];
        assert_eq!(leave_out(&mut bare, &outside), outside);
        assert_eq!(bare.tunnel.addresses, [IpAddr::from([10, 255, 0, 9])]);
        let bare = ConfigInForce::of(bare);
        let anew = granted_anew(&bare, &outside, ledger, administration);
        let soon = Duration::from_millis(50);
        assert!(tokio::time::timeout(soon, anew).await.is_err(), "or it would start for ever");
    }

    #[tokio::test]
    async fn a_gateway_without_addresses_takes_those_of_its_grant_and_says_when_they_come() {
        let folder = tempfile::tempdir().unwrap();
        let mut bare = config(folder.path());
        assert!(fill_in(&mut bare).unwrap() && bare.tunnel.addresses.is_empty());
        let bare = ConfigInForce::of(bare);
        let opened = OpenedState::open(&bare, writer()).await.unwrap();
        {
            let (ledger, administration) = (&opened.ledger, &opened.administration);
            let outside = [IpAddr::from([203, 0, 113, 2])];
            let join = administration.joins.read().await;
            let mut anew = std::pin::pin!(granted_anew(&bare, &outside, ledger, administration));
            let soon = Duration::from_millis(50);
            assert!(tokio::time::timeout(soon, &mut anew).await.is_err(), "nothing is granted");
            let bundle =
                super::super::founding::tests::bundle("madrid", "10.10.2.0/24", "10.255.0.2");
            administration.found_from(&bundle).await.unwrap();
            assert!(tokio::time::timeout(soon, &mut anew).await.is_err(), "a join is under way");
            let listening = administration.listening.borrow().clone();
            assert_eq!(listening, Listening::Off, "nobody joins a gateway that starts anew");
            drop(join);
            anew.await;
        }
        // A folder is one daemon's at a time.
        drop(opened);
        let mut again = config(folder.path());
        assert!(fill_in(&mut again).unwrap());
        assert_eq!(again.tunnel.addresses, [IpAddr::from([10, 255, 0, 2])]);
        let mut set = config(folder.path());
        set.tunnel.addresses = vec![IpAddr::from([10, 255, 0, 9])];
        assert!(!fill_in(&mut set).unwrap(), "what is configured stays");
    }
}
