//! The registry's second transport: an etcd cluster that keeps the same signed items.
//!
//! Promises: etcd is believed in nothing, what it holds passes the same checks as what a neighbour says;
//! a zone needs it for nothing, as everything lies in its own files; an outage is told once and tried
//! again for ever. No leases: nothing is ever deleted. Which keys and values: `layout`; what is read and
//! put when: `exchange`.

mod exchange;
mod layout;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use zeroize::Zeroizing;
use zonemesh_api::clients::etcd::{Access, Etcd, EtcdError};
use zonemesh_config::{Config, EtcdSettings};

use crate::act::streams::dialler::{FIRST_WAIT, LONGEST_WAIT, jittered};
use crate::facts::etcd::EtcdBoard;
use crate::facts::ledger::{Ledger, News};
use exchange::Exchange;
use layout::EtcdLayout;

/// Everything is looked through this often, besides each change as it happens.
const LOOK_THROUGH: Duration = Duration::from_secs(60);
/// A connection that lived this long was a good one: the waits start anew.
const SETTLED: Duration = Duration::from_secs(30);

/// Keeps the registry in step with the etcd of the configuration, if there is one, until it is dropped.
pub(crate) async fn run(
    mut config: watch::Receiver<Arc<Config>>,
    ledger: Arc<Ledger>,
    board: Arc<EtcdBoard>,
) -> anyhow::Result<()> {
    loop {
        let settings = config.borrow_and_update().registry.etcd.clone();
        let is_other = |now: &Arc<Config>| now.registry.etcd != settings;
        let Some(etcd) = settings.clone() else {
            board.end();
            config.wait_for(is_other).await?;
            continue;
        };
        board.begin(etcd.endpoints.first().map_or("", String::as_str));
        tokio::select! {
            ended = run_with(etcd, ledger.clone(), board.clone()) => return ended,
            changed = config.wait_for(is_other) => drop(changed?),
        }
    }
}

async fn run_with(
    settings: EtcdSettings,
    ledger: Arc<Ledger>,
    board: Arc<EtcdBoard>,
) -> anyhow::Result<()> {
    let link = EtcdFollower { settings, ledger, board };
    let (mut wait, mut told) = (FIRST_WAIT, false);
    for url in link.settings.endpoints.iter().cycle() {
        let begun = Instant::now();
        let ended = link.follow(url).await;
        let settled = link.board.is_reached() && begun.elapsed() > SETTLED;
        let Err(error) = ended else { continue };
        if settled {
            (wait, told) = (FIRST_WAIT, false);
            if is_logged_out(&error) {
                continue;
            }
        }
        let error = format!("{error:#}");
        link.board.lost(url, &error);
        if told {
            tracing::debug!(url, error, "etcd is still out of reach");
        } else {
            tracing::warn!(url, error, "etcd is out of reach: this zone works on without it");
        }
        told = true;
        sleep(jittered(wait)).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
    anyhow::bail!("no endpoint of etcd is configured")
}

/// Tokens expire while all is well: a new login is no outage.
fn is_logged_out(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(EtcdError::LoggedOut(_)))
}

/// What a connection to etcd needs of the gateway.
struct EtcdFollower {
    settings: EtcdSettings,
    ledger: Arc<Ledger>,
    board: Arc<EtcdBoard>,
}

impl EtcdFollower {
    /// Stays in step with one member of the cluster, until it fails or this gateway's mesh is
    /// another one.
    async fn follow(&self, url: &str) -> anyhow::Result<()> {
        let mut admitted = self.ledger.admitted();
        let mesh = admitted.borrow_and_update().mesh.clone();
        let layout = EtcdLayout::new(&self.settings.prefix, &mesh);
        tokio::select! {
            ended = self.keep_in_step(url, layout) => ended,
            changed = admitted.wait_for(|now| now.mesh != mesh) => {
                changed.context("the gateway stops")?;
                Ok(())
            }
        }
    }

    async fn keep_in_step(&self, url: &str, layout: EtcdLayout) -> anyhow::Result<()> {
        let mut news = self.ledger.changes();
        let mut etcd = Etcd::connect(url, &access(&self.settings).await?).await?;
        let mut watch = etcd.watch(layout.root()).await?;
        let mut exchange = Exchange::new(etcd, &self.ledger, &self.board, layout);
        exchange.look_through().await?;
        if self.board.reached(url) {
            tracing::info!(url, "etcd reached, in step with it");
        }
        let mut due = Instant::now() + jittered(LOOK_THROUGH);
        loop {
            tokio::select! {
                changes = watch.next() => exchange.take(changes?).await,
                what = news.recv() => match what {
                    Ok(News::Record(gateway)) => exchange.announce(&gateway).await?,
                    Ok(News::Trust(_)) | Err(RecvError::Lagged(_)) => {
                        // One look through is for all that has come until now.
                        news = news.resubscribe();
                        exchange.judge_anew();
                        exchange.look_through().await?;
                    }
                    Err(RecvError::Closed) => anyhow::bail!("the gateway stops"),
                },
                () = sleep_until(due) => {
                    exchange.look_through().await?;
                    due = Instant::now() + jittered(LOOK_THROUGH);
                }
            }
        }
    }
}

/// Read anew for each connection: certificates are renewed beside us.
async fn access(settings: &EtcdSettings) -> anyhow::Result<Access> {
    let mut access = Access::default();
    if let Some(file) = &settings.ca_file {
        access.ca = Some(read(file).await?.to_string());
    }
    if let (Some(certificate), Some(key)) = (&settings.certificate_file, &settings.key_file) {
        access.identity = Some((read(certificate).await?.to_string(), read(key).await?));
    }
    if let (Some(user), Some(file)) = (&settings.user, &settings.password_file) {
        let password = Zeroizing::new(read(file).await?.trim_end().to_owned());
        access.login = Some((user.clone(), password));
    }
    Ok(access)
}

async fn read(file: &Path) -> anyhow::Result<Zeroizing<String>> {
    let text = tokio::fs::read_to_string(file).await;
    let text = text.with_context(|| format!("cannot read {} for etcd", file.display()))?;
    Ok(Zeroizing::new(text))
}
