//! Which part of its role's data a SuperNode has: its place among the VMs of its OneFlow role.
//!
//! It promises that no two VMs of a role that live at the same time have one place, and that a VM
//! keeps the place that it was given first, over reboots and scaling, with the number of parts of that
//! time: another number would deal the data anew. It refuses to guess while OneGate does not say.
//! Specification: OneFlow names the VMs of a role `ROLE_NUMBER_(service_ID)`, counts them up for
//! as long as the service lives, and takes the oldest away when it scales down.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use zonemesh_core::exit::error_line;

use crate::files::write_atomic;
use crate::onegate::{OneGate, OneGateError};
use crate::reason::Reason;

/// What OneGate answers a VM that is in no service.
const IN_NO_SERVICE: u16 = 400;

/// A part, counted from 0, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Partition {
    partition_id: u64,
    num_partitions: u64,
}

impl Partition {
    /// As Flower's `--node-config` has it.
    #[must_use]
    pub fn node_config(self) -> String {
        format!("partition-id={} num-partitions={}", self.partition_id, self.num_partitions)
    }
}

/// What the file says: a copied disk brings another VM's.
#[derive(Serialize, Deserialize)]
struct KeptPartition {
    vm: String,
    #[serde(flatten)]
    partition: Partition,
}

/// Where a VM's part comes from.
pub struct PartitionSource {
    onegate: OneGate,
    file: PathBuf,
}

impl PartitionSource {
    /// The service that this OneGate knows; what it says once is kept in `file`.
    #[must_use]
    pub fn new(onegate: OneGate, file: PathBuf) -> Self {
        Self { onegate, file }
    }

    /// This VM's part, as it was given first; none in a VM that is in no service.
    ///
    /// # Errors
    /// OneGate does not say yet; what it says cannot be kept.
    pub async fn kept(&self) -> Result<Option<Partition>, Reason> {
        if let Some(kept) = self.read() {
            return Ok(Some(kept));
        }
        let Some(partition) = self.ask().await? else { return Ok(None) };
        let kept = KeptPartition { vm: self.onegate.vm.clone(), partition };
        let unusable = |problem: String| Reason::Files { problem };
        let text = serde_json::to_vec(&kept).map_err(|error| unusable(error.to_string()))?;
        let written = write_atomic(&self.file, &text, 0o600, None);
        written.map_err(|error| unusable(error_line(&error)))?;
        tracing::info!(partition = %partition.node_config(), "this VM's part of its role's data");
        Ok(Some(partition))
    }

    /// As [`PartitionSource::kept`], without writing anything.
    ///
    /// # Errors
    /// OneGate does not say yet.
    pub async fn known(&self) -> Result<Option<Partition>, Reason> {
        match self.read() {
            Some(kept) => Ok(Some(kept)),
            None => self.ask().await,
        }
    }

    fn read(&self) -> Option<Partition> {
        let text = match std::fs::read(&self.file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => return passed_over(&self.file, &error),
        };
        match serde_json::from_slice::<KeptPartition>(&text) {
            Ok(kept) if kept.vm == self.onegate.vm => Some(kept.partition),
            Ok(_) => None,
            Err(error) => passed_over(&self.file, &error),
        }
    }

    async fn ask(&self) -> Result<Option<Partition>, Reason> {
        match self.onegate.service().await {
            Ok(service) => partition(&service, &self.onegate.vm)
                .map(Some)
                .map_err(|problem| Reason::PartitionUnknown { problem: problem.to_owned() }),
            Err(OneGateError::Refused { status: IN_NO_SERVICE, .. }) => Ok(None),
            Err(error) => Err(Reason::PartitionUnknown { problem: error_line(&error) }),
        }
    }
}

fn passed_over(file: &Path, error: &dyn std::fmt::Display) -> Option<Partition> {
    tracing::warn!(file = %file.display(), %error, "the kept part is not readable: OneGate is asked again");
    None
}

