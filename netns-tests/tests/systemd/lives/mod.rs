//! Whole lives of the appliances: images with the package in them, VMs made of these by a CONTEXT and
//! nothing else, on a real systemd, to a right digest of a real training run.

mod again;
mod both;
mod context;
mod false_gateway;
mod flowers;
mod image;
mod life;
mod one_life;
mod onegate_away;
mod orders;
mod roles;
mod vm;

pub(crate) use image::{one_apps, own_one_apps};
