//! What the commands about the mesh's members do.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write};
use std::path::Path;
use std::time::SystemTime;

use zeroize::Zeroizing;
use zonemesh_api::v1::{
    MeshFoundRequest, MeshInitRequest, StatusRequest, TokenListRequest, TokenRemoveRequest,
    TrustReply, ZoneBlockRequest, ZoneGrantRequest, ZoneInviteRequest, ZoneJoinRequest,
    ZoneLeaveRequest, ZoneListRequest, ZoneRevokeRequest,
};
use zonemesh_api::view::{BlockView, LeaveView, MeshView, TokensView, ZonesView};
use zonemesh_core::time::UnixMillis;

use super::{approval, founding, owners, settled, trust};
use crate::arguments::{Format, Init, Invite, MeshVerb, TokenVerb, ZoneVerb};
use crate::daemon::{Followed, ask, body, change, follow};
use crate::failure::{CommandFailure, Exit, OrFail as _};
use crate::output::Printer;
use crate::secret_file::{self, Reserved};
use crate::table::plain;
use crate::view::mesh::{InvitationView, JoinView, TrustView};

/// An invitation has a few kilobytes.
const INVITATION_MAX: u64 = 64 << 10;
/// A founding bundle has some hundred bytes for each zone.
const BUNDLE_MAX: u64 = 1 << 20;

pub(super) fn mesh(
    socket: &Path,
    verb: MeshVerb,
    output: Printer,
    out: &mut impl Write,
) -> Result<Exit, CommandFailure> {
    let init = match verb {
        MeshVerb::Init(init) => init,
        MeshVerb::Found { file } => {
            let bundle = one_line(&file, BUNDLE_MAX)?.trim().to_owned();
            let request = MeshFoundRequest { bundle };
            let reply = change(socket, async |mut mesh| mesh.mesh_found(request).await.map(body))?;
            output.show(&MeshView::new(reply, Vec::new()), out)?;
            return Ok(Exit::Ok);
        }
    };
    if let Some(folder) = &init.offline.out {
        let said = founding::said(&init.offline, &init.owner_keys)?;
        let made = owners::made(&init)?;
        let owners: Vec<_> = init.owner_keys.iter().cloned().chain(made.public_keys()).collect();
        let founded = founding::found(folder, &said, &owners, made.files());
        let founded = founded.inspect_err(|_| made.remove())?;
        output.show(&founded, out)?;
        return Ok(Exit::Ok);
    }
    init_here(socket, *init, output, out)
}

/// Founds a mesh at this gateway.
fn init_here(
    socket: &Path,
    init: Init,
    output: Printer,
    out: &mut impl Write,
) -> Result<Exit, CommandFailure> {
    let made = owners::made(&init)?;
    let owner_keys = init.owner_keys.iter().cloned().chain(made.public_keys()).collect();
    let request = MeshInitRequest {
        authority_keys: init.authorities,
        threshold: init.threshold,
        grant_configured: init.grant_configured,
        owner_keys,
    };
    let founded = change(socket, async |mut mesh| mesh.mesh_init(request).await.map(body));
    // Without an answer the mesh may be there, and then these keys own it.
    let reply = founded.inspect_err(|failure| {
        if failure.exit != Exit::Timeout {
            made.remove();
        }
    })?;
    output.show(&MeshView::new(reply, made.files()), out)?;
    Ok(Exit::Ok)
}

