//! What tunnels carry and what they survive: addresses, lanes, path MTU, outages, keys, fail closed.

mod busy_threads;
mod cloned_gateway;
mod endpoint_names;
mod foreign_inner_addresses;
mod goodbye;
mod idle_outage_of_5_minutes;
mod ipv6_underlay;
mod key_rotation;
mod lan_side;
mod lanes;
mod meddling;
mod nothing_leaves_in_the_clear;
mod one_way;
mod outer_addresses;
mod path_liveness;
mod path_mtu;
pub(crate) mod plain_wireguard_peer;
mod refused_sends;
mod routes_of_others;
mod stale_translation;
mod without_an_agent;
