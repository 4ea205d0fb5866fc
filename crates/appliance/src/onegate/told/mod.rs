//! Attributes of this VM, as OneGate has them: told until they were heard, and again whenever one is
//! not there any more.
//!
//! It promises that the newest value is told and no older one, that what an earlier boot has left
//! is erased, that they are told in their order and erased against it (READY is the last to come and
//! the first to go), and that a trouble is said once and again when it is another. It refuses to know
//! what an attribute means, and when to try again: that is [`AttributeTelling`]'s.

mod telling;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use zonemesh_core::exit::error_line;

use super::{OneGate, OneGateError, attribute};
pub use telling::WantedAttributes;
use telling::{AttributeErrand, AttributeTelling};

/// What OneGate answers where its configuration forbids to look.
const FORBIDDEN: u16 = 403;

/// Longest value that is logged: a certificate says nothing to anybody.
const LOGGED: usize = 64;

/// Keeps attributes at the wanted values, or away, until nobody wants anything any more.
pub async fn keep_told(
    onegate: OneGate,
    names: &'static [&'static str],
    mut wanted: watch::Receiver<WantedAttributes>,
) {
    let mut telling = AttributeTelling::new(names, Instant::now());
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
        let errand = telling.errand();
        match run(&onegate, errand.clone(), &mut telling).await {
            Ok(()) => said = None,
            Err(error) => {
                telling.failed(&errand, Instant::now());
                let trouble = error_line(&error);
                if said.as_ref() != Some(&trouble) {
                    let names = names.join(", ");
                    tracing::warn!(trouble, "OneGate does not hear of {names} yet; told again");
                    said = Some(trouble);
                }
            }
        }
    }
}

async fn run(
    onegate: &OneGate,
    errand: AttributeErrand,
    telling: &mut AttributeTelling,
) -> Result<(), OneGateError> {
    match errand {
        AttributeErrand::Tell { name, value } => {
            onegate.tell(name, &value).await?;
            match value.len() {
                ..=LOGGED => tracing::info!("OneGate was told {name}={value}"),
                _ => tracing::info!("OneGate was told {name}"),
            }
            telling.heard(name, Some(value), Instant::now());
        }
        AttributeErrand::Erase { name } => {
            onegate.erase(name).await?;
            tracing::info!("{name} was erased in OneGate");
            telling.heard(name, None, Instant::now());
        }
        AttributeErrand::Look => match onegate.vm().await {
            Ok(vm) => telling.saw(|name| attribute(&vm, name), Instant::now()),
            Err(OneGateError::Refused { status: FORBIDDEN, .. }) => telling.blind(Instant::now()),
            Err(error) => return Err(error),
        },
    }
    Ok(())
}
