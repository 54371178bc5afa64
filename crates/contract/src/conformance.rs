//! The far end as an in-memory double, and the stories that every adapter is judged by.
//!
//! The double keeps the far end's promises (dedup, atomic batches, notes as last committed, one
//! open delivery per lane) so that an adapter's test needs neither store nor bridge. What it
//! cannot show, durability over a kill, belongs to the store's suite and the crash stories.

mod double;
pub mod stories;
mod vault;

pub use double::{Bug, Double, FixedClock, Running, State};
pub use vault::Harm;
