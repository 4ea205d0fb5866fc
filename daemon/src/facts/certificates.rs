//! The gateway's own certificate towards other zones, and the federation CAs that it holds.
//!
//! A CA is made once, kept 0600 and never made anew in place of one that others trust: where that
//! cannot be read, the gateway runs on without it, says so, and goes on announcing the CA certificate
//! it knows.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant, SystemTime};

use zonemesh_config::FederationSettings;
use zonemesh_core::finding::{Code, Evidence, Finding, Subject};
use zonemesh_core::key::ZoneIdentity;
use zonemesh_core::name::{FederationName, ZoneName};
use zonemesh_core::record::{CaCertificate, CaSet, CaState, CertificateDer, RecordContent};
use zonemesh_pki::{CurrentLeaf, FederationCa, San, ZoneAuthority, ZoneLeaf};

use crate::facts::disk::federation::CaFiles;
use crate::facts::disk::{DiskWriter, Write};
use crate::failure::{Exit, Failure, OrExit as _};

/// How often the clock is looked at, as it may jump.
const LOOK: Duration = Duration::from_secs(10);
/// A clock that has jumped further than this was wrong before, or is now.
const JUMP: Duration = Duration::from_secs(60);

/// Issues this gateway's leaf, renews it at a third of its life, and makes it anew when the clock jumps:
/// one of a wrong time is good for nobody.
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
        // Before it is granted an address nobody dials it, and it dials nobody with this.
        let nowhere = [IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
        let tunnel_ips = if tunnel_ips.is_empty() { &nowhere[..] } else { tunnel_ips };
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
            let (before, begun) = (SystemTime::now(), Instant::now());
            tokio::time::sleep(LOOK).await;
            let now = SystemTime::now();
            let has_jumped = has_jumped(before + begun.elapsed(), now);
            if self.lock().renew_at() > now && !has_jumped {
                continue;
            }
            if has_jumped {
                tracing::warn!("the clock was set: this gateway's certificate is made anew");
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

/// True if a clock that should show the one shows the other.
fn has_jumped(expected: SystemTime, shown: SystemTime) -> bool {
    let ahead = shown.duration_since(expected);
    ahead.unwrap_or_else(|behind| behind.duration()) > JUMP
}

/// The CAs of the federations whose SuperLink lives in this zone.
pub(crate) struct FederationCas {
    state_folder: PathBuf,
    disk: DiskWriter,
    known: RwLock<KnownCas>,
}

#[derive(Default)]
struct KnownCas {
    held: BTreeMap<FederationName, OpenedCa>,
    /// Why the CA of a federation cannot be used.
    unusable: BTreeMap<FederationName, String>,
}

#[derive(Clone)]
struct OpenedCa {
    ca: Arc<FederationCa>,
    /// Its certificate, as records carry it.
    certificate: CertificateDer,
}

impl FederationCas {
    /// Reads the CA of each federation, or makes it. `said` is what this zone has said so far.
    pub(crate) fn open(
        state_folder: &Path,
        federations: &[FederationSettings],
        said: &RecordContent,
        disk: DiskWriter,
    ) -> Self {
        let cas = Self { state_folder: state_folder.to_owned(), disk, known: RwLock::default() };
        cas.follow(federations, said);
        cas
    }

    /// Holds the CAs of these federations from now on: those that are not held yet are read, or made.
    pub(crate) fn follow(&self, federations: &[FederationSettings], said: &RecordContent) {
        let mut known = KnownCas::default();
        for FederationSettings { name, .. } in federations {
            if let Some(held) = self.read().held.get(name).cloned() {
                known.held.insert(name.clone(), held);
                continue;
            }
            match self.open_one(name, said) {
                Ok(ca) => drop(known.held.insert(name.clone(), ca)),
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::error!(
                        federation = %name, error,
                        "cannot use this federation's CA: its SuperLink cannot be certified until the files are restored"
                    );
                    known.unusable.insert(name.clone(), error);
                }
            }
        }
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    fn open_one(&self, name: &FederationName, said: &RecordContent) -> anyhow::Result<OpenedCa> {
        let sets = said.ca_sets.iter().filter(|set| set.federation == *name);
        let announced: Vec<String> =
            sets.flat_map(|set| &set.certificates).map(|ca| ca.certificate.pem()).collect();
        let ca = CaFiles::new(&self.state_folder, name).open(&announced)?;
        let certificate = CertificateDer::from_pem(ca.certificate_pem())?;
        Ok(OpenedCa { ca: Arc::new(ca), certificate })
    }

    fn read(&self) -> RwLockReadGuard<'_, KnownCas> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// One for each federation whose CA cannot be used.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let about = |(federation, error): (&FederationName, &String)| {
            Finding::new(Code::FederationCaUnusable, Subject::Federation(federation.clone()))
                .with(Evidence::Reason(error.clone()))
        };
        self.read().unusable.iter().map(about).collect()
    }

    /// What other zones are to trust.
    pub(crate) fn ca_sets(&self) -> Vec<CaSet> {
        let set = |(federation, held): (&FederationName, &OpenedCa)| CaSet {
            federation: federation.clone(),
            certificates: vec![CaCertificate {
                certificate: held.certificate.clone(),
                state: CaState::Active,
            }],
        };
        self.read().held.iter().map(set).collect()
    }

    /// The CA of `federation`, if it could be read.
    pub(crate) fn get(&self, federation: &FederationName) -> Option<Arc<FederationCa>> {
        self.read().held.get(federation).map(|held| held.ca.clone())
    }

    /// The certificates of all CAs, by their federations.
    pub(crate) fn certificates(&self) -> BTreeMap<FederationName, String> {
        let known = self.read();
        let pem = |held: &OpenedCa| held.ca.certificate_pem().to_owned();
        known.held.iter().map(|(federation, held)| (federation.clone(), pem(held))).collect()
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

    #[test]
    fn a_clock_that_jumps_either_way_is_noticed_and_one_that_is_slewed_is_not() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert!(has_jumped(at(1_000_000), at(1_000_061)));
        assert!(has_jumped(at(1_000_000), at(740_000)));
        assert!(!has_jumped(at(1_000_000), at(1_000_060)));
        assert!(!has_jumped(at(1_000_000), at(999_999)));
    }

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
        let pem = |cas: &FederationCas| cas.ca_sets()[0].certificates[0].certificate.pem();
        let first = pem(&open(&folder, &[]));
        assert_eq!(pem(&open(&folder, &[])), first);
    }

    #[test]
    fn a_ca_that_cannot_be_read_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let announced = open(&folder, &[]).ca_sets();
        let key = folder.path().join("federations/health-eu/ca.key");
        std::fs::write(&key, "garbage").unwrap();
        let cas = open(&folder, &[]);
        assert!(cas.certificates().is_empty() && cas.findings().len() == 1);
        assert_eq!(std::fs::read_to_string(&key).unwrap(), "garbage");
        std::fs::remove_file(&key).unwrap();
        let cas = open(&folder, &announced);
        assert!(cas.certificates().is_empty() && cas.findings().len() == 1);
        assert!(!key.exists(), "half a CA that others trust is not made whole with a new key");
    }

    #[test]
    fn a_certificate_that_was_lost_is_taken_from_what_this_zone_has_said() {
        let folder = tempfile::tempdir().unwrap();
        let announced = open(&folder, &[]).ca_sets();
        std::fs::remove_file(folder.path().join("federations/health-eu/ca.pem")).unwrap();
        let cas = open(&folder, &announced);
        assert_eq!((cas.ca_sets(), cas.findings().len()), (announced, 0));
    }

    #[test]
    fn a_federation_that_comes_gets_a_ca_and_the_others_keep_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let cas = open(&folder, &[]);
        let before = cas.ca_sets();
        let new =
            FederationSettings { name: "finance-eu".parse().unwrap(), extra_sans: Vec::new() };
        cas.follow(&[new.clone(), federation()], &RecordContent::farewell());
        assert_eq!((cas.ca_sets().len(), &cas.ca_sets()[1]), (2, &before[0]));
        let made = cas.ca_sets()[0].clone();
        cas.follow(&[new], &RecordContent::farewell());
        assert_eq!(cas.ca_sets(), [made], "one that goes is announced no more");
        cas.follow(&[federation()], &RecordContent::farewell());
        assert_eq!(cas.ca_sets(), before, "its files stay");
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
