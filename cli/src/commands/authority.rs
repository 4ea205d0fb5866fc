//! What the commands about the mesh's authorities do.
//!
//! Promises: owner keys are read here and go nowhere else; a change that lacks a signature changes
//! nothing; what it does to the zones is shown with it.

use std::io::Write;
use std::path::Path;

use zonemesh_api::v1::{
    AuthorityChangeReply, AuthorityChangeRequest, AuthorityListRequest, AuthorityPinRequest,
    TrustImportRequest, TrustReply,
};
use zonemesh_api::view::{AuthoritiesView, AuthorityChangeView};
use zonemesh_core::membership::{AuthorityIdentity, SignedTrustItem, TrustKind};

use super::mesh::{SAME, confirmed, trusted};
use super::signing::Sets;
use super::trust;
use crate::arguments::{AuthorityChange, AuthorityVerb};
use crate::daemon::{body, change};
use crate::failure::{CommandFailure, Exit, OrFail as _};
use crate::output::Printer;
use crate::secret_file::Reserved;

pub(super) fn authority(
    socket: &Path,
    verb: AuthorityVerb,
    output: Printer,
    out: &mut impl Write,
) -> Result<Exit, CommandFailure> {
    let none = AuthorityChangeRequest::default();
    let (request, how) = match verb {
        AuthorityVerb::List => return list(socket, output, out),
        AuthorityVerb::Pin { set, file, confirm } => {
            let what = format!("follows {set} here, whoever has signed it. Type it again");
            confirmed((&set, &what), confirm, &format!("authority pin {set}"))?;
            let items = file.map(|file| trust::read(&file)).transpose()?.unwrap_or_default();
            let items = items.iter().map(SignedTrustItem::to_file_bytes).collect();
            let request = AuthorityPinRequest { set, items };
            return trusted(None, SAME, output, out, || {
                change(socket, async |mut mesh| mesh.authority_pin(request).await.map(body))
            });
        }
        AuthorityVerb::Add { key, owner: false, how } => {
            (AuthorityChangeRequest { add: vec![key], ..none }, how)
        }
        AuthorityVerb::Add { key, owner: true, how } => {
            (AuthorityChangeRequest { add_owners: vec![key], ..none }, how)
        }
        AuthorityVerb::Remove { key, owner, stolen, add, confirm, how } => {
            let what = format!("takes its rights from {key}. Type the key");
            confirmed((&key, &what), confirm, &format!("authority remove {key}"))?;
            let none = AuthorityChangeRequest { stolen, ..none };
            match owner {
                false => (AuthorityChangeRequest { remove: vec![key], add, ..none }, how),
                true => {
                    let add_owners = add;
                    (AuthorityChangeRequest { remove_owners: vec![key], add_owners, ..none }, how)
                }
            }
        }
        AuthorityVerb::Threshold { least, how } => {
            (none, AuthorityChange { threshold: Some(least), ..how })
        }
        AuthorityVerb::Renew { how } => (AuthorityChangeRequest { renew: true, ..none }, how),
    };
    changed(socket, request, how, output, out)
}

fn list(socket: &Path, output: Printer, out: &mut impl Write) -> Result<Exit, CommandFailure> {
    let question = AuthorityListRequest {};
    let reply = change(socket, async |mut mesh| mesh.authority_list(question).await.map(body))?;
    let view = AuthoritiesView::from(reply);
    output.show(&view, out)?;
    Ok(if view.conflicts.is_empty() { Exit::Ok } else { Exit::Negative })
}

/// Has a change drafted, signs it with the keys at hand, and puts it into force if that is enough.
fn changed(
    socket: &Path,
    request: AuthorityChangeRequest,
    how: AuthorityChange,
    output: Printer,
    out: &mut impl Write,
) -> Result<Exit, CommandFailure> {
    let request = AuthorityChangeRequest {
        threshold: how.threshold.unwrap_or_default(),
        leave_out: how.without,
        bring_back: how.bring_back,
        ..request
    };
    let stolen = request.stolen;
    let keys =
        how.keys.iter().map(|file| trust::authority_key(file)).collect::<Result<Vec<_>, _>>()?;
    let reserved = how.out.as_deref().map(Reserved::new).transpose()?;
    let draft = change(socket, async |mut mesh| mesh.authority_change(request).await.map(body))?;
    let (items, missing) = signed(&draft, &keys)?;
    let set = items.iter().rfind(|item| item.kind() == TrustKind::AuthoritySet);
    let set =
        set.map(|set| set.payload_hash().iter().map(|b| format!("{b:02x}")).collect::<String>());
    let set = set.unwrap_or_default();
    let show = |file: Option<&Path>, out: &mut _| {
        let file = file.map(|file| file.display().to_string());
        output.show(&AuthorityChangeView::new(draft, set, stolen, missing, file), out)
    };
    if missing > 0 {
        if let Some(reserved) = reserved {
            reserved.write(&trust::lines(&items))?;
        }
        show(how.out.as_deref(), out)?;
        return Ok(Exit::Negative);
    }
    let items = items.iter().map(SignedTrustItem::to_file_bytes).collect();
    let request = TrustImportRequest { items };
    let taken = change(socket, async |mut mesh| mesh.trust_import(request).await.map(body))?;
    let exit = in_force(&taken)?;
    show(None, out)?;
    Ok(exit)
}

/// The items of a draft with the signatures of these keys, and how many are missing.
fn signed(
    draft: &AuthorityChangeReply,
    keys: &[AuthorityIdentity],
) -> Result<(Vec<SignedTrustItem>, u32), CommandFailure> {
    let items = draft.items.iter().map(|item| SignedTrustItem::from_file_bytes(item));
    let mut items: Vec<_> = items
        .collect::<Result<_, _>>()
        .or_exit(Exit::VersionSkew, || "the daemon answered with no trust item".to_owned())?;
    let sets = Sets::of(&items);
    let entitled = sets.entitled(&items).unwrap_or_default();
    let stranger =
        keys.iter().map(AuthorityIdentity::public_key).find(|key| !entitled.contains(key));
    if let Some(stranger) = stranger
        && !entitled.is_empty()
    {
        return Err(trust::not_entitled(&stranger, &entitled));
    }
    for item in &mut items {
        if sets.is_next(item) {
            keys.iter().for_each(|key| sets.sign(item, key));
        }
    }
    let missing = items.iter().filter(|item| sets.is_next(item)).map(|item| sets.missing(item));
    let missing = missing.max().unwrap_or_default();
    Ok((items, missing))
}

fn in_force(taken: &TrustReply) -> Result<Exit, CommandFailure> {
    if let Some(refused) = taken.rejected.first() {
        let message = format!("the gateway has refused the change: {}", refused.name);
        return Err(CommandFailure::message(Exit::Trust, message).next("zonemesh authority list"));
    }
    match taken.lacking.first() {
        Some(lacking) => Err(CommandFailure::message(Exit::Negative, lacking.sentence.clone())
            .next("zonemesh authority list")),
        None => Ok(Exit::Ok),
    }
}
