//! HTML of Matrix ↔ plain text with mentions. Pure.

pub(crate) mod html;
pub(crate) mod markup;
pub(crate) mod tokens;
