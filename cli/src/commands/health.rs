//! `zonemesh health live|ready`: for probes of a container engine and for scripts.
//!
//! Prints nothing where all is well: the exit code is the answer, and what is not well is said.

use std::path::Path;

use zonemesh_api::v1::{GatewayHealth, StatusRequest};

use crate::arguments::HealthQuestion;
use crate::daemon::{ask, body};
use crate::failure::{CommandFailure, Exit};

pub(super) fn health(socket: &Path, wanted: HealthQuestion) -> Result<Exit, CommandFailure> {
    let question = StatusRequest { at_most: 1 };
    let reply = ask(socket, async |mut client| client.status(question).await.map(body))?;
    let Some(GatewayHealth { not_live, not_ready }) = reply.health else {
        let message = format!("the daemon does not say it: it is {}", reply.version);
        let next = "systemctl restart zonemeshd";
        return Err(CommandFailure::message(Exit::VersionSkew, message).next(next));
    };
    let (state, reason) = match wanted {
        HealthQuestion::Live => ("does not live", not_live),
        HealthQuestion::Ready => ("is not ready", not_ready),
    };
    if reason.is_empty() {
        return Ok(Exit::Ok);
    }
    let message = format!("this gateway {state}: {reason}");
    Err(CommandFailure::message(Exit::Negative, message).next("zonemesh status"))
}
