//! Scenarios over the real binaries, one file each, its topology drawn on top.
//!
//! Not part of plain `cargo test` (`test = false` in Cargo.toml): they need namespaces, the built
//! binaries and Flower. `make test` brings all three and runs them with nextest's `scenarios` profile.

mod bad_certificate_of_a_superlink;
mod bad_input;
mod bad_input_of_companions;
mod busy_threads;
#[path = "../docs/documented_commands.rs"]
mod documented_commands;
mod endpoint_names;
mod etcd_with_tls;
mod federation_across_three_zones;
mod forged_zone_record;
mod gateway_killed_and_restarted;
mod idle_outage_of_5_minutes;
mod inner_source_of_another_zone;
mod ipv6_underlay;
mod join_by_invitation;
mod key_rotation;
mod lanes;
mod local_api;
mod managed;
#[path = "../docs/markdown.rs"]
mod markdown;
mod nothing_leaves_in_the_clear;
mod path_liveness;
mod path_mtu;
mod planned_restart;
#[path = "../docs/quick_start.rs"]
mod quick_start;
mod superlink_restart_with_database;
mod supernode_boots_before_superlink;
mod threats;
mod wan_cut_of_30_s_mid_round;
mod wg_shows_a_gateway;
mod zonemesh_shows_a_gateway;
