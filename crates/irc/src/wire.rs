//! IRC's words: lines, tags, splitting, comparing names. Bytes and values only, no input or output.

pub mod casemap;
pub mod format;
pub mod framing;
pub mod message;
pub mod numeric;
pub mod split;
pub mod tags;
