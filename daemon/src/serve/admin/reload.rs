//! A reload on the wire: what it has changed, or why it was refused.

use zonemesh_api::v1::{CompareConfigReply, ConfigMistake, DifferingKey, ReloadReply};
use zonemesh_config::{ConfigError, ConfigErrors, KeyDifference, TakesEffect};
use zonemesh_core::exit::error_line;

use crate::administration::reload::{Comparison, ReloadRefusal, Reloaded, Reloading};
use crate::serve::manager;

/// Reloads, while the service manager knows that.
pub(crate) async fn reload(reloading: &Reloading) -> Result<Reloaded, ReloadRefusal> {
    manager::reloading();
    let reloaded = reloading.reload().await;
    if !reloaded.as_ref().is_ok_and(|reloaded| reloaded.starts_anew) {
        manager::reloaded();
    }
    reloaded
}

/// What lets the daemon's user read a configuration, and nobody else who may not.
const LET_IT_READ: &str = "systemd-tmpfiles --create zonemesh.conf, for a file in /etc/zonemesh, or chgrp zonemesh and chmod g+r; then zonemesh reload";

pub(super) fn reply(reloaded: Result<Reloaded, ReloadRefusal>) -> ReloadReply {
    let refusal = match reloaded {
        Ok(Reloaded { changed, starts_anew, unfinished }) => {
            return ReloadReply {
                applied: true,
                changed: changed.iter().map(key).collect(),
                starts_anew,
                unfinished,
                ..ReloadReply::default()
            };
        }
        Err(refusal) => refusal,
    };
    let denied = refusal.is_denied();
    let next = if denied { LET_IT_READ.to_owned() } else { String::new() };
    let told = ReloadReply { reason: error_line(&refusal), denied, next, ..ReloadReply::default() };
    match refusal {
        ReloadRefusal::Broken(mistakes) | ReloadRefusal::Denied(mistakes) => {
            ReloadReply { mistakes: all(&mistakes), ..told }
        }
        ReloadRefusal::NeedsRestart(keys) => {
            ReloadReply { changed: keys.iter().map(key).collect(), ..told }
        }
        _ => told,
    }
}

/// What a text has otherwise than what is in force; nothing of another gateway's, or of none.
pub(super) fn comparison(reloading: &Reloading, text: &[u8]) -> CompareConfigReply {
    match reloading.compare(text, "the file") {
        Ok(Comparison { is_own: true, changed }) => {
            CompareConfigReply { is_own: true, changed: changed.iter().map(key).collect() }
        }
        Ok(_) | Err(_) => CompareConfigReply::default(),
    }
}

fn key(one: &KeyDifference) -> DifferingKey {
    DifferingKey {
        key: one.key.clone(),
        change: one.kind.as_str().to_owned(),
        takes_effect: match one.effect {
            TakesEffect::OnReload => "reload",
            TakesEffect::Anew => "anew",
            TakesEffect::OnRestart => "restart",
        }
        .to_owned(),
    }
}

fn all(mistakes: &ConfigErrors) -> Vec<ConfigMistake> {
    mistakes.iter().map(mistake).collect()
}

fn mistake(error: &ConfigError) -> ConfigMistake {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    ConfigMistake {
        code: error.code.as_str().to_owned(),
        file: error.file.clone(),
        line: number(error.line),
        column: number(error.column),
        key: error.key.clone(),
        found: error.found.clone(),
        expected: error.expected.clone(),
        fix: error.fix.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_file_that_may_not_be_read_is_told_from_one_that_is_not_there() {
        for (kind, denied) in
            [(io::ErrorKind::PermissionDenied, true), (io::ErrorKind::NotFound, false)]
        {
            let (file, source) = ("zonemesh.toml".into(), io::Error::from(kind));
            let told = reply(Err(ReloadRefusal::Unreadable { file, source }));
            assert!(told.reason.starts_with("cannot read zonemesh.toml: "), "{}", told.reason);
            assert_eq!((told.denied, told.next.is_empty()), (denied, !denied), "{kind}");
        }
    }
}
