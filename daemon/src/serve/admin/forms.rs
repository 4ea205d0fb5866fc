//! What stands in requests and answers about the mesh, from and into the daemon's own types. What cannot
//! be read is refused with the field's name.

use tonic::Status;
use zonemesh_api::v1::{
    AuthorityChangeReply, AuthorityChangeRequest, LackingItem, LackingReason, TrustReply,
};
use zonemesh_api::wire::mesh::trust_reply;
use zonemesh_core::key::KeyError;
use zonemesh_core::membership::{AuthorityEdit, SignedTrustItem};
use zonemesh_core::name::ZoneName;

use super::zone_list::texts;
use crate::administration::{
    DisputedKeys, DraftedChange, IneffectiveItem, Ineffectiveness, Refusal, SignedChange,
};
use crate::facts::ledger::TrustChange;

pub(super) fn trust_items(stored: Vec<Vec<u8>>) -> Result<Vec<SignedTrustItem>, Refusal> {
    let items = stored.into_iter().enumerate().map(|(index, bytes)| {
        SignedTrustItem::from_file_bytes(&bytes).map_err(|error| Refusal::Item(index, error))
    });
    items.collect()
}

/// The keys that an engineer has confirmed, if any.
pub(super) fn disputed_keys(
    zone_key: &str,
    revokes_key: &str,
) -> Result<Option<DisputedKeys>, Status> {
    let key = |field: &str, text: &str| {
        let invalid = |error: KeyError| Status::invalid_argument(format!("{field}: {error}"));
        text.parse().map_err(invalid)
    };
    if zone_key.is_empty() && revokes_key.is_empty() {
        return Ok(None);
    }
    let (joiner, granted) = (key("zone_key", zone_key)?, key("revokes_key", revokes_key)?);
    Ok(Some(DisputedKeys { joiner, granted }))
}

pub(super) fn authority_edit(request: AuthorityChangeRequest) -> Result<AuthorityEdit, Status> {
    Ok(AuthorityEdit {
        add: each("add", &request.add)?.into_iter().collect(),
        remove: each("remove", &request.remove)?.into_iter().collect(),
        add_owners: each("add_owners", &request.add_owners)?.into_iter().collect(),
        remove_owners: each("remove_owners", &request.remove_owners)?.into_iter().collect(),
        threshold: (request.threshold > 0).then_some(request.threshold),
        stolen: request.stolen,
        leave_out: each("leave_out", &request.leave_out)?.into_iter().collect(),
        bring_back: each("bring_back", &request.bring_back)?.into_iter().collect(),
        renew: request.renew,
    })
}

pub(super) fn drafted_change(drafted: &DraftedChange) -> AuthorityChangeReply {
    let summary = &drafted.summary;
    AuthorityChangeReply {
        items: drafted.items.iter().map(SignedTrustItem::to_file_bytes).collect(),
        stay: texts(&summary.stay),
        out: texts(&summary.out),
        since_last: texts(&summary.since_last),
        by_removed: texts(&summary.by_removed),
        back: texts(&summary.back),
        not_compared: drafted.not_compared.iter().map(ToString::to_string).collect(),
    }
}

pub(super) fn reply(signed: SignedChange) -> TrustReply {
    let TrustChange { outcomes, members } = signed.change;
    TrustReply {
        unfinished: signed.unfinished.iter().map(SignedTrustItem::to_file_bytes).collect(),
        signatures_missing: signed.missing,
        lacking: signed.lacking.into_iter().map(lacking).collect(),
        warnings: signed.warnings,
        notes: signed.notes,
        ..trust_reply(&outcomes, &members)
    }
}

fn lacking(item: IneffectiveItem) -> LackingItem {
    let reason = match item.why {
        Ineffectiveness::Unsigned => LackingReason::Unsigned,
        Ineffectiveness::NotFollowed => LackingReason::NotFollowed,
        Ineffectiveness::Overtaken => LackingReason::Overtaken,
    };
    LackingItem { sentence: item.sentence, reason: reason.into() }
}

pub(super) fn zone(text: &str) -> Result<ZoneName, Status> {
    text.parse().map_err(|error| Status::invalid_argument(format!("zone: {error}")))
}

pub(super) fn each<T>(field: &str, texts: &[String]) -> Result<Vec<T>, Status>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    let parsed = texts.iter().map(|text| {
        let invalid = |error| Status::invalid_argument(format!("{field}: {text:?}: {error}"));
        text.parse().map_err(invalid)
    });
    parsed.collect()
}
