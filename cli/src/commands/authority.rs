//! What the commands about the mesh's authorities do.

use std::io::Write;
use std::path::Path;

use zonemesh_api::v1::{AuthorityChangeRequest, AuthorityListRequest};
use zonemesh_api::view::AuthoritiesView;

use super::mesh::{confirmed, trusted};
use crate::arguments::{AuthorityChange, AuthorityVerb};
use crate::daemon::{body, change};
use crate::failure::{CommandFailure, Exit};
use crate::output::Printer;

pub(super) fn authority(
    socket: &Path,
    verb: AuthorityVerb,
    output: Printer,
    out: &mut impl Write,
) -> Result<Exit, CommandFailure> {
    let (request, file) = match verb {
        AuthorityVerb::List => return list(socket, output, out),
        AuthorityVerb::Add { key, how: AuthorityChange { threshold, out } } => {
            let threshold = threshold.unwrap_or_default();
            (AuthorityChangeRequest { add: vec![key], remove: Vec::new(), threshold }, out)
        }
        AuthorityVerb::Remove { key, confirm, how: AuthorityChange { threshold, out } } => {
            let what = format!("takes the right to sign from {key}. Type the key");
            confirmed((&key, &what), confirm, &format!("authority remove {key}"))?;
            let threshold = threshold.unwrap_or_default();
            (AuthorityChangeRequest { add: Vec::new(), remove: vec![key], threshold }, out)
        }
        AuthorityVerb::Threshold { least, out } => {
            (AuthorityChangeRequest { threshold: least, ..AuthorityChangeRequest::default() }, out)
        }
    };
    trusted(file.as_deref(), output, out, || {
        change(socket, async |mut mesh| mesh.authority_change(request).await.map(body))
    })
}

fn list(socket: &Path, output: Printer, out: &mut impl Write) -> Result<Exit, CommandFailure> {
    let question = AuthorityListRequest {};
    let reply = change(socket, async |mut mesh| mesh.authority_list(question).await.map(body))?;
    output.show(&AuthoritiesView::from(reply), out)?;
    Ok(Exit::Ok)
}