pub(super) fn zone(
    socket: &Path,
    verb: ZoneVerb,
    output: Printer,
    out: &mut impl Write,
) -> Result<Exit, CommandFailure> {
    match verb {
        ZoneVerb::List => list(socket, output, out),
        ZoneVerb::Invite(invite) => {
            output.show(&invitation(socket, &invite)?, out)?;
            Ok(Exit::Ok)
        }
        ZoneVerb::Grant(grant) => {
            let request = ZoneGrantRequest {
                zone: grant.name,
                zone_key: grant.zone_key,
                prefixes: grant.prefixes.iter().map(ToString::to_string).collect(),
                tunnel_ips: grant.tunnel_ips.iter().map(ToString::to_string).collect(),
                federations: grant.federations.iter().map(ToString::to_string).collect(),
            };
            trusted(grant.out.as_deref(), SAME, output, out, || {
                change(socket, async |mut mesh| mesh.zone_grant(request).await.map(body))
            })
        }
        ZoneVerb::Join { file } => join(socket, &file, output, out),
        ZoneVerb::Approve { name, confirm, out: file } => {
            let again = format!("zonemesh zone approve {name}");
            let request = approval::request(socket, name, confirm)?;
            trusted(file.as_deref(), &again, output, out, || {
                change(socket, async |mut mesh| mesh.zone_approve(request).await.map(body))
            })
        }
        ZoneVerb::Revoke { name, confirm, reason, out: file } => {
            let what = format!("puts {name} out of the mesh for ever. Type its name");
            confirmed((&name, &what), confirm, &format!("zone revoke {name}"))?;
            let request = ZoneRevokeRequest { zone: name, reason };
            trusted(file.as_deref(), SAME, output, out, || {
                change(socket, async |mut mesh| mesh.zone_revoke(request).await.map(body))
            })
        }
        ZoneVerb::Leave { confirm } => leave(socket, confirm, output, out),
        ZoneVerb::Block { name } => {
            block(socket, ZoneBlockRequest { zone: name, blocked: true }, output, out)
        }
        ZoneVerb::Unblock { name } => {
            block(socket, ZoneBlockRequest { zone: name, blocked: false }, output, out)
        }
    }
}

pub(super) fn token(
    socket: &Path,
    verb: &TokenVerb,
    output: Printer,
    out: &mut impl Write,
) -> Result<Exit, CommandFailure> {
    let reply = match verb {
        TokenVerb::List => {
            let question = TokenListRequest {};
            change(socket, async |mut mesh| mesh.token_list(question).await.map(body))
        }
        TokenVerb::Remove { sha256 } => {
            let request = TokenRemoveRequest { sha256: sha256.to_string() };
            change(socket, async |mut mesh| mesh.token_remove(request).await.map(body))
        }
    };
    output.show(&TokensView::from(reply?), out)?;
    Ok(Exit::Ok)
}

fn list(socket: &Path, output: Printer, out: &mut impl Write) -> Result<Exit, CommandFailure> {
    let question = ZoneListRequest {};
    let reply = change(socket, async |mut mesh| mesh.zone_list(question).await.map(body))?;
    let view = ZonesView::from(reply);
    output.show(&view, out)?;
    Ok(if view.needs_somebody() { Exit::Negative } else { Exit::Ok })
}

fn invitation(socket: &Path, invite: &Invite) -> Result<InvitationView, CommandFailure> {
    let valid_for_ms = u64::try_from(invite.valid_for.as_millis()).unwrap_or(u64::MAX);
    if UnixMillis::from(SystemTime::now()).plus_until_latest(valid_for_ms).is_none() {
        let message = "--valid-for ends after the year 9999".to_owned();
        let failure = CommandFailure::message(Exit::Usage, message);
        return Err(failure.next("give a shorter time, such as --valid-for 7d"));
    }
    let file = Reserved::new(&invite.out)?;
    let request = ZoneInviteRequest {
        zone: invite.name.clone(),
        prefixes: invite.prefixes.iter().map(ToString::to_string).collect(),
        tunnel_ips: invite.tunnel_ips.iter().map(ToString::to_string).collect(),
        valid_for_ms,
        federations: invite.federations.iter().map(ToString::to_string).collect(),
        tokens: invite.tokens.iter().map(ToString::to_string).collect(),
    };
    let reply = change(socket, async |mut mesh| mesh.zone_invite(request).await.map(body))?;
    let mut reply = reply;
    let secret = Zeroizing::new(std::mem::take(&mut reply.invitation));
    file.write(&secret)?;
    Ok(InvitationView::new(invite, reply))
}

