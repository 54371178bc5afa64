//! The load bench of the whole gateway.

fn main() {}
