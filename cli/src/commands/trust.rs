//! Trust items as files: for authorities whose keys lie offline.
//!
//! A file has one line of base64 for each item. Nothing in it is secret, and nothing is believed
//! because it stands there: every gateway checks the signatures itself.

use std::io::Write;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zonemesh_api::v1::{TrustExportRequest, TrustImportRequest};
use zonemesh_core::membership::{
    AuthorityIdentity, AuthorityPublicKey, ItemError, SignedTrustItem,
};
use zonemesh_core::not_base64::NotBase64;

use super::signing::Sets;
use crate::arguments::{KeyKind, TrustVerb};
use crate::daemon::{body, change};
use crate::failure::{CommandFailure, Exit, OrFail as _};
use crate::keys;
use crate::output::Printer;
use crate::secret_file::{self, Reserved};
use crate::view::items::ItemsView;
use crate::view::mesh::TrustView;

/// As much as a gateway holds, in base64.
const FILE_MAX: u64 = 32 << 20;

/// Why a line is no trust item.
#[derive(Debug, thiserror::Error)]
enum LineError {
    #[error("line {0} is not base64")]
    Base64(usize, #[source] NotBase64),
    #[error("line {0} is no trust item")]
    Item(usize, #[source] ItemError),
    #[error("there is no trust item in it")]
    Nothing,
}

pub(super) fn trust(
    socket: &Path,
    verb: TrustVerb,
    output: Printer,
    out: &mut impl Write,
) -> Result<Exit, CommandFailure> {
    match verb {
        TrustVerb::Export { pending, out: file } => {
            output.show(&export(socket, pending, &file)?, out)?;
        }
        TrustVerb::Show { file } => output.show(&ItemsView::new(&read(&file)?, None)?, out)?,
        TrustVerb::Sign { file, key, authorities, out: signed } => {
            output.show(&sign(&file, &key, authorities, &signed)?, out)?;
        }
        TrustVerb::Import { file } => return import(socket, &file, output, out),
    }
    Ok(Exit::Ok)
}

fn export(
    socket: &Path,
    pending: Option<String>,
    file: &Path,
) -> Result<ItemsView, CommandFailure> {
    let reserved = Reserved::new(file)?;
    let request = TrustExportRequest { pending_zone: pending.unwrap_or_default() };
    let reply = change(socket, async |mut mesh| mesh.trust_export(request).await.map(body))?;
    let items = reply.items.iter().map(|item| SignedTrustItem::from_file_bytes(item));
    let items: Vec<_> = items
        .collect::<Result<_, _>>()
        .or_exit(Exit::VersionSkew, || "the daemon answered with no trust item".to_owned())?;
    reserved.write(&lines(&items))?;
    ItemsView::new(&items, Some(file))
}

fn sign(
    file: &Path,
    key: &Path,
    authorities: bool,
    out: &Path,
) -> Result<ItemsView, CommandFailure> {
    let mut items = read(file)?;
    let identity = authority_key(key)?;
    let public = identity.public_key();
    let sets = Sets::of(&items);
    if !authorities && items.iter().any(|item| sets.awaits(item)) {
        let message = format!("{} changes who may sign for the mesh", file.display());
        let next = format!(
            "zonemesh trust show {}; if that is wanted, sign with --authorities",
            file.display()
        );
        return Err(CommandFailure::message(Exit::Policy, message).next(next));
    }
    let entitled = sets.entitled(&items);
    let before = items.clone();
    items.iter_mut().for_each(|item| sets.sign(item, &identity));
    if items == before {
        let signs = |item: &SignedTrustItem| item.signers().is_some_and(|s| s.contains(&public));
        if let Some(entitled) = &entitled
            && !entitled.is_empty()
            && !before.iter().any(signs)
        {
            return Err(not_entitled(&public, entitled));
        }
        let message = format!("nothing in {} lacks a signature of this key", file.display());
        return Err(CommandFailure::message(Exit::Negative, message)
            .next(format!("zonemesh trust show {}", file.display())));
    }
    let reserved = Reserved::new(out)?;
    // An item that cannot be read is not signed: `ItemsView` has decoded each.
    let view = ItemsView::new(&items, Some(out))?.signed(&public, entitled.is_some());
    reserved.write(&lines(&items))?;
    Ok(view)
}

/// An authority's key. That of a zone or of a tunnel looks the same, and is told by its name.
pub(super) fn authority_key(file: &Path) -> Result<AuthorityIdentity, CommandFailure> {
    if let Some(kind @ (KeyKind::Zone | KeyKind::Wireguard)) = keys::kind_by_name(file) {
        let whose = if matches!(kind, KeyKind::Zone) { "a zone's" } else { "a tunnel's" };
        let message =
            format!("{} holds {whose} key by its name, and no authority's", file.display());
        let next = "name an authority's key file: authority.key, or an owner's";
        return Err(CommandFailure::message(Exit::Configuration, message).next(next));
    }
    AuthorityIdentity::from_base64(&secret_file::read(file)?)
        .or_exit(Exit::Configuration, || format!("{} holds no key", file.display()))
}

/// A key that may sign nothing of what was to be signed.
pub(super) fn not_entitled<'k>(
    key: &AuthorityPublicKey,
    entitled: impl IntoIterator<Item = &'k AuthorityPublicKey>,
) -> CommandFailure {
    let entitled: Vec<_> = entitled.into_iter().map(ToString::to_string).collect();
    let message = format!(
        "the signature of {key} does not count here; those of these do: {}",
        entitled.join(", ")
    );
    CommandFailure::message(Exit::Policy, message)
        .next("the same with the file of one of these keys")
}

fn import(
    socket: &Path,
    file: &Path,
    output: Printer,
    out: &mut impl Write,
) -> Result<Exit, CommandFailure> {
    let items = read(file)?.iter().map(SignedTrustItem::to_file_bytes).collect();
    let request = TrustImportRequest { items };
    let reply = change(socket, async |mut mesh| mesh.trust_import(request).await.map(body))?;
    let view = TrustView::new(reply, None);
    output.show(&view, out)?;
    Ok(match (view.has_refusals(), view.is_complete()) {
        (true, _) => Exit::Trust,
        (false, false) => Exit::Negative,
        (false, true) => Exit::Ok,
    })
}

/// The lines of items in their stored form.
pub(super) fn stored_lines(stored: &[Vec<u8>]) -> String {
    stored.iter().map(|item| STANDARD.encode(item)).collect::<Vec<_>>().join("\n")
}

pub(super) fn lines(items: &[SignedTrustItem]) -> String {
    stored_lines(&items.iter().map(SignedTrustItem::to_file_bytes).collect::<Vec<_>>())
}

/// The items of a file.
pub(super) fn read(file: &Path) -> Result<Vec<SignedTrustItem>, CommandFailure> {
    let text = secret_file::read_up_to(file, FILE_MAX)?;
    items(&text).or_exit(Exit::Trust, || file.display().to_string())
}

fn items(text: &str) -> Result<Vec<SignedTrustItem>, LineError> {
    let filled = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let item = |(number, line): (usize, &str)| {
        let bytes = STANDARD.decode(line.trim());
        let bytes = bytes.map_err(|error| LineError::Base64(number, error.into()))?;
        SignedTrustItem::from_file_bytes(&bytes).map_err(|error| LineError::Item(number, error))
    };
    let items: Vec<_> = filled.map(item).collect::<Result<_, _>>()?;
    if items.is_empty() { Err(LineError::Nothing) } else { Ok(items) }
}
