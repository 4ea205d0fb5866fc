//! `zonemesh zone approve`: what is asked before a key takes the place of another.
//!
//! Promises: the daemon hears both keys that the engineer was shown, so that nothing else is
//! approved if it changed meanwhile. Refuses to know who waits: that is the daemon's.

use std::path::Path;

use zonemesh_api::v1::{ZoneApproveRequest, ZoneListReply, ZoneListRequest};

use super::mesh::confirmed;
use crate::daemon::{body, change};
use crate::failure::CommandFailure;
use crate::table::plain;

/// The request to approve `name`, confirmed if that revokes a key.
pub(super) fn request(
    socket: &Path,
    name: String,
    confirm: Option<String>,
) -> Result<ZoneApproveRequest, CommandFailure> {
    let question = ZoneListRequest {};
    let ZoneListReply { pending, disputed, .. } =
        change(socket, async |mut mesh| mesh.zone_list(question).await.map(body))?;
    let waits = pending.iter().any(|zone| zone.zone == name);
    let disputed = disputed.into_iter().find(|zone| zone.zone == name && !waits);
    let Some(zone) = disputed else {
        return Ok(ZoneApproveRequest { zone: name, ..ZoneApproveRequest::default() });
    };
    let (joiner, granted) = (plain(&zone.zone_key), plain(&zone.granted_key));
    let what = format!(
        "revokes the key {granted} of {name} for ever and grants {joiner}, which has used an invitation. Type its name"
    );
    confirmed((&name, &what), confirm, &format!("zone approve {name}"))?;
    Ok(ZoneApproveRequest { zone: name, zone_key: zone.zone_key, revokes_key: zone.granted_key })
}
