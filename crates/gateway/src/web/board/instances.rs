//! The instances that share the database, for administrators.

use maud::{Markup, html};

use super::words::{Words, fill};
use crate::wiring::Parts;

/// Who takes part, and how many accounts each runs; nothing where the store is a file.
pub(super) fn instances(parts: &Parts, words: &Words) -> Markup {
    let Some(lead) = &parts.lead else { return html! {} };
    let all = lead.all();
    html! {
        h2 { (words.instances) }
        div.wide { table {
            thead { tr { th scope="col" { (words.instance) } th scope="col" { (words.does) } th scope="col" { (words.accounts) } } }
            tbody { @for one in &all {
                tr {
                    td { (one.name) @if !one.address.is_empty() { " " span.soft { (one.address) } } }
                    td { (if one.is_leader { words.leads } else { words.works }) }
                    td { (one.accounts) }
                }
            } }
        } }
        @if all.len() == 1 { p.soft { (fill(words.alone, all.first().map(|one| one.name.as_str()).unwrap_or_default())) } }
    }
}
