//! The way of one message, for whoever traces it.
//!
//! Each step ends with one event of the target [`JOURNEY`] at the level `TRACE`. Nobody pays for it unless somebody
//! listens: `log.filter = "info,wxgate::journey=trace"`, or a build with the feature `otel` and a collector. Texts
//! and names of people are not in it.

/// Target of the events.
///
/// * `step`: `commit` (it is durable and routed), `deliver` (one attempt at one network has an outcome), `show` (it
///   stands in the queues of the clients of one served session);
/// * `post`: our id of the message, the same in all steps, before and after a restart;
/// * `network`: whose step it is: who handed it over, whom it was delivered to, which account's timeline;
/// * `took_us`: how long the step took, in microseconds; it ended when the event was made;
/// * of `deliver` also `job` (`say`, `recall`, `report`), `attempt` (from 1) and `outcome` (`sent`, `refused`,
///   `later`, `uncertain`).
pub const JOURNEY: &str = "wxgate::journey";
