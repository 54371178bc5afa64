//! The life of a session: what to do next (`machine`), the doing (`driver`), the list of
//! contacts beside it (`look`), how time goes (`passing`), what lets sends wait (`hold`), and what outlives the process (`saved`).

pub(crate) mod driver;
pub(crate) mod hold;
pub(crate) mod live;
mod look;
pub(crate) mod machine;
pub(crate) mod passing;
pub(crate) mod saved;
