//! Authentication: the specification's vectors, those of the RFCs, both halves against each other, and hostile peers.

mod cra;
mod cryptosign;
mod scram;
