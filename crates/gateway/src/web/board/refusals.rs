//! Why something was not done, in Chinese: the sentences that people meet on the pages and that commands and the API say
//! too. What machines and other programs say stays as it is.

/// Sentences with a `{}` for each thing that is named, in the same order in both languages. Of two that fit, the first
/// counts.
const SENTENCES: [(&str, &str); 30] = [
    ("there is a person called {} already", "已经有名为 {} 的用户"),
    ("{} differs from {} only by its case", "{} 与已有的 {} 只有大小写不同"),
    ("there is no user {}", "没有用户 {}"),
    ("there is no person called {}", "没有用户 {}"),
    ("a person called {} is being removed", "名为 {} 的用户正在删除"),
    ("{} is being removed", "{} 正在删除"),
    (
        "nobody removes themselves: another administrator does, or `wxgate user remove`",
        "不能删除自己，请由另一位管理员或用 wxgate user remove 删除",
    ),
    ("{} still has {} accounts; remove them first", "{} 还有 {} 个账号，请先删除"),
    (
        "the name of a person is 1 to {} bytes of letters, digits, '-', '_' and '.', does not begin with '-' and is \
         neither '.' nor '..'",
        "用户名为 1 到 {} 字节的字母、数字、-、_ 和 .，不能以 - 开头，也不能是 . 或 ..",
    ),
    ("a person may have at most {} accounts", "每人最多 {} 个账号"),
    ("{} has {} accounts already; the limit for them is {}", "{} 已有 {} 个账号，上限为 {}"),
    ("the account name {} is taken", "账号名 {} 已被使用"),
    (
        "an account name is {} to {} of a-z, A-Z, 0-9, '-', '_' and '.'",
        "账号名为 {} 到 {} 个字母、数字、-、_ 或 .",
    ),
    ("there is no account {}", "没有账号 {}"),
    ("a link has at most {} members", "一个链接最多有 {} 个会话"),
    ("a link needs two different chats", "链接需要两个不同的会话"),
    (
        "{} of {} is in a link already; take it apart first: wxgate link remove {}",
        "会话 {}（{}）已在一个链接中，请先解除链接 {}",
    ),
    ("{} of {} is in a link already", "会话 {}（{}）已在一个链接中"),
    ("there is no link {}; see: wxgate link list", "没有链接 {}"),
    ("{} is in no link; see: wxgate link list", "{} 不在任何链接中"),
    (
        "{} is not NETWORK/CHAT, such as wechat:alice/家 or irc:libera/#rust",
        "{} 不是“网络/会话”的写法，例如 wechat:alice/家 或 irc:libera/#rust",
    ),
    (
        "{} shows the chats of accounts and has none of its own; name the account's chat",
        "{} 只显示账号的会话，自己没有会话；请写账号的会话",
    ),
    ("there is no network {}; there is no network yet", "没有网络 {}；目前还没有任何网络"),
    ("there is no network {}; there is {}", "没有网络 {}；现有：{}"),
    (
        "{} is no channel or nick of {}: channels begin with #, and neither has spaces, commas, colons, ! @ or *",
        "{} 不是 {} 的频道或昵称：频道以 # 开头，两者都不含空格、逗号、冒号、!、@ 或 *",
    ),
    ("{} has no chat {}; see: wxgate chat list {}", "{} 没有会话 {}；可运行 wxgate chat list {} 查看"),
    ("{} has no chat {}", "{} 没有会话 {}"),
    ("{} may be {} chats of {}; write one of: {}", "{} 可能是 {} 个会话之一（{}）；请写其中一个：{}"),
    ("too many wrong attempts; wait half a minute and try again", "尝试次数过多，请半分钟后再试"),
    ("the account gave no answer", "账号没有回应"),
];

/// A sentence in Chinese; `None` for what is not among ours.
pub(super) fn in_chinese(sentence: &str) -> Option<String> {
    SENTENCES.iter().find_map(|(english, chinese)| {
        let mut parts = chinese.split("{}");
        let mut told = parts.next()?.to_owned();
        for (named, part) in named(english, sentence)?.into_iter().zip(parts) {
            told.push_str(named);
            told.push_str(part);
        }
        Some(told)
    })
}

/// What a sentence has in the gaps of a pattern; `None` when it is another sentence.
fn named<'a>(pattern: &str, sentence: &'a str) -> Option<Vec<&'a str>> {
    let mut parts = pattern.split("{}");
    let mut rest = sentence.strip_prefix(parts.next()?)?;
    let mut named = Vec::new();
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        let gap = match (parts.peek(), part) {
            // The last gap is followed by the end.
            (None, part) => rest.strip_suffix(part)?,
            (Some(_), part) => rest.split_once(part)?.0,
        };
        named.push(gap);
        rest = rest.get(gap.len() + part.len()..)?;
    }
    rest.is_empty().then_some(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_keep_what_they_name() {
        for (english, chinese) in [
            ("there is a person called ann already", "已经有名为 ann 的用户"),
            ("ann still has 2 accounts; remove them first", "ann 还有 2 个账号，请先删除"),
            ("there is no network irc:x; there is wechat:a, irc:y", "没有网络 irc:x；现有：wechat:a, irc:y"),
            (
                "wechat:a has no chat \"家\"; see: wxgate chat list a",
                "wechat:a 没有会话 \"家\"；可运行 wxgate chat list a 查看",
            ),
            ("#a of irc:x is in a link already", "会话 #a（irc:x）已在一个链接中"),
            (
                "#a of irc:x is in a link already; take it apart first: wxgate link remove 7",
                "会话 #a（irc:x）已在一个链接中，请先解除链接 7",
            ),
            ("a link needs two different chats", "链接需要两个不同的会话"),
        ] {
            assert_eq!(in_chinese(english).as_deref(), Some(chinese));
        }
        for other in ["", "the disk is full", "there is no link 7", "there is no user"] {
            assert_eq!(in_chinese(other), None, "{other}");
        }
    }

    /// A sentence that is said in other words from now on is noticed here.
    #[test]
    fn every_sentence_is_one_that_somebody_says() {
        let says = [
            include_str!("../link_api.rs"),
            include_str!("../identity.rs"),
            include_str!("../api/users.rs"),
            include_str!("../../chat_name.rs"),
            include_str!("../../../../bridge/src/control.rs"),
            include_str!("../../../../contract/src/control.rs"),
            include_str!("../../../../store/src/leaving.rs"),
            include_str!("../../../../store/src/users.rs"),
            include_str!("../../../../store/src/links.rs"),
        ];
        // As it is said: over the ends of lines.
        let text: String = says.concat().split("\\\n").map(str::trim_start).collect();
        for (english, chinese) in SENTENCES {
            assert_eq!(english.matches("{}").count(), chinese.matches("{}").count(), "{english}");
            // Some are put together of two.
            let parts = english.split("{}").flat_map(|part| part.split("; "));
            let parts = parts.map(|part| part.trim().trim_start_matches("there is "));
            for part in parts.filter(|part| part.len() > 3) {
                assert!(text.contains(part), "nobody says {part:?} of {english:?}");
            }
        }
    }
}
