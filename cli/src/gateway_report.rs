//! What the companion of a gateway's VM says beside its daemon: how the zone's way into its mesh goes.
//!
//! Promises: where the daemon knows only that it is in no mesh, the companion's reason and steps are
//! told; a file that is not there, or of another form, changes nothing. Refuses to judge what it says.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use serde::Deserialize;
use zonemesh_api::view::FindingView;
use zonemesh_core::finding::Code;

/// Where `zonemesh-gateway run` writes it.
const USUAL: &str = "/run/zonemesh-gateway/status.json";
/// More than this it never writes.
const MOST: u64 = 64 << 10;

/// What is of interest in it.
#[derive(Debug, Deserialize)]
struct ReportedSteps {
    schema: String,
    ready: bool,
    missing: Option<String>,
    code: Option<String>,
    fix: Option<String>,
}

/// Tells what keeps the zone out of its mesh, and the steps, where the daemon cannot know.
pub(crate) fn beside(findings: &mut [FindingView]) {
    let is_it = |finding: &&mut FindingView| finding.code == Code::NoMesh.as_str();
    let Some(finding) = findings.iter_mut().find(is_it) else { return };
    if let Some(report) = read() {
        add(finding, report);
    }
}

fn read() -> Option<ReportedSteps> {
    // Elsewhere, as its `--status` says.
    let path = std::env::var_os("ZONEMESH_GATEWAY_STATUS");
    let path = path.map_or_else(|| USUAL.into(), PathBuf::from);
    let mut text = Vec::new();
    // A pipe in its place is not waited for.
    if !std::fs::metadata(&path).ok()?.is_file() {
        return None;
    }
    File::open(path).ok()?.take(MOST).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn add(finding: &mut FindingView, report: ReportedSteps) {
    let ReportedSteps { schema, ready, missing, code, fix } = report;
    if schema != "zonemesh/gateway/v1" || ready {
        return;
    }
    if let (Some(missing), Some(fix)) = (missing, fix) {
        let code = code.map(|code| format!("{code} ")).unwrap_or_default();
        finding.sentence = format!("{}: zonemesh-gateway: {code}{missing}", finding.sentence);
        finding.fix = fix;
    }
}

#[cfg(test)]
mod tests {
    use zonemesh_api::v1::Finding;

    use super::*;

    #[test]
    fn the_steps_of_the_companion_stand_in_the_place_of_the_usual_ones() {
        let told = |json: &str| {
            let finding = Finding {
                code: "P321".into(),
                sentence: "nothing is founded or joined here".into(),
                fix: "`zonemesh zone join FILE`".into(),
                ..Finding::default()
            };
            let mut finding = FindingView::from(finding);
            if let Ok(report) = serde_json::from_str(json) {
                add(&mut finding, report);
            }
            (finding.sentence, finding.fix)
        };
        let report = r#"{"schema": "zonemesh/gateway/v1", "zone": "madrid", "ready": false,
            "missing": "this invitation was used", "code": "T420", "fix": "invite it anew",
            "local_api": null}"#;
        let (sentence, fix) = told(report);
        assert!(sentence.ends_with("here: zonemesh-gateway: T420 this invitation was used"));
        assert_eq!(fix, "invite it anew");
        for other in [
            report.replace("gateway/v1", "gateway/v2"),
            report.replace("false", "true"),
            report.replace("\"invite it anew\"", "null"),
            "{".to_owned(),
        ] {
            assert_eq!(told(&other).1, "`zonemesh zone join FILE`", "{other}");
        }
    }
}
