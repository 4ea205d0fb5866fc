//! The texts inside a template that have a grammar of their own: user inputs, expressions of
//! policies, and the placeholders that are ours.

pub(crate) mod elasticity;
pub(crate) mod input;
pub(crate) mod placeholder;
