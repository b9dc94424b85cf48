//! What the fuzz targets check, each a function of any bytes that panics when something does not hold.
//!
//! The functions live with the ordinary tests, which replay the corpora with them.

#[path = "../../crates/bondy-transport/tests/it/client_oracle/mod.rs"]
pub mod client_oracle;
#[path = "../../crates/bondy-wamp/tests/it/oracle/mod.rs"]
pub mod oracle;
#[path = "../../crates/bondy-transport/tests/it/oracle/mod.rs"]
pub mod transport_oracle;