/// The part of this VM in its role.
fn partition(service: &Value, vm: &str) -> Result<Partition, &'static str> {
    let roles = service["SERVICE"]["roles"].as_array();
    let roles = roles.ok_or("what OneGate answers has no roles")?;
    let is_this = |node: &Value| number(&node["deploy_id"]).is_some_and(|id| id.to_string() == vm);
    let nodes_of = |role: &Value| role["nodes"].as_array().cloned().unwrap_or_default();
    let role = roles.iter().find(|role| nodes_of(role).iter().any(is_this));
    let role = role.ok_or("no role of the service has this VM yet")?;
    let mut nodes = nodes_of(role);
    nodes.sort_by_key(|node| number(&node["deploy_id"]));
    let name = role["name"].as_str().unwrap_or_default();
    // Names that do not say it, by a template of the administrator's own: the order in which they came.
    let numbers: Option<Vec<u64>> = nodes.iter().map(|node| in_its_name(node, name)).collect();
    let numbers = numbers.unwrap_or_else(|| (0..).take(nodes.len()).collect());
    let own = nodes.iter().zip(&numbers).find(|(node, _)| is_this(node)).map(|(_, own)| *own);
    let partition_id = own.ok_or("no role of the service has this VM yet")?;
    let highest = numbers.into_iter().max().unwrap_or_default();
    let wanted = number(&role["cardinality"]).unwrap_or_default();
    Ok(Partition { partition_id, num_partitions: wanted.max(highest.saturating_add(1)) })
}

/// OneGate has numbers and texts that are numbers.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// The number of `ROLE_NUMBER_(service_ID)`.
fn in_its_name(node: &Value, role: &str) -> Option<u64> {
    let name = node["vm_info"]["VM"]["NAME"].as_str()?;
    let rest = name.strip_prefix(role)?.strip_prefix('_')?;
    rest.split_once("_(service_")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(cardinality: u64, vms: &[(u64, &str)]) -> Value {
        let node =
            |(id, name): &(u64, &str)| json!({"deploy_id": id, "vm_info": {"VM": {"NAME": name}}});
        let nodes: Vec<Value> = vms.iter().map(node).collect();
        let other = json!({"name": "gateway", "cardinality": 1, "nodes": [{"deploy_id": 3}]});
        let ours = json!({"name": "node", "cardinality": cardinality, "nodes": nodes});
        json!({"SERVICE": {"name": "site", "id": "12", "roles": [other, ours]}})
    }

    fn parts(service: &Value, vms: &[u64]) -> Vec<String> {
        let part = |vm: &u64| partition(service, &vm.to_string()).unwrap().node_config();
        vms.iter().map(part).collect()
    }

    #[test]
    fn the_vms_of_a_role_have_a_part_each_by_the_number_in_their_names() {
        let names: Vec<String> =
            (0..8).map(|number| format!("node_{number}_(service_12)")).collect();
        let vms: Vec<(u64, &str)> = (40..).zip(names.iter().map(String::as_str)).collect();
        let seen = parts(&service(8, &vms), &(40..48).collect::<Vec<_>>());
        let expected = (0..8).map(|id| format!("partition-id={id} num-partitions=8"));
        assert_eq!(seen, expected.collect::<Vec<_>>());
    }

    #[test]
    fn scaling_gives_no_part_twice_and_no_part_beyond_the_number_of_parts() {
        // 2 -> 5 -> 3 -> 4: the oldest go, and numbers go on.
        let left =
            [(42, "node_2_(service_12)"), (43, "node_3_(service_12)"), (44, "node_4_(service_12)")];
        assert_eq!(
            parts(&service(3, &left), &[42, 44]),
            ["partition-id=2 num-partitions=5", "partition-id=4 num-partitions=5"]
        );
        let four = [&left[..], &[(61, "node_5_(service_12)")]].concat();
        assert_eq!(parts(&service(4, &four), &[61]), ["partition-id=5 num-partitions=6"]);
    }

    #[test]
    fn names_by_another_template_count_in_the_order_in_which_the_vms_came() {
        let own = [(9, "flower-c"), (7, "flower-a"), (8, "node_5_(service_12)")];
        assert_eq!(
            parts(&service(3, &own), &[7, 8, 9]),
            [
                "partition-id=0 num-partitions=3",
                "partition-id=1 num-partitions=3",
                "partition-id=2 num-partitions=3"
            ]
        );
    }

    #[test]
    fn a_vm_that_no_role_lists_yet_has_no_part() {
        let early = partition(&service(2, &[(40, "node_0_(service_12)")]), "41");
        assert_eq!(early, Err("no role of the service has this VM yet"));
        assert_eq!(partition(&json!({}), "41"), Err("what OneGate answers has no roles"));
        assert!(partition(&json!({"SERVICE": {"roles": [1, {"nodes": "x"}]}}), "41").is_err());
    }
}
