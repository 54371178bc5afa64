//! Who is who after a relogin.
//!
//! Each login of Web WeChat gives every person and group a new name, and no record carries a permanent id.
//! [`recognise`] decides for each record of a login which known person it is, that it is somebody new, or that
//! the evidence does not decide; [`Book::apply`] makes that what is known at the next login; [`Book::resolve`],
//! [`Book::learn`] and [`Book::undo`] take in what is learned afterwards. All of it is pure: no clock, no
//! randomness, no input or output, and the same input gives the same answers.
//!
//! Two people in one room is the harm to be avoided; a question is the right answer to thin evidence.
//! Source: the paper on contact identity; the numbers of its method are named where they are used.

mod apply;
mod assign;
mod bits;
mod book;
mod census;
mod crowd;
mod groups;
mod lesson;
mod marker;
mod matching;
mod people;
mod sight;
mod strangers;
mod trust;
mod why;

pub use apply::{Answer, Answers};
pub use book::{Book, Group, GroupMember, GroupProfile, KnownMember, Login, Person, Profile, Seen};
pub use lesson::Lesson;
pub use marker::{MarkState, Marked, Marker};
pub use matching::{Kept, Verdict, Verdicts, recognise};
pub use sight::{Codes, Field, GroupSight, Kind, MemberSight, Sight, text_code};
pub use strangers::Stranger;
pub use why::Why;
