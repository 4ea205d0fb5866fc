//! A changed configuration file: have the daemon take it, or see what it has otherwise.

use std::io::Write;
use std::path::Path;

use zonemesh_api::v1::{CompareConfigRequest, ReloadRequest};

use crate::config_check::{self, Checked};
use crate::daemon::{ask, body, change};
use crate::failure::{CommandFailure, Exit};
use crate::output::Printer;
use crate::view::config_check::CheckView;
use crate::view::reload::ReloadView;

/// A file that names another zone or gateway than the one that runs here.
const ANOTHERS: &str = "the gateway that runs here has another zone.name or gateway.name: the file is not compared with what is in force here";

pub(super) fn reload(
    socket: &Path,
    output: Printer,
    out: &mut impl Write,
) -> Result<Exit, CommandFailure> {
    let reply = change(socket, async |mut mesh| mesh.reload(ReloadRequest {}).await.map(body))?;
    let view = ReloadView::from(reply);
    output.show(&view, out)?;
    Ok(view.exit())
}

/// Checks a file. What it has otherwise than what is in force is told where the daemon that runs here
/// is the file's; it is no mistake that none runs.
pub(super) fn check(socket: &Path, file: &Path) -> Result<CheckView, CommandFailure> {
    let Checked { mut view, text } = config_check::check(file)?;
    if !view.is_valid() {
        return Ok(view);
    }
    let question = CompareConfigRequest { text };
    let compared = ask(socket, async |mut admin| admin.compare_config(question).await.map(body));
    match compared {
        Ok(reply) if reply.is_own => view.compare(&reply.changed),
        Ok(_) => view.note(ANOTHERS.to_owned()),
        Err(_) => {}
    }
    Ok(view)
}
