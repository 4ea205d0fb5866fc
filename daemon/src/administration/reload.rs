//! A changed configuration file: read, compared with what is in force, taken whole or refused whole.
//!
//! Promises: what is refused changes nothing, and its reason names the place or the key; what is taken
//! is in force before this says so, kept on disk behind that, and touches nothing that does not differ.
//! What follows from it (tunnel, kernel, listeners) is made by those who watch [`ConfigInForce`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use zonemesh_config::{Config, ConfigErrors, KeyDifference, TakesEffect};
use zonemesh_core::exit::{error_line, is_denied};
use zonemesh_core::journal::AuditAct;
use zonemesh_core::member::MembershipError;

use super::Administration;
use super::announcer::Announcer;
use super::opened::announce;
use crate::facts::disk::config_file::{ConfigFile, in_brief};
use crate::facts::disk::keys;
use crate::facts::in_force::{ConfigInForce, PresharedKeys};
use crate::failure::Exit;
use crate::logging;
use crate::plan::announcement;

/// How long tunnel and kernel may take to follow.
const FOLLOW: Duration = Duration::from_secs(3);
/// How long the last word of a reload has to reach whoever waits for it.
const LAST_WORD: Duration = Duration::from_millis(500);

/// What a reload has changed.
#[derive(Debug)]
pub(crate) struct Reloaded {
    pub(crate) changed: Vec<KeyDifference>,
    /// True if the gateway starts anew for it, as soon as this is told.
    pub(crate) starts_anew: bool,
    /// What did not follow yet, or is not on disk: a sentence each.
    pub(crate) unfinished: Vec<String>,
}

/// Why a reload is refused; everything stays as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadRefusal {
    #[error("this gateway runs without a configuration file")]
    NoFile,
    #[error("cannot read {}", file.display())]
    Unreadable {
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{}", in_brief(.0))]
    Broken(ConfigErrors),
    /// Of a key file that the file names.
    #[error("{}", in_brief(.0))]
    Denied(ConfigErrors),
    #[error("{} cannot change while the gateway runs", names(.0))]
    NeedsRestart(Vec<KeyDifference>),
    #[error("the peers contradict each other")]
    Contradiction(#[source] MembershipError),
}

impl ReloadRefusal {
    /// True if this daemon's user may not read what it takes.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Self::Denied(_)) || is_denied(self)
    }
}

fn names(keys: &[KeyDifference]) -> String {
    keys.iter().map(|one| one.key.as_str()).collect::<Vec<_>>().join(", ")
}

/// What reloads.
pub(crate) struct Reloading {
    config: ConfigInForce,
    file: Option<Arc<ConfigFile>>,
    administration: Arc<Administration>,
    announcer: Arc<Announcer>,
    /// One reload after another.
    turn: tokio::sync::Mutex<()>,
    anew: Notify,
}

/// A file that was read, and is good.
struct ReadFile {
    text: Vec<u8>,
    config: Config,
    preshared: PresharedKeys,
}

impl Reloading {
    pub(crate) fn new(
        config: ConfigInForce,
        file: Option<Arc<ConfigFile>>,
        administration: Arc<Administration>,
        announcer: Arc<Announcer>,
    ) -> Self {
        let (turn, anew) = (tokio::sync::Mutex::default(), Notify::new());
        Self { config, file, administration, announcer, turn, anew }
    }

    /// Takes the file as it is now, whole, or says why not.
    pub(crate) async fn reload(&self) -> Result<Reloaded, ReloadRefusal> {
        let _turn = self.turn.lock().await;
        let file = self.file.as_ref().ok_or(ReloadRefusal::NoFile)?;
        let text = file
            .read()
            .map_err(|source| ReloadRefusal::Unreadable { file: file.name().into(), source })?;
        let mut taken = self.take(file, text.clone()).await;
        match &mut taken {
            Ok(reloaded) => {
                file.take();
                self.tell(file, reloaded).await;
            }
            Err(refusal) => {
                let reason = error_line(refusal);
                tracing::warn!(
                    reason,
                    "the configuration file was refused, what was in force stays"
                );
                file.refuse(text, reason);
            }
        }
        taken
    }

