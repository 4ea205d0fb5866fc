//! The gateway's own certificate towards other zones, and the federation CAs that it holds.
//!
//! A CA is made once, kept 0600 and never made anew in place of one that others trust: where that
//! cannot be read, the gateway runs on without it, says so, and goes on announcing the CA certificate
//! it knows.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use zonemesh_config::FederationSettings;
use zonemesh_core::finding::{Code, Evidence, Finding, Subject};
use zonemesh_core::key::ZoneIdentity;
use zonemesh_core::name::{FederationName, ZoneName};
use zonemesh_core::record::{CaCertificate, CaSet, CaState, RecordContent};
use zonemesh_pki::{CurrentLeaf, FederationCa, San, ZoneAuthority, ZoneLeaf};

use crate::facts::disk::federation::CaFiles;
use crate::facts::disk::{DiskWriter, Write};
use crate::failure::{Exit, Failure, OrExit as _};

/// How often the clock is looked at, as it may jump.
const LOOK: Duration = Duration::from_secs(60);

/// Issues this gateway's leaf and renews it at a third of its life.
pub(crate) struct OwnLeaf {
    authority: ZoneAuthority,
    tunnel_ips: Vec<IpAddr>,
    current: CurrentLeaf,
    last: std::sync::Mutex<ZoneLeaf>,
}

impl OwnLeaf {
    pub(crate) fn issue(
        zone: &ZoneName,
        identity: &ZoneIdentity,
        tunnel_ips: &[IpAddr],
    ) -> Result<Self, Failure> {
        let message = || "cannot issue this gateway's certificate".to_owned();
        let authority = ZoneAuthority::from_seed(zone.as_str(), &identity.seed())
            .or_exit(Exit::Trust, message)?;
        let leaf = authority.issue_leaf(tunnel_ips, SystemTime::now());
        let leaf = leaf.or_exit(Exit::Trust, message)?;
        let current = CurrentLeaf::new(&leaf).or_exit(Exit::Trust, message)?;
        let tunnel_ips = tunnel_ips.to_vec();
        Ok(Self { authority, tunnel_ips, current, last: std::sync::Mutex::new(leaf) })
    }

    /// What the TLS configurations show.
    pub(crate) fn current(&self) -> &CurrentLeaf {
        &self.current
    }

    /// The leaf in use.
    pub(crate) fn certificate_pem(&self) -> String {
        self.lock().certificate_pem()
    }

