//! The life of a session: what to do next (`machine`), the doing (`driver`), and what outlives the
//! process (`saved`).

pub(crate) mod driver;
pub(crate) mod live;
pub(crate) mod machine;
pub(crate) mod saved;