    /// What was taken stands in the log and, if it changes something, in the audit.
    async fn tell(&self, file: &ConfigFile, reloaded: &mut Reloaded) {
        let changed = &reloaded.changed;
        let keys = changed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        tracing::info!(keys, "the configuration file is in force");
        if !changed.is_empty() {
            let administration = &self.administration;
            let line = administration.ledger.audit(AuditAct::Reload, &file.name(), keys);
            if let Err(error) = administration.disk.write(vec![line]).await {
                reloaded.unfinished.push(format!("the reload stands in no audit: {error}"));
            }
        }
        for sentence in &reloaded.unfinished {
            tracing::warn!("{sentence}");
        }
    }

    async fn take(&self, file: &ConfigFile, text: Vec<u8>) -> Result<Reloaded, ReloadRefusal> {
        let read = self.read(file, text)?;
        let changed = self.config.written().difference(&read.config);
        let is = |effect| move |one: &&KeyDifference| one.effect == effect;
        let fixed: Vec<_> = changed.iter().filter(is(TakesEffect::OnRestart)).cloned().collect();
        if !fixed.is_empty() {
            return Err(ReloadRefusal::NeedsRestart(fixed));
        }
        // What was left out at the start comes with a start.
        let whole = self.config.now().left_out.is_empty();
        if !whole || changed.iter().any(|one| one.effect == TakesEffect::Anew) {
            self.anew.notify_one();
            return Ok(Reloaded { changed, starts_anew: true, unfinished: Vec::new() });
        }
        let text = read.text.clone();
        let mut unfinished = self.put_in_force(read).await?;
        unfinished.extend(self.keep(file, text).await.err());
        Ok(Reloaded { changed, starts_anew: false, unfinished })
    }

    /// Reads what a start would read too.
    fn read(&self, file: &ConfigFile, text: Vec<u8>) -> Result<ReadFile, ReloadRefusal> {
        let config = Config::parse_bytes(&text, &file.name()).map_err(ReloadRefusal::Broken)?;
        let own = self.administration.own_keys();
        let fits = config.check_keys(own.wireguard().current, own.zone_key);
        fits.map_err(ReloadRefusal::Broken)?;
        let preshared = preshared(&config).map_err(|unusable| match unusable.exit {
            Exit::Policy => ReloadRefusal::Denied(unusable.mistakes),
            _ => ReloadRefusal::Broken(unusable.mistakes),
        })?;
        Ok(ReadFile { text, config, preshared })
    }

    /// Says what does not follow yet.
    async fn put_in_force(&self, read: ReadFile) -> Result<Vec<String>, ReloadRefusal> {
        let ReadFile { config: written, preshared, .. } = read;
        let mut config = written.clone();
        // As they are in force: what was left out of them, or follows from the grant.
        config.tunnel.addresses.clone_from(&self.config.now().tunnel.addresses);
        let config = Arc::new(config);
        let own = self.administration.own_keys();
        let ledger = &self.administration.ledger;
        let members = announcement::members(&config, own.zone_key);
        ledger.set_configured(members).map_err(ReloadRefusal::Contradiction)?;
        self.announcer.cas.follow(&config.federations, &ledger.draft());
        self.config.put(config.clone(), written, preshared);
        logging::set(&config.log);
        let mut unfinished = Vec::new();
        if let Err(failure) = announce(&self.announcer, own.wireguard(), None).await {
            let error = error_line(failure.into_error().as_ref());
            unfinished.push(format!("this zone's record does not follow yet: {error}"));
        }
        if !self.config.wait_until_followed(&config, FOLLOW).await {
            unfinished.push("tunnel and kernel do not follow yet: see `zonemesh status`".into());
        }
        Ok(unfinished)
    }

    /// Keeps what is in force for a start with a file that is broken by then.
    pub(crate) async fn keep_what_runs(&self, text: Vec<u8>) {
        if let Some(file) = self.file.as_ref().filter(|file| !file.is_of_before())
            && let Err(sentence) = self.keep(file, text).await
        {
            tracing::warn!("{sentence}");
        }
    }

