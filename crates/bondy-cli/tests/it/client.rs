//! The client commands against a real node.

mod bench;
mod call;
mod completion;
mod context;
mod event;
mod figure;
mod guide;
mod page;
mod register;
mod screen;
