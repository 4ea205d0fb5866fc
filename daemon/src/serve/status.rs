//! What a refusal is on the wire.

use tonic::{Code, Status};
use zonemesh_api::wire::finding::{with_code, with_next};
use zonemesh_core::invitation::RedeemError;
use zonemesh_core::membership::DraftError;

use crate::administration::{NotRedeemed, Refusal};
use crate::facts::ledger::NotPublished;

fn code(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::Unmanaged
        | Refusal::Revoked
        | Refusal::LastMember
        | Refusal::NoEndpoint
        | Refusal::NoOwnTunnelIp
        | Refusal::NotPending(_)
        | Refusal::HeldByOther { .. }
        | Refusal::PutOut(..)
        | Refusal::NotGranted
        | Refusal::Pin(_)
        | Refusal::Join(_)
        | Refusal::Key(_)
        | Refusal::Listen(_) => Code::FailedPrecondition,
        Refusal::Managed(_) | Refusal::OtherKey(_) | Refusal::Overlap { .. } => Code::AlreadyExists,
        Refusal::Draft(error) => match error {
            DraftError::Overlap(..) | DraftError::KeyOfOther(_) => Code::AlreadyExists,
            DraftError::UnknownZone(_)
            | DraftError::UnknownAuthority(_)
            | DraftError::NotAmongThem(_) => Code::NotFound,
            DraftError::KnownAuthority(_) | DraftError::SameAuthorities => Code::AlreadyExists,
            DraftError::RevokedKey(_)
            | DraftError::LastAuthority
            | DraftError::UsedUp(_)
            | DraftError::TooManyZones
            | DraftError::TooFewLeft { .. } => Code::FailedPrecondition,
            DraftError::Item(_)
            | DraftError::Authorities(..)
            | DraftError::Owners(_)
            | DraftError::HostBits(_)
            | DraftError::Reserved(..) => Code::InvalidArgument,
        },
        Refusal::UnknownZone(_) => Code::NotFound,
        Refusal::Invitation(_) | Refusal::Given(..) => Code::Unauthenticated,
        Refusal::Unreached(..) => Code::Unavailable,
        Refusal::BookFull | Refusal::NoTunnelIp => Code::ResourceExhausted,
        Refusal::OwnZone
        | Refusal::OtherZone { .. }
        | Refusal::NoPrefix
        | Refusal::TooMuch
        | Refusal::HoldsOuter { .. }
        | Refusal::Item(..)
        | Refusal::Rejected(_) => Code::InvalidArgument,
        Refusal::Disk(_)
        | Refusal::KeyFile(_)
        | Refusal::Randomness(_)
        | Refusal::Unpublished(NotPublished::Disk(_)) => Code::Internal,
        Refusal::Unpublished(NotPublished::Refused(_) | NotPublished::Left) => {
            Code::FailedPrecondition
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let told = with_code(Self::new(code(&refusal), refusal.to_line()), refusal.finding());
        with_next(told, refusal.next())
    }
}

impl From<NotRedeemed> for Status {
    fn from(refused: NotRedeemed) -> Self {
        let text = refused.to_string();
        match refused {
            NotRedeemed::Protocol => Self::failed_precondition(text),
            NotRedeemed::Invitation(RedeemError::Record | RedeemError::OutOfBounds(_)) => {
                Self::failed_precondition(text)
            }
            NotRedeemed::NobodyInvited | NotRedeemed::Invitation(_) => Self::unauthenticated(text),
            NotRedeemed::Disk(_) => Self::unavailable(text),
            NotRedeemed::Refused(refusal) => refusal.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use zonemesh_api::wire::finding::told_code;
    use zonemesh_core::finding;

    use super::*;

    #[test]
    fn an_invitation_that_cannot_be_used_is_no_matter_of_policy() {
        let unusable = Status::from(Refusal::Invitation("it was used".to_owned()));
        assert_eq!(told_code(&unusable), Some(finding::Code::Unusable));
        assert_eq!(unusable.code(), Code::Unauthenticated);
        for error in [RedeemError::Invalid, RedeemError::Used, RedeemError::Expired] {
            let told = Status::from(NotRedeemed::from(error));
            assert_eq!(told.code(), Code::Unauthenticated, "{error}");
        }
        let told = Status::from(NotRedeemed::from(RedeemError::Record));
        assert_eq!(told.code(), Code::FailedPrecondition);
    }

    #[test]
    fn an_inviter_that_cannot_be_reached_is_named_as_such() {
        let code = finding::Code::HandshakesUnanswered;
        let silent = Status::from(Refusal::Unreached(code, "no answer".to_owned()));
        assert_eq!((told_code(&silent), silent.code()), (Some(code), Code::Unavailable));
    }
}
