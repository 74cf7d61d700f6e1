//! Who is calling.

pub mod principal;

pub use principal::{Method, Principal};