    async fn keep(&self, file: &ConfigFile, text: Vec<u8>) -> Result<(), String> {
        let folder = self.config.now().gateway.state_dir.clone();
        let kept = file.keep(&folder, text, &self.administration.disk).await;
        kept.map_err(|error| {
            format!(
                "it cannot be kept in {} for a start with a broken file: {error}",
                folder.display()
            )
        })
    }

    /// Waits until a reload asks for a new start, and whoever waits for its answer can have it.
    pub(crate) async fn wants_to_start_anew(&self) {
        self.anew.notified().await;
        tokio::time::sleep(LAST_WORD).await;
    }

    /// What `text` has otherwise than what is in force.
    pub(crate) fn compare(&self, text: &[u8], name: &str) -> Result<Comparison, ConfigErrors> {
        let read = self.file.as_ref().and_then(|file| file.read().ok());
        let is_file = read.is_some_and(|read| read == text);
        Ok(Comparison::of(&self.config.written(), &Config::parse_bytes(text, name)?, is_file))
    }
}

/// A file beside what is in force.
pub(crate) struct Comparison {
    /// False if it is another gateway's.
    pub(crate) is_own: bool,
    pub(crate) changed: Vec<KeyDifference>,
}

impl Comparison {
    /// Whose a file is, its names say; what this gateway reads at a reload (`is_file`) is its own
    /// whatever they say.
    fn of(written: &Config, other: &Config, is_file: bool) -> Self {
        let is_named =
            other.zone.name == written.zone.name && other.gateway.name == written.gateway.name;
        Self { is_own: is_file || is_named, changed: written.difference(other) }
    }
}

/// A key file that cannot be used, and the place that names it.
pub(crate) struct UnusableKeyFile {
    pub(crate) mistakes: ConfigErrors,
    /// What a program ends with that needs it: [`Exit::Policy`] if this user may not read it.
    pub(crate) exit: Exit,
}

/// The preshared keys that the peers name.
pub(crate) fn preshared(config: &Config) -> Result<PresharedKeys, UnusableKeyFile> {
    let mut found = PresharedKeys::default();
    let read = |section: &str, index: usize, file: &Path| {
        keys::preshared(file).map_err(|failure| {
            let exit = failure.exit;
            let why = format!("{:#}", failure.into_error());
            let key = format!("{section}[{index}].preshared_key_file");
            UnusableKeyFile { mistakes: config.unusable_file(&key, why), exit }
        })
    };
    for (index, peer) in config.peers.iter().enumerate() {
        if let Some(file) = &peer.preshared_key_file {
            found.zones.insert(peer.zone.clone(), read("peer", index, file)?);
        }
    }
    for (index, peer) in config.wireguard_peers.iter().enumerate() {
        if let Some(file) = &peer.preshared_key_file {
            found.plain.insert(peer.name.clone(), read("wireguard_peer", index, file)?);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(zone: &str, interface: &str) -> Config {
        let text = format!(
            "[zone]\nname = {zone:?}\nprefixes = [\"10.10.1.0/24\"]\n\
             [tunnel]\naddresses = [\"10.255.0.1\"]\ninterface = {interface:?}\n"
        );
        Config::parse(&text, "test").unwrap()
    }

    #[test]
    fn the_gateways_own_file_is_compared_also_where_it_names_another_zone() {
        let written = config("berlin", "zm0");
        let renamed = config("munich", "zm0");
        assert!(!Comparison::of(&written, &renamed, false).is_own, "it may go to munich's gateway");
        let compared = Comparison::of(&written, &renamed, true);
        let changed: Vec<_> =
            compared.changed.iter().map(|one| (one.key.as_str(), one.effect)).collect();
        assert!(compared.is_own);
        assert!(changed.contains(&("zone.name", TakesEffect::OnRestart)), "{changed:?}");
        let other = Comparison::of(&written, &config("berlin", "zm1"), false);
        assert!(other.is_own && !other.changed.is_empty());
    }
}
