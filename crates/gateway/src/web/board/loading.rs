//! How far the first reading of an account's contacts is, on the pages.

use maud::{Markup, html};
use wxgate_contract::{Loading, LoadingPart, grouped};

use super::words::{Words, fill};

/// A bar and what it counts; nothing while nothing is read.
pub(super) fn shown(how: Option<Loading>, words: &Words) -> Markup {
    let Some(how) = how else { return html! {} };
    let what = match how.part {
        LoadingPart::Contacts => words.loading_contacts,
        LoadingPart::Groups => words.loading_groups,
        LoadingPart::Storing => words.loading_stored,
    };
    let amount = match how.of {
        Some(of) => fill(&fill(words.so_many_of, grouped(how.done)), grouped(of)),
        None => grouped(how.done),
    };
    html! {
        // It changes several times a second, which nobody wants to have read out. A bar without a value moves by itself.
        div aria-live="off" {
            progress aria-label=(words.loading) value=[how.of.map(|_| how.done)] max=[how.of.map(|of| of.max(1))] {}
            div.soft { (fill(what, amount)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::Language;
    use super::*;

    #[test]
    fn a_bar_has_a_value_where_the_end_is_known() {
        let shown = |how, language: Language| shown(how, language.words()).into_string();
        let groups = Loading { part: LoadingPart::Groups, done: 50, of: Some(1200) };
        let html = shown(Some(groups), Language::English);
        assert!(
            html.contains("value=\"50\" max=\"1200\"") && html.contains("Groups loaded: 50 of 1,200"),
            "{html}"
        );
        let contacts = Loading { part: LoadingPart::Contacts, done: 1200, of: None };
        let html = shown(Some(contacts), Language::Chinese);
        assert!(!html.contains("value=") && html.contains("已载入联系人：1,200"), "{html}");
        assert_eq!(shown(None, Language::English), "");
    }
}
