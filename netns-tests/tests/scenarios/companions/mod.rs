//! What the companions do for an unmodified Flower, and what they tell when it cannot work.

mod bad_certificate_of_a_superlink;
mod bad_input_of_companions;
mod federation_across_three_zones;
mod flower_releases;
mod flower_user;
mod local_api;
mod lost_superlink;
mod onegate_view;
mod stock_onegate_client;
mod superlink_addresses;
mod superlink_restart_with_database;
mod superlink_without_mesh;
mod supernode_authentication;
mod supernode_boots_before_superlink;
mod vm_without_routes;
mod wan_cut_of_30_s_mid_round;
mod zone_is_out;
