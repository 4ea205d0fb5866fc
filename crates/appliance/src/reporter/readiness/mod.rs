//! READY, as OneGate has it: told until it was heard, and again whenever it is not there any more.
//!
//! It promises that the newest value is told and no older one, that a READY of an earlier boot is
//! erased, and that a trouble is said once and again when it is another. It refuses to know what
//! ready means, and when to try again: that is [`ReadinessTelling`]'s.

mod telling;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use zonemesh_core::exit::error_line;

use crate::onegate::{OneGate, OneGateError};
use telling::{ReadinessErrand, ReadinessTelling};

/// What OneGate answers where its configuration forbids to look.
const FORBIDDEN: u16 = 403;

/// Keeps OneGate's READY at the wanted value until nobody wants anything any more.
pub(super) async fn keep_told(onegate: OneGate, mut wanted: watch::Receiver<bool>) {
    let mut telling = ReadinessTelling::new(Instant::now());
    let mut said = None;
    loop {
        telling.want(*wanted.borrow_and_update(), Instant::now());
        tokio::select! {
            () = sleep_until(telling.due()) => {}
            changed = wanted.changed() => match changed {
                Ok(()) => continue,
                Err(_nobody) => return,
            },
        }
        match run(&onegate, &mut telling).await {
            Ok(()) => said = None,
            Err(error) => {
                telling.failed(Instant::now());
                let trouble = error_line(&error);
                if said.as_ref() != Some(&trouble) {
                    tracing::warn!(trouble, "OneGate does not hear of READY yet; it is told again");
                    said = Some(trouble);
                }
            }
        }
    }
}

async fn run(onegate: &OneGate, telling: &mut ReadinessTelling) -> Result<(), OneGateError> {
    match telling.errand() {
        ReadinessErrand::Tell => {
            onegate.tell_ready().await?;
            tracing::info!("OneGate was told READY=YES");
            telling.heard(Instant::now());
        }
        ReadinessErrand::Erase => {
            onegate.erase_ready().await?;
            tracing::info!("READY was erased in OneGate");
            telling.heard(Instant::now());
        }
        ReadinessErrand::Look => match onegate.ready().await {
            Ok(ready) => telling.saw(ready.as_deref(), Instant::now()),
            Err(OneGateError::Refused { status: FORBIDDEN, .. }) => telling.blind(Instant::now()),
            Err(error) => return Err(error),
        },
    }
    Ok(())
}