fn join(
    socket: &Path,
    file: &Path,
    output: Printer,
    out: &mut impl Write,
) -> Result<Exit, CommandFailure> {
    let invitation = one_line(file, INVITATION_MAX)?.trim().to_owned();
    let shown = output.format == Format::Table;
    let steps = follow(socket, async |mut mesh| {
        let mut progress = mesh.zone_join(ZoneJoinRequest { invitation }).await?.into_inner();
        let mut steps = JoinView::default();
        while let Some(step) = progress.message().await.map_err(Followed::Refused)? {
            if shown {
                writeln!(out, "{}", plain(&step.step))?;
                out.flush()?;
            }
            steps.take(step);
        }
        Ok(steps)
    })?;
    if !shown {
        output.show(&steps, out)?;
    }
    if steps.is_done() {
        return settled::wait(socket, shown.then_some(out)).map(|()| Exit::Ok);
    }
    let message = "the daemon stopped before this zone was a member".to_owned();
    Err(CommandFailure::message(Exit::Negative, message).next("journalctl -u zonemeshd -n 50"))
}

fn one_line(file: &Path, most: u64) -> Result<Zeroizing<String>, CommandFailure> {
    if file != Path::new("-") {
        return secret_file::read_up_to(file, most);
    }
    let mut text = Zeroizing::new(String::new());
    let read = io::stdin().lock().take(most).read_to_string(&mut text);
    read.or_exit(Exit::Configuration, || "cannot read standard input".to_owned())?;
    Ok(text)
}

/// A command that is too long to be said again.
pub(super) const SAME: &str = "the same with";

/// A change of trust. What still lacks signatures goes into `file`; without one, `again` is the
/// command that writes it.
pub(super) fn trusted(
    file: Option<&Path>,
    again: &str,
    output: Printer,
    out: &mut impl Write,
    change: impl FnOnce() -> Result<TrustReply, CommandFailure>,
) -> Result<Exit, CommandFailure> {
    let reserved = file.map(Reserved::new).transpose()?;
    let reply = change()?;
    let unfinished = (!reply.unfinished.is_empty()).then(|| trust::stored_lines(&reply.unfinished));
    if let (Some(reserved), Some(line)) = (reserved, &unfinished) {
        reserved.write(line)?;
    }
    let view = TrustView::new(reply, unfinished.map(|line| (line, file))).by(again);
    output.show(&view, out)?;
    Ok(if view.is_complete() { Exit::Ok } else { Exit::Negative })
}

/// What cannot be taken back has to be written twice. `what` says what happens and what to type.
pub(super) fn confirmed(
    (name, what): (&str, &str),
    confirm: Option<String>,
    command: &str,
) -> Result<(), CommandFailure> {
    let typed = match confirm {
        Some(typed) => typed,
        None if io::stdin().is_terminal() => {
            let mut err = io::stderr().lock();
            write!(err, "This {what} to go on: ")?;
            err.flush()?;
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line)?;
            line.trim().to_owned()
        }
        None => {
            let message = format!("this must be confirmed: it {what}");
            let next = format!("zonemesh {command} --confirm {name}");
            return Err(CommandFailure::message(Exit::Usage, message).next(next));
        }
    };
    if typed == name {
        return Ok(());
    }
    let message = format!("{typed:?} is not {name:?}: nothing was changed");
    Err(CommandFailure::message(Exit::Usage, message).next(format!("zonemesh {command}")))
}

fn leave(
    socket: &Path,
    confirm: Option<String>,
    output: Printer,
    out: &mut impl Write,
) -> Result<Exit, CommandFailure> {
    let question = StatusRequest { at_most: 1 };
    let status = ask(socket, async |mut admin| admin.status(question).await.map(body))?;
    let zone = status.zone;
    let what = format!("has {zone} leave the mesh. Type its name");
    confirmed((&zone, &what), confirm, "zone leave")?;
    let request = ZoneLeaveRequest { zone: zone.clone() };
    let reply = change(socket, async |mut mesh| mesh.zone_leave(request).await.map(body))?;
    let view = LeaveView::new(zone, reply);
    output.show(&view, out)?;
    Ok(if view.was_told() { Exit::Ok } else { Exit::Negative })
}

fn block(
    socket: &Path,
    request: ZoneBlockRequest,
    output: Printer,
    out: &mut impl Write,
) -> Result<Exit, CommandFailure> {
    let reply = change(socket, async |mut mesh| mesh.zone_block(request).await.map(body))?;
    output.show(&BlockView::from(reply), out)?;
    Ok(Exit::Ok)
}
