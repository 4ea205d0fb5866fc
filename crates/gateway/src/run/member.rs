//! How this zone becomes a member of its mesh: by the bundle or the invitation of its CONTEXT.
//!
//! It promises to try what may pass for ever, with jitter, and what is refused now and then, as
//! somebody may put it right elsewhere; that a zone which is a member already, has left or was
//! revoked is not joined anew at each boot; and words for whoever made this VM anew. It refuses to
//! decide anything that the daemon decides.

use std::time::Duration;

use tokio::sync::watch;
use zonemesh_api::v1::{ZoneListReply, ZoneState, ZoneView};
use zonemesh_appliance::backoff::Backoff;
use zonemesh_core::mesh::MeshId;
use zonemesh_core::time::UnixMillis;

use super::daemon::{AskedDaemon, DaemonTrouble};
use crate::settings::{GivenZone, WayIn};

/// Before the first new try, at most, and before a later one.
const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];
/// Before what was refused is tried again, at most, and later.
const REFUSED_WAITS: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(600)];

/// Where the zone is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MemberStage {
    /// CONTEXT says nothing of it.
    NotAsked,
    /// Not yet, and why.
    Waiting(String),
    /// Not so: what for, and what to do.
    Refused(MemberRefusal),
    /// This gateway has founded the mesh.
    Founder,
    /// It was let in.
    Member,
}

/// What keeps it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemberRefusal {
    pub(super) code: Option<&'static str>,
    pub(super) text: String,
    pub(super) fix: String,
}

/// Goes the way of `given` to its end, and says each stage.
pub(super) async fn become_member(
    given: GivenZone,
    daemon: AskedDaemon,
    stage: watch::Sender<MemberStage>,
) {
    let mut backoff = Backoff::new(WAITS[0], WAITS[1]);
    let mut refusals = Backoff::new(REFUSED_WAITS[0], REFUSED_WAITS[1]);
    loop {
        let wait = match step(&given, &daemon, &stage).await {
            Ok(reached) => {
                say(&stage, reached);
                return;
            }
            Err(trouble) if trouble.is_refusal => {
                let refusal = refused(&given, trouble);
                say(&stage, MemberStage::Refused(refusal));
                refusals.wait()
            }
            Err(trouble) => {
                say(&stage, MemberStage::Waiting(trouble.text));
                backoff.wait()
            }
        };
        tokio::time::sleep(wait).await;
    }
}

async fn step(
    given: &GivenZone,
    daemon: &AskedDaemon,
    stage: &watch::Sender<MemberStage>,
) -> Result<MemberStage, DaemonTrouble> {
    let zones = daemon.zones().await?;
    match &given.way {
        WayIn::Founding { bundle, invitations_until } => {
            let is_first = MeshId::new(zones.mesh).is_static();
            let mesh = daemon.found(bundle).await?;
            if is_first {
                first_founding(given, &mesh, *invitations_until);
            }
            Ok(MemberStage::Founder)
        }
        WayIn::Joining { invitation, mesh, .. } => {
            if let Some(standing) = standing(&zones, mesh) {
                return Ok(standing);
            }
            let told = |step: &str| say(stage, MemberStage::Waiting(step.to_owned()));
            daemon.join(invitation, told).await?;
            Ok(MemberStage::Member)
        }
    }
}

/// What the zone is in the mesh of its invitation already, if it is anything there.
fn standing(zones: &ZoneListReply, mesh: &MeshId) -> Option<MemberStage> {
    let own: &ZoneView = zones.zones.iter().find(|zone| zone.own)?;
    if zones.mesh != mesh.as_str() {
        return None;
    }
    let (text, fix) = match own.state() {
        ZoneState::Left => (
            format!("zone {} has left the mesh", own.zone),
            "to come back: zonemesh zone join, with the invitation in a file".to_owned(),
        ),
        ZoneState::Revoked => (
            format!("zone {} was revoked: {}", own.zone, own.reason),
            "zonemesh status says by whom; to come back it takes a new invitation".to_owned(),
        ),
        ZoneState::Member => return Some(MemberStage::Member),
        _ => return None,
    };
    Some(MemberStage::Refused(MemberRefusal { code: None, text, fix }))
}

/// An empty state folder may be that of a VM which was made anew, and nobody here can tell.
fn first_founding(given: &GivenZone, mesh: &str, until: Option<UnixMillis>) {
    let zone = &given.zone;
    tracing::info!(mesh, "zone {zone} has founded its mesh, with a new zone key");
    let is_late = until.is_some_and(|until| until < UnixMillis::from(std::time::SystemTime::now()));
    if is_late {
        tracing::warn!(
            "the invitations that were made with this founding bundle have expired: {}",
            made_anew(given)
        );
    } else {
        tracing::info!("{}", made_anew(given));
    }
}

