//! An attribute of this VM, as OneGate has it: told until it was heard, and again whenever it is
//! not there any more.
//!
//! It promises that the newest value is told and no older one, that what an earlier boot has left
//! is erased, and that a trouble is said once and again when it is another. It refuses to know what
//! the attribute means, and when to try again: that is [`AttributeTelling`]'s.

mod telling;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use zonemesh_core::exit::error_line;

use super::{OneGate, OneGateError};
use telling::{AttributeErrand, AttributeTelling};

/// What OneGate answers where its configuration forbids to look.
const FORBIDDEN: u16 = 403;

/// Keeps an attribute at the wanted value, or away, until nobody wants anything any more.
pub async fn keep_told(
    onegate: OneGate,
    name: &'static str,
    mut wanted: watch::Receiver<Option<String>>,
) {
    let mut telling = AttributeTelling::new(Instant::now());
    let mut said = None;
    loop {
        telling.want(wanted.borrow_and_update().clone(), Instant::now());
        tokio::select! {
            () = sleep_until(telling.due()) => {}
            changed = wanted.changed() => match changed {
                Ok(()) => continue,
                Err(_nobody) => return,
            },
        }
        match run(&onegate, name, &mut telling).await {
            Ok(()) => said = None,
            Err(error) => {
                telling.failed(Instant::now());
                let trouble = error_line(&error);
                if said.as_ref() != Some(&trouble) {
                    tracing::warn!(
                        trouble,
                        "OneGate does not hear of {name} yet; it is told again"
                    );
                    said = Some(trouble);
                }
            }
        }
    }
}

async fn run(
    onegate: &OneGate,
    name: &'static str,
    telling: &mut AttributeTelling,
) -> Result<(), OneGateError> {
    match telling.errand() {
        AttributeErrand::Tell(value) => {
            onegate.tell(name, &value).await?;
            tracing::info!("OneGate was told {name}={value}");
            telling.heard(Instant::now());
        }
        AttributeErrand::Erase => {
            onegate.erase(name).await?;
            tracing::info!("{name} was erased in OneGate");
            telling.heard(Instant::now());
        }
        AttributeErrand::Look => match onegate.attribute(name).await {
            Ok(there) => telling.saw(there.as_deref(), Instant::now()),
            Err(OneGateError::Refused { status: FORBIDDEN, .. }) => telling.blind(Instant::now()),
            Err(error) => return Err(error),
        },
    }
    Ok(())
}
