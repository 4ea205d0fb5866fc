//! The configuration in force: one holder, whom everybody asks anew.
//!
//! Promises that who reads it sees all of the newest, never parts of two, and that who waits for a
//! change misses none: of several the last. Who puts another one in force, and whether it may be, is
//! the administration's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use zonemesh_config::Config;
use zonemesh_core::key::PresharedKey;
use zonemesh_core::name::ZoneName;

/// The preshared keys of the configured peers, by their names.
#[derive(Default)]
pub(crate) struct PresharedKeys {
    pub(crate) zones: BTreeMap<ZoneName, PresharedKey>,
    /// Of those that run plain WireGuard.
    pub(crate) plain: BTreeMap<ZoneName, PresharedKey>,
}

impl PresharedKeys {
    /// That of a zone, or of a plain peer of that name.
    pub(crate) fn of(&self, name: &ZoneName, is_plain: bool) -> Option<&PresharedKey> {
        if is_plain { self.plain.get(name) } else { self.zones.get(name) }
    }
}

/// The holder; all clones are the same.
#[derive(Clone)]
pub(crate) struct ConfigInForce(Arc<HeldConfig>);

struct HeldConfig {
    now: watch::Sender<Arc<Config>>,
    beside: Mutex<BesideConfig>,
    /// The one that the tunnel's peers and the kernel follow.
    followed: watch::Sender<Option<Arc<Config>>>,
}

/// What belongs to a configuration and does not stand in it.
#[derive(Clone)]
struct BesideConfig {
    /// As it was written: what follows from a grant is left out there.
    written: Arc<Config>,
    preshared: Arc<PresharedKeys>,
}

impl ConfigInForce {
    /// Begins with `config`, which was written as `written`.
    pub(crate) fn new(config: Config, written: Config, preshared: PresharedKeys) -> Self {
        let beside = BesideConfig { written: Arc::new(written), preshared: Arc::new(preshared) };
        let (now, followed) = (watch::Sender::new(Arc::new(config)), watch::Sender::new(None));
        Self(Arc::new(HeldConfig { now, beside: Mutex::new(beside), followed }))
    }

    /// One that is in force as it was written, without preshared keys.
    #[cfg(test)]
    pub(crate) fn of(config: Config) -> Self {
        Self::new(config.clone(), config, PresharedKeys::default())
    }

    /// The smallest one that there is, with every default.
    #[cfg(test)]
    pub(crate) fn smallest() -> Self {
        let text = "[zone]\nname = \"berlin\"\nprefixes = [\"10.10.10.0/24\"]\n";
        Self::of(Config::parse(text, "test").unwrap_or_else(|errors| unreachable!("{errors}")))
    }

    /// What is in force.
    pub(crate) fn now(&self) -> Arc<Config> {
        self.0.now.borrow().clone()
    }

    /// The same as it was written.
    pub(crate) fn written(&self) -> Arc<Config> {
        self.beside().written
    }

    pub(crate) fn preshared(&self) -> Arc<PresharedKeys> {
        self.beside().preshared
    }

    /// Tells of changes from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<Config>> {
        self.0.now.subscribe()
    }

    /// From now on this one is in force.
    pub(crate) fn put(&self, config: Arc<Config>, written: Config, preshared: PresharedKeys) {
        let beside = BesideConfig { written: Arc::new(written), preshared: Arc::new(preshared) };
        *self.0.beside.lock().unwrap_or_else(PoisonError::into_inner) = beside;
        self.0.now.send_replace(config);
    }

    /// Tunnel and kernel are as this one wants them, as far as they can be.
    pub(crate) fn followed(&self, config: Arc<Config>) {
        self.0.followed.send_replace(Some(config));
    }

    /// Waits until tunnel and kernel follow `config`. False if that takes too long.
    pub(crate) async fn wait_until_followed(&self, config: &Arc<Config>, most: Duration) -> bool {
        let mut followed = self.0.followed.subscribe();
        let is_it =
            |now: &Option<Arc<Config>>| now.as_ref().is_some_and(|one| Arc::ptr_eq(one, config));
        let waited = tokio::time::timeout(most, followed.wait_for(is_it)).await;
        waited.is_ok_and(|waited| waited.is_ok())
    }

    fn beside(&self) -> BesideConfig {
        self.0.beside.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(level: &str) -> Config {
        let text = format!(
            "[zone]\nname = \"berlin\"\nprefixes = [\"10.1.0.0/16\"]\n[log]\nlevel = \"{level}\"\n"
        );
        Config::parse(&text, "test").unwrap()
    }

    #[tokio::test]
    async fn who_waits_hears_of_the_last_change_and_who_reloads_of_those_who_follow() {
        let held = ConfigInForce::of(config("info"));
        let mut changes = held.changes();
        assert!(!changes.has_changed().unwrap());
        let (first, last) = (Arc::new(config("warn")), Arc::new(config("debug")));
        held.put(first.clone(), config("warn"), PresharedKeys::default());
        held.put(last.clone(), config("debug"), PresharedKeys::default());
        changes.changed().await.unwrap();
        assert!(Arc::ptr_eq(&changes.borrow_and_update(), &last));
        assert_eq!(held.written().difference(&last), []);
        let short = Duration::from_millis(20);
        held.followed(first);
        assert!(!held.wait_until_followed(&last, short).await, "an older one is followed");
        held.followed(last.clone());
        assert!(held.wait_until_followed(&last, short).await);
    }
}