/// What to do where an earlier VM of this zone has lived, and its state is not here.
fn made_anew(given: &GivenZone) -> String {
    let GivenZone { zone, way, .. } = given;
    let restore = "put its state back: systemctl stop zonemeshd, `zonemesh state restore FILE` with \
                   the backup, systemctl start zonemeshd";
    match way {
        WayIn::Founding { .. } => format!(
            "if a gateway of zone {zone} ran before this VM, the other zones do not know this one; {restore}"
        ),
        WayIn::Joining { inviter, .. } => format!(
            "if a gateway of zone {zone} ran before this VM, {restore}; without a backup, invite it anew \
             in zone {inviter}, or wherever an authority key lies: `{}`, give this VM what FILE says as \
             ONEAPP_ZONEMESH_INVITATION, and reboot it",
            given.invited_anew()
        ),
    }
}

fn refused(given: &GivenZone, trouble: DaemonTrouble) -> MemberRefusal {
    let DaemonTrouble { code, text, next, .. } = trouble;
    let anew = made_anew(given);
    let fix = next.map_or_else(|| anew.clone(), |next| format!("{next}; {anew}"));
    MemberRefusal { code: code.map(|code| code.as_str()), text, fix }
}

fn say(stage: &watch::Sender<MemberStage>, reached: MemberStage) {
    let is_new = stage.send_if_modified(|stage| {
        let is_new = *stage != reached;
        stage.clone_from(&reached);
        is_new
    });
    if !is_new {
        return;
    }
    match &reached {
        MemberStage::NotAsked => {}
        MemberStage::Waiting(step) => tracing::info!("{step}"),
        MemberStage::Refused(MemberRefusal { code, text, fix }) => {
            tracing::warn!(code, fix, "{text}");
        }
        MemberStage::Founder => tracing::info!("this zone is the founder of its mesh"),
        MemberStage::Member => tracing::info!("this zone is a member of its mesh"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::usual;

    fn zones(mesh: &str, state: ZoneState) -> ZoneListReply {
        let mut own = ZoneView { zone: "madrid".to_owned(), own: true, ..ZoneView::default() };
        own.set_state(state);
        ZoneListReply { mesh: mesh.to_owned(), zones: vec![own], ..ZoneListReply::default() }
    }

    #[test]
    fn a_zone_that_is_a_member_has_left_or_was_revoked_is_not_joined_at_a_boot() {
        let mesh = MeshId::new("0f".repeat(32));
        let of = |mesh_id: &str, state| standing(&zones(mesh_id, state), &mesh);
        assert_eq!(of(mesh.as_str(), ZoneState::Member), Some(MemberStage::Member));
        for (state, words) in
            [(ZoneState::Left, "has left the mesh"), (ZoneState::Revoked, "was revoked")]
        {
            let Some(MemberStage::Refused(refusal)) = of(mesh.as_str(), state) else {
                panic!("{state:?}");
            };
            assert!(refusal.text.contains(words), "{refusal:?}");
        }
        assert_eq!(of(MeshId::static_peers().as_str(), ZoneState::Configured), None);
        assert_eq!(
            of("other", ZoneState::Member),
            None,
            "the daemon says what it has against that"
        );
        assert_eq!(standing(&ZoneListReply::default(), &mesh), None);
    }

    #[test]
    fn whoever_made_a_vm_anew_is_told_what_to_type() {
        let [bundle, invitation] = usual();
        let trouble = || DaemonTrouble {
            code: Some(zonemesh_core::finding::Code::Unusable),
            text: "this invitation was used by another gateway: ask for a new one".to_owned(),
            next: None,
            is_refusal: true,
        };
        let madrid = refused(&GivenZone::parse(&invitation).unwrap(), trouble());
        for words in [
            "zonemesh state restore FILE",
            "in zone berlin",
            "zonemesh zone invite madrid --prefix 10.10.11.0/24 --federation health-eu=train \
             --token-hash supernode:health-eu=zmt1:a3b724399bf6bec1f14147bd0ba8be8b8888eb0113f95644\
             5a76237154dc246b --out FILE",
            "ONEAPP_ZONEMESH_INVITATION",
        ] {
            assert!(madrid.fix.contains(words), "{}", madrid.fix);
        }
        let berlin = made_anew(&GivenZone::parse(&bundle).unwrap());
        assert!(berlin.contains("the other zones do not know this one"), "{berlin}");
    }
}
