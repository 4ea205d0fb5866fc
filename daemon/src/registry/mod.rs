//! The mesh registry of this gateway: its ledger, and the streams that keep it equal to others.

mod board;
mod complaints;
mod dialler;
mod etcd;
mod ledger;
mod offers;
mod server;
mod stream;
mod trust;

pub(crate) use board::StreamBoard;
pub(crate) use dialler::{Neighbour, run as dial};
pub(crate) use etcd::{EtcdBoard, run as follow_etcd};
pub(crate) use ledger::{Ledger, now};
pub(crate) use server::{Service, bind, run as serve};
pub(crate) use stream::Context as StreamContext;
pub(crate) use trust::Outcome;
