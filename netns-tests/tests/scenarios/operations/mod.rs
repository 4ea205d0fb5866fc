//! What engineers type and see: the documents' commands, restarts, upgrades, `zonemesh`, `wg`, bad input.

mod bad_input;
mod beside_0_2;
mod documented_commands;
mod fault_catalogue;
mod gateway_killed_and_restarted;
mod health;
mod planned_restart;
mod quick_start;
mod reload;
mod service_manager;
mod start_with_what_works;
mod upgrade;
mod upgrade_with_federation;
mod wg_shows_a_gateway;
mod zonemesh_shows_a_gateway;
