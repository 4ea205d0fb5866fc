//! The streams that keep this gateway's registry equal to its neighbours'.

mod counters;
pub(crate) mod dialler;
pub(crate) mod stream;

pub(crate) use dialler::{Neighbour, run as dial};
pub(crate) use stream::{LAST_WORD, ON_ITS_WAY, StreamContext};
