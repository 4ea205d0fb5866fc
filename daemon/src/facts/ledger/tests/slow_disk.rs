//! Nobody waits for a slow disk but who has to.

use super::*;

/// A disk that takes 10 ms for each write, and finds out whether the ledger can be read meanwhile.
#[derive(Clone, Default)]
struct WatchedDisk {
    ledger: Arc<std::sync::OnceLock<Arc<Ledger>>>,
    writes: Arc<std::sync::atomic::AtomicUsize>,
    barred: Arc<std::sync::atomic::AtomicUsize>,
}

impl Disk for WatchedDisk {
    fn write(&mut self, write: &Write) -> std::io::Result<()> {
        if let Some(ledger) = self.ledger.get().cloned() {
            let (answer, answered) = std::sync::mpsc::channel();
            // It outlives a write that bars it.
            std::thread::spawn(move || {
                answer.send(ledger.read(|registry| registry.records().count()))
            });
            std::thread::sleep(Duration::from_millis(10));
            if answered.recv_timeout(Duration::from_millis(90)).is_err() {
                self.barred.fetch_add(1, Ordering::Relaxed);
            }
            self.writes.fetch_add(1, Ordering::Relaxed);
        }
        crate::facts::disk::FileSystem.write(write)
    }
}

fn superlink(host: u8) -> zonemesh_core::record::SuperLink {
    zonemesh_core::record::SuperLink {
        tls_name: "superlink.example".to_owned(),
        federation: format!("federation-{host}").parse().unwrap(),
        addresses: vec![format!("10.10.10.{host}").parse().unwrap()],
        fleet_port: 9092,
        control_port: 9093,
        flower_version: "1.25.0".to_owned(),
        transport: zonemesh_core::record::FlowerTransport::Grpc,
        readiness: zonemesh_core::record::Readiness::Ready,
        clock_offset_ms: 0,
        admitted: None,
        dns_name: None,
        cas: Vec::new(),
    }
}

#[tokio::test]
async fn while_55_addresses_register_on_a_slow_disk_no_lock_is_held_over_a_write() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), WatchedDisk::default());
    let writer = DiskWriter::start(disk.clone()).unwrap();
    let ledger = Ledger::open(own(), folder.path(), writer.clone()).unwrap();
    assert!(disk.ledger.set(ledger.clone()).is_ok());
    let register = async |host: u8| {
        let add = |draft: &mut RecordContent| draft.superlinks.push(superlink(host));
        ledger.edit(RecordChange::Urgent, add).await.unwrap();
        let issued = folder.path().join(format!("issued-{host}"));
        writer.write(vec![Write::replace(issued, "certificate")]).await.unwrap();
    };
    futures_util::future::join_all((1..=55).map(register)).await;
    assert_eq!(disk.writes.load(Ordering::Relaxed), 110);
    assert_eq!(disk.barred.load(Ordering::Relaxed), 0, "writes under which nobody could read");
    let held = ledger.read(|registry| registry.get(registry.zone()).unwrap().record.clone());
    assert_eq!(held.content.superlinks.len(), 55);
}

#[tokio::test]
async fn a_slow_disk_does_not_hold_up_who_reads() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), TrialDisk::default());
    let ledger = Ledger::open(own(), folder.path(), DiskWriter::start(disk.clone()).unwrap());
    let ledger = ledger.unwrap();
    let held = tokio::task::spawn_blocking(move || {
        let _busy = disk.busy.lock().unwrap();
        std::thread::sleep(Duration::from_millis(300));
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut said = std::pin::pin!(announce(&ledger, "10.10.10.0/24"));
    assert!(tokio::time::timeout(Duration::from_millis(20), &mut said).await.is_err());
    assert_eq!(ledger.read(|registry| registry.records().count()), 0, "nor is it in force yet");
    said.await.unwrap();
    assert_eq!(ledger.read(|registry| registry.records().count()), 1);
    held.await.unwrap();
}
