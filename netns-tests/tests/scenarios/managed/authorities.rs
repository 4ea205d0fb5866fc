//! Two authorities must sign, one of them offline: a zone joins, and is revoked, by files carried by
//! hand.

use std::time::Duration;

use anyhow::{Result, ensure};
use netns_tests::lab::Lab;
use netns_tests::mesh::{Mesh, patience};
use netns_tests::process::Process;
use netns_tests::wait::{Look, until};

use super::{ZONES, command, invite, refused, run, say, without_peer};

#[test]
fn a_zone_joins_when_the_offline_authority_has_signed_and_not_before() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..2])?;
    let mut mesh = Mesh::strangers(&lab)?;
    let file = |name: &str| lab.folder().join(name).display().to_string();
    let [key, draft, signed] = ["authority.key", "draft", "signed"].map(file);
    let public = say(&mut mesh, "berlin", &["key", "generate", "authority", "--out", &key])?;
    let init = ["mesh", "init", "--threshold", "2", "--authority", public.trim()];
    let said = say(&mut mesh, "berlin", &init)?;
    ensure!(said.contains("other authorities must sign the first grants"), "{said}");
    let [first, granted] = ["first", "first.signed"].map(file);
    say(&mut mesh, "berlin", &["trust", "export", "--out", &first])?;
    say(&mut mesh, "berlin", &["trust", "sign", &first, "--key", &key, "--out", &granted])?;
    let zones = mesh.gateway("berlin")?.ask(&["zone", "list"])?;
    ensure!(zones["zones"][0]["state"] == "configured", "{zones}");
    say(&mut mesh, "berlin", &["trust", "import", &granted])?;
    let zones = mesh.gateway("berlin")?.ask(&["zone", "list"])?;
    ensure!(zones["zones"][0]["state"] == "member", "{zones}");
    let invitation = invite(&lab, &mut mesh, lab.zone("madrid")?, &[])?;
    let joining = command(&mut mesh, "madrid", &["zone", "join", &invitation])?;
    let mut joining = Process::spawn("madrid-join", joining, lab.folder())?;
    joining.wait_for("waiting until an authority approves", patience())?;
    until("madrid to wait at berlin", patience(), || {
        let zones = mesh.gateway("berlin")?.ask(&["zone", "list"])?;
        Ok(Look::<()>::when(zones["pending"][0]["zone"] == "madrid", &zones))
    })?;

    let approved = run(&mut mesh, "berlin", &["zone", "approve", "madrid", "--out", &draft])?;
    ensure!(approved.status.code() == Some(1), "one signature was enough: {approved:?}");
    let said = say(&mut mesh, "berlin", &["trust", "show", &draft])?;
    ensure!(said.contains("grant") && said.contains("madrid"), "{said}");
    // One signature is not enough: the item may be held, nobody is a member by it.
    run(&mut mesh, "berlin", &["trust", "import", &draft])?;
    let zones = mesh.gateway("berlin")?.ask(&["zone", "list"])?;
    ensure!(zones["zones"].as_array().is_some_and(|zones| zones.len() == 1), "{zones}");
    ensure!(zones["pending"][0]["zone"] == "madrid", "{zones}");
    say(&mut mesh, "berlin", &["trust", "sign", &draft, "--key", &key, "--out", &signed])?;
    say(&mut mesh, "berlin", &["trust", "import", &signed])?;
    let (code, said) = joining.wait_for_end(patience())?;
    ensure!(code == 0 && said.ends_with("this zone is a member\n"), "{code}: {said}");
    mesh.wait_until_connected(patience())?;

    // And out again, the same way.
    let [draft, signed] = ["revocation", "revocation.signed"].map(file);
    let revoke = ["zone", "revoke", "madrid", "--confirm", "madrid", "--out", &draft];
    ensure!(run(&mut mesh, "berlin", &revoke)?.status.code() == Some(1));
    say(&mut mesh, "berlin", &["trust", "sign", &draft, "--key", &key, "--out", &signed])?;
    say(&mut mesh, "berlin", &["trust", "import", &signed])?;
    without_peer(&mut mesh, "berlin", "madrid", Duration::from_secs(5))?;
    let said = refused(&mut mesh, "berlin", &["zone", "invite", "madrid"], 2)?;
    ensure!(said.contains("--prefix"), "{said}");
    lab.succeeded()
}
