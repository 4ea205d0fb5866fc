//! Flower as a process: started behind a guard, its output kept, all of it gone when it should be.
//!
//! It promises that nothing of Flower outlives the companion. It refuses to know what Flower is.

pub mod child;
pub mod guard;
pub mod output;
