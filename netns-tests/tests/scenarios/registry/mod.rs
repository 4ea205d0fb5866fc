//! What gateways know of each other: records over streams and etcd, partitions, disks, clocks.

mod disks;
mod etcd;
mod etcd_with_tls;
mod forged_zone_record;
mod partitions;
mod wrong_clock;
