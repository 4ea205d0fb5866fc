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
    if let Ok(reply) = compared
        && reply.is_own
    {
        view.compare(&reply.changed);
    }
    Ok(view)
}
