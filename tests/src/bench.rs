//! The load bench: memory, processor time, throughput and latency, each beside its aim.

pub mod floor;
