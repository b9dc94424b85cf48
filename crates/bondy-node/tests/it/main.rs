//! The node through its outermost boundaries.

mod config;
