//! READY of a VM that is a gateway as well: of two that are ready, and told by one.
//!
//! It promises that READY is wanted only while both are ready, whichever comes last or goes first, and
//! that nothing else which is told is touched. It refuses to know when either is ready.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::gateway_status::GatewayStatus;
use crate::onegate::{READY, WantedAttributes};

/// How often it is looked how the gateway goes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is to be told of what this companion wants, with the gateway of this file in mind.
pub(super) fn held_back(
    own: watch::Receiver<WantedAttributes>,
    file: PathBuf,
    tasks: &mut JoinSet<()>,
) -> watch::Receiver<WantedAttributes> {
    let (both, wanted) = watch::channel(WantedAttributes::new());
    tasks.spawn(follow(own, file, both));
    wanted
}

/// Until nobody wants anything any more.
async fn follow(
    mut own: watch::Receiver<WantedAttributes>,
    file: PathBuf,
    both: watch::Sender<WantedAttributes>,
) {
    let mut said = None;
    loop {
        let wanted = own.borrow_and_update().clone();
        let missing = GatewayStatus::why_not_ready(&file);
        let waits = missing.as_ref().filter(|_| wanted.contains_key(READY)).cloned();
        if said != waits {
            match &waits {
                Some(what) => tracing::info!(
                    "{READY} is not told: the gateway of this VM is not ready: {what}"
                ),
                None => tracing::info!("{READY} does not wait for the gateway of this VM any more"),
            }
            said = waits;
        }
        let wanted = of_both(wanted, missing.is_none());
        both.send_if_modified(|told| {
            let is_new = *told != wanted;
            *told = wanted;
            is_new
        });
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            changed = own.changed() => if changed.is_err() { return },
        }
    }
}

fn of_both(mut wanted: WantedAttributes, gateway_is_ready: bool) -> WantedAttributes {
    if !gateway_is_ready {
        wanted.remove(READY);
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onegate::YES;

    #[test]
    fn ready_is_wanted_only_if_both_are_ready_and_nothing_else_is_touched() {
        let of = |superlink: bool| {
            let role = [("FL_ROLE", "superlink".to_owned()), ("FL_READY", "true".to_owned())];
            let ready = superlink.then(|| (READY, YES.to_owned()));
            role.into_iter().chain(ready).collect::<WantedAttributes>()
        };
        for (superlink, gateway) in [(false, false), (false, true), (true, false), (true, true)] {
            let wanted = of_both(of(superlink), gateway);
            assert_eq!(wanted.contains_key(READY), superlink && gateway, "{superlink} {gateway}");
            assert_eq!(wanted["FL_ROLE"], "superlink");
            assert_eq!(wanted["FL_READY"], "true");
        }
    }

    #[tokio::test]
    async fn it_is_followed_how_the_gateway_goes_and_a_file_that_is_gone_is_no_readiness() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("status.json");
        let ready = [(READY, YES.to_owned()), ("FL_ROLE", "superlink".to_owned())];
        let (_own, wanted) = watch::channel(WantedAttributes::from(ready));
        let mut tasks = JoinSet::new();
        let mut told = held_back(wanted, file.clone(), &mut tasks);
        let mut next = async || {
            let changed = tokio::time::timeout(10 * LOOK_EVERY, told.changed()).await;
            changed.expect("something new is told").unwrap();
            told.borrow_and_update().contains_key(READY)
        };
        assert!(!next().await, "there is no file");
        for (text, expected) in [("{\"ready\": true}", true), ("{\"ready\": false}", false)] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(next().await, expected, "{text}");
        }
        std::fs::write(&file, "{\"ready\": true}").unwrap();
        assert!(next().await);
        std::fs::remove_file(&file).unwrap();
        assert!(!next().await, "its program has ended");
    }
}