    /// Renews the leaf when it is time, until it is dropped.
    pub(crate) async fn keep_fresh(&self) -> anyhow::Result<()> {
        loop {
            tokio::time::sleep(LOOK).await;
            let now = SystemTime::now();
            if self.lock().renew_at() > now {
                continue;
            }
            let leaf = self.authority.issue_leaf(&self.tunnel_ips, now)?;
            self.current.replace(&leaf)?;
            *self.lock() = leaf;
            tracing::info!("renewed this gateway's certificate");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ZoneLeaf> {
        self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The CAs of the federations whose SuperLink lives in this zone.
pub(crate) struct FederationCas {
    state_folder: PathBuf,
    disk: DiskWriter,
    held: BTreeMap<FederationName, FederationCa>,
    /// Why the CA of a federation cannot be used.
    unusable: BTreeMap<FederationName, String>,
}

impl FederationCas {
    /// Reads the CA of each federation, or makes it. `said` is what this zone has said so far.
    pub(crate) fn open(
        state_folder: &Path,
        federations: &[FederationSettings],
        said: &RecordContent,
        disk: DiskWriter,
    ) -> Self {
        let (mut held, mut unusable) = (BTreeMap::new(), BTreeMap::new());
        for FederationSettings { name, .. } in federations {
            let sets = said.ca_sets.iter().filter(|set| set.federation == *name);
            let announced: Vec<_> =
                sets.flat_map(|set| &set.certificates).map(|ca| ca.pem.as_str()).collect();
            match CaFiles::new(state_folder, name).open(&announced) {
                Ok(ca) => {
                    held.insert(name.clone(), ca);
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::error!(
                        federation = %name, error,
                        "cannot use this federation's CA: its SuperLink cannot be certified until the files are restored"
                    );
                    unusable.insert(name.clone(), error);
                }
            }
        }
        Self { state_folder: state_folder.to_owned(), disk, held, unusable }
    }

    /// One for each federation whose CA cannot be used.
    pub(crate) fn findings(&self) -> impl Iterator<Item = Finding> {
        self.unusable.iter().map(|(federation, error)| {
            Finding::new(Code::FederationCaUnusable, Subject::Federation(federation.clone()))
                .with(Evidence::Reason(error.clone()))
        })
    }

    /// What other zones are to trust.
    pub(crate) fn ca_sets(&self) -> impl Iterator<Item = CaSet> {
        self.held.iter().map(|(federation, ca)| CaSet {
            federation: federation.clone(),
            certificates: vec![CaCertificate {
                pem: ca.certificate_pem().to_owned(),
                state: CaState::Active,
            }],
        })
    }

    /// The CA of `federation`, if it could be read.
    pub(crate) fn get(&self, federation: &FederationName) -> Option<&FederationCa> {
        self.held.get(federation)
    }

    /// All CAs.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&FederationName, &FederationCa)> {
        self.held.iter()
    }

    /// Remembers the certificate that was issued last, for `zonemesh cert show`.
    pub(crate) async fn remember_issued(&self, federation: &FederationName, pem: &str) {
        let file = self.issued_file(federation);
        if let Err(error) = self.disk.write(vec![Write::replace(file.clone(), pem)]).await {
            tracing::warn!(file = %file.display(), %error, "cannot keep a copy of the issued certificate");
        }
    }

    /// The SuperLink certificate that was issued last.
    pub(crate) fn last_issued(&self, federation: &FederationName) -> Option<String> {
        std::fs::read_to_string(self.issued_file(federation)).ok()
    }

    fn issued_file(&self, federation: &FederationName) -> PathBuf {
        CaFiles::new(&self.state_folder, federation).issued()
    }
}

/// The names in a SuperLink's certificate: where it listens, where it is reached, what it is
/// called, loopback for its own processes, and what the configuration adds.
pub(crate) fn superlink_sans(
    federation: &FederationSettings,
    addresses: &[IpAddr],
    tunnel_ips: &[IpAddr],
) -> Vec<San> {
    let loopback = IpAddr::from([127, 0, 0, 1]);
    let ips = addresses.iter().chain(tunnel_ips).copied().chain([loopback]).map(San::Ip);
    let name = San::Dns(federation.name.superlink_tls_name());
    let extra = federation.extra_sans.iter().map(|san| match san {
        zonemesh_config::SubjectName::Ip(ip) => San::Ip(*ip),
        zonemesh_config::SubjectName::Dns(name) => San::Dns(name.clone()),
    });
    let mut sans = Vec::new();
    for san in ips.chain([name]).chain(extra) {
        if !sans.contains(&san) {
            sans.push(san);
        }
    }
    sans
}

#[cfg(test)]
mod tests {
    use zonemesh_core::record::ProtocolRange;

    use super::*;
    use crate::facts::disk::writer;

    fn federation() -> FederationSettings {
        let extra = zonemesh_config::SubjectName::Dns("superlink.example.org".to_owned());
        FederationSettings { name: "health-eu".parse().unwrap(), extra_sans: vec![extra] }
    }

    fn open(folder: &tempfile::TempDir, announced: &[CaSet]) -> FederationCas {
        let said = RecordContent {
            gateways: Vec::new(),
            prefixes: Vec::new(),
            superlinks: Vec::new(),
            ca_sets: announced.to_vec(),
            protocol: ProtocolRange::CURRENT,
            ..RecordContent::default()
        };
        FederationCas::open(folder.path(), &[federation()], &said, writer())
    }

    #[test]
    fn a_ca_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let pem = |cas: &FederationCas| cas.ca_sets().next().unwrap().certificates[0].pem.clone();
        let first = pem(&open(&folder, &[]));
        assert_eq!(pem(&open(&folder, &[])), first);
    }

    #[test]
    fn a_ca_that_cannot_be_read_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let announced: Vec<_> = open(&folder, &[]).ca_sets().collect();
        let key = folder.path().join("federations/health-eu/ca.key");
        std::fs::write(&key, "garbage").unwrap();
        let cas = open(&folder, &[]);
        assert!(cas.iter().next().is_none() && cas.findings().count() == 1);
        assert_eq!(std::fs::read_to_string(&key).unwrap(), "garbage");
        std::fs::remove_file(&key).unwrap();
        let cas = open(&folder, &announced);
        assert!(cas.iter().next().is_none() && cas.findings().count() == 1);
        assert!(!key.exists(), "half a CA that others trust is not made whole with a new key");
    }

    #[test]
    fn a_certificate_that_was_lost_is_taken_from_what_this_zone_has_said() {
        let folder = tempfile::tempdir().unwrap();
        let announced: Vec<_> = open(&folder, &[]).ca_sets().collect();
        std::fs::remove_file(folder.path().join("federations/health-eu/ca.pem")).unwrap();
        let cas = open(&folder, &announced);
        assert_eq!((cas.ca_sets().collect(), cas.findings().count()), (announced, 0));
    }

    #[test]
    fn a_superlink_is_certified_for_all_it_is_called() {
        let sans = superlink_sans(
            &federation(),
            &["10.10.10.5".parse().unwrap()],
            &["10.255.0.1".parse().unwrap()],
        );
        let texts: Vec<_> = sans.iter().map(San::value).collect();
        let expected = [
            "10.10.10.5",
            "10.255.0.1",
            "127.0.0.1",
            "superlink.health-eu.zonemesh.internal",
            "superlink.example.org",
        ];
        assert_eq!(texts, expected);
    }
}
