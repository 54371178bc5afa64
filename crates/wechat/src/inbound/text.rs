//! Texts: quotations in them, faces, and who is named.

use std::borrow::Cow;

use wechat_proto::faces;
use wechat_proto::quote::OldQuote;
use wxgate_contract::{Body, Mention, PersonKey, Quote};

use super::Content;
use crate::roster::{Named, OWNER};
use crate::session::live::Own;

/// "Everybody", as phones write it. Source: seen in phone clients' texts, not confirmed for the web.
const EVERYBODY: [&str; 4] = ["所有人", "全体成员", "all", "All"];
/// Mentions in one text beyond this are left as text. Chosen.
const MAX_MENTIONS: usize = 50;

/// What somebody wrote, as other networks show it: faces that WeChat writes in brackets are emoji where one
/// looks alike.
///
/// Source: the protocol sheet, section 4.3 item 4 and appendix A.
pub(super) fn written(text: &str) -> Cow<'_, str> {
    if text.contains('[') { faces::to_emoji(text).into() } else { text.into() }
}

/// A text; the old form of a quotation in it becomes a quotation.
pub(super) fn content(text: &str, quote: Option<&OldQuote>) -> Content {
    match quote {
        Some(old) => Content {
            body: Body::text(written(&old.reply)),
            quote: Some(Quote {
                target: None,
                author_name: old.name.clone(),
                excerpt: written(&old.quoted).into_owned(),
            }),
        },
        None => Body::text(written(text)).into(),
    }
}

/// What an official account or a built-in one wrote: `<a href="https://…">label</a>` is its label with the address, and
/// an address that only phones open is left out. People may type the same, and it is theirs.
///
/// Source: the protocol sheet, section 4.2 ("official accounts' texts").
pub(super) fn with_links(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<a ") {
        out.push_str(before);
        let link = after.split_once('>').and_then(|(tag, after)| Some((tag, after.split_once("</a>")?)));
        let Some((tag, (label, tail))) = link else {
            out.push_str("<a ");
            rest = after;
            continue;
        };
        let url = address(tag).filter(|url| url.starts_with("https://") || url.starts_with("http://"));
        out.push_str(label);
        match url {
            Some(url) if label.trim().is_empty() => out.push_str(url),
            Some(url) if url != label => out.extend([" (", url, ")"]),
            _ => {}
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// The address in the attributes of a link.
fn address(tag: &str) -> Option<&str> {
    let value = tag.split_once("href=")?.1;
    let quote = value.chars().next().filter(|sign| matches!(sign, '"' | '\''))?;
    Some(value.strip_prefix(quote)?.split_once(quote)?.0.trim())
}

/// Who is named in a group's text: `@`, a whole name, then a space of some kind or the end.
///
/// Names contain spaces, so at each `@` the longest name that fits wins.
/// Source: the protocol sheet, section 4.4.
pub(super) fn mentions<'a>(
    text: &str,
    room: &Named,
    own: &Own,
    members: impl Iterator<Item = &'a Named>,
) -> Vec<Mention> {
    // A face in a name has become an emoji in the text as well.
    let mut names: Vec<(Cow<'_, str>, Option<&str>)> =
        EVERYBODY.iter().map(|name| (Cow::from(*name), None)).collect();
    for own_name in [room.own_alias.as_str(), own.nickname.as_str()] {
        names.push((written(own_name), Some(OWNER)));
    }
    names.extend(members.map(|member| (written(&member.name), Some(member.key.as_str()))));
    names.retain(|(name, _)| !name.is_empty());
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    let mut found: Vec<Mention> = Vec::new();
    for (at, _) in text.match_indices('@') {
        if found.len() >= MAX_MENTIONS || found.last().is_some_and(|last| at < last.range.1) {
            continue;
        }
        let Some(after) = text.get(at + 1..) else { continue };
        let fits = |name: &str| {
            after
                .strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
        };
        if let Some((name, person)) = names.iter().find(|(name, _)| fits(name)) {
            found.push(Mention {
                person: person.map(PersonKey::from),
                is_owner: *person == Some(OWNER),
                range: (at, at + 1 + name.len()),
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roster::Kind;

    fn named(key: &str, name: &str) -> Named {
        Named::new(key, Kind::Person, name)
    }

    #[test]
    fn links_of_official_accounts_are_labels_with_addresses() {
        for (text, shown) in [
            ("a <a href=\"https://e.org/?a=1&b=2\">click</a> b", "a click (https://e.org/?a=1&b=2) b"),
            (
                "<a href=\"weixin://bizmsgmenu?id=1\">1. menu</a>\n<a data-x='y' href='http://e.org'>2</a>",
                "1. menu\n2 (http://e.org)",
            ),
            ("<a href=\"https://e.org\">https://e.org</a>", "https://e.org"),
            ("<a href=\"https://e.org\"></a><a >x</a><a href=>y</a>", "https://e.orgxy"),
            ("1 <a b, <a href=\"https://e.org\"", "1 <a b, <a href=\"https://e.org\""),
            ("no links < > </a>", "no links < > </a>"),
        ] {
            assert_eq!(with_links(text), shown);
        }
    }

    #[test]
    fn the_longest_whole_name_is_meant() {
        let room = Named { own_alias: "阿林".into(), ..named("g-1", "爬山") };
        let own = Own { nickname: "林一".into(), ..Own::default() };
        let members = [
            named("p-bo", "Bo"),
            named("p-bob", "Bo Bei 🌺"),
            named(OWNER, "阿林"),
            named("p-face", "[强]哥"),
        ];
        let text = "@Bo Bei 🌺\u{2005}@阿林 @Bo, @Bo\u{2005}@所有人 a@b @林一 @[强]哥";
        let text = &*written(text);
        let found: Vec<(Option<String>, bool, &str)> = mentions(text, &room, &own, members.iter())
            .into_iter()
            .map(|m| (m.person.map(|p| p.to_string()), m.is_owner, &text[m.range.0..m.range.1]))
            .collect();
        let someone = |key: &str| Some(key.to_owned());
        assert_eq!(
            found,
            [
                (someone("p-bob"), false, "@Bo Bei 🌺"),
                (someone(OWNER), true, "@阿林"),
                (someone("p-bo"), false, "@Bo"),
                (None, false, "@所有人"),
                (someone(OWNER), true, "@林一"),
                (someone("p-face"), false, "@👍哥"),
            ]
        );
    }
}
