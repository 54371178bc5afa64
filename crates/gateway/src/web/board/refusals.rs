//! Why something was not done, in Chinese: the sentences that people meet on the pages and that commands and the API say
//! too. What machines and other programs say stays as it is.

/// Sentences with a `{}` for each thing that is named, in the same order in both languages. Of two that fit, the first
/// counts.
const SENTENCES: &[(&str, &str)] = &[
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
    ("the gateway gave it up", "网关已放弃"),
    ("{} is not shown on {}", "{} 未显示在 {} 上"),
    ("it is not known who the owner is on Matrix", "尚不知道所有者的 Matrix 账号"),
    ("there is nothing to choose called {} with the value {}", "没有名为 {}、值为 {} 的选项"),
    // What can be chosen, by typing on other faces too.
    ("recalls", "撤回"),
    ("officials", "公众号"),
    ("edits", "编辑"),
    ("reactions", "表情回应"),
    ("receipts", "已读标记"),
    ("notices", "未送达提示"),
    ("join", "加入群聊"),
    ("names", "名称"),
    ("language", "语言"),
    ("what is recalled in WeChat is removed here", "微信中撤回的消息在这里也会删除"),
    ("it stays, and I say that it was recalled", "保留，并注明已撤回"),
    (
        "what is recalled in WeChat stays, and I say that it was recalled",
        "微信中撤回的消息会保留，并注明已撤回",
    ),
    ("an edit is said in WeChat as an answer to the old message", "编辑以回复原消息的方式发到微信"),
    (
        "within two minutes the old message is recalled and the new one said instead",
        "两分钟内撤回原消息并改发新消息",
    ),
    ("a reaction is said in WeChat as a short answer", "表情回应以简短回复发到微信"),
    ("reactions stay in the room", "表情回应只留在房间内"),
    ("I mark as read what was delivered to WeChat", "已送达微信的消息标记为已读"),
    ("I do not", "不标记"),
    ("I say here what was not, or may not have been, delivered", "在房间里说明未送达或可能未送达的消息"),
    ("your client alone shows it, where it can", "只由客户端显示（如果支持）"),
    ("what happens to your accounts and messages is told in English", "账号和消息的通知用英文"),
    ("what happens to your accounts and messages is told in Chinese", "账号和消息的通知用中文"),
    (
        "groups with traffic are joined for you, any that speaks later, and those you JOIN",
        "自动加入有消息的群聊、之后发言的群聊和你 JOIN 的群聊",
    ),
    ("all groups are joined for you", "自动加入所有群聊"),
    (
        "no group is joined for you but those you JOIN; what is said in one waits in its history",
        "只加入你 JOIN 的群聊，其他群聊的消息留在历史记录中",
    ),
    ("what I add to a line is in English: [image]", "附加文字用英文：[image]"),
    ("what I add to a line is in Chinese: [图片]", "附加文字用中文：[图片]"),
    ("what official accounts write is shown", "显示公众号的消息"),
    (
        "what official accounts write waits in their history, and opens no window",
        "公众号的消息留在历史记录中，不打开窗口",
    ),
    ("names are written as they are", "名称按原样显示"),
    ("names are written in Latin letters", "名称用拉丁字母显示"),
    ("{} is none of those that the chat may be", "{} 不在该会话的候选之中"),
    ("there is an account {} already", "账号 {} 已存在"),
    ("an account is not called '.' or '..': addresses walk up there", "账号名不能是 . 或 .."),
    ("the name of a person is empty", "用户名不能为空"),
    ("a password has 1 to {} bytes", "密码为 1 到 {} 字节"),
    (
        "a token opens at least one of read, write, login, admin",
        "令牌至少要有 read、write、login、admin 中的一项",
    ),
    (
        "the label of a token has 1 to {} characters, none of them a control character and no space at its ends",
        "令牌标签为 1 到 {} 个字符，不含控制字符，首尾没有空格",
    ),
    ("{} has {} tokens already; end one of them first", "{} 已有 {} 个令牌，请先作废一个"),
    ("{} has no token called {}", "{} 没有名为 {} 的令牌"),
    ("{} has {} certificates already", "{} 已有 {} 个证书"),
    ("{} has no such certificate", "{} 没有这个证书"),
    ("this certificate opens a door already", "此证书已在使用中"),
    ("a fingerprint is a SHA-256 in 64 small hex digits", "指纹是 SHA-256，即 64 个小写十六进制字符"),
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
            include_str!("../../../../store/src/accounts.rs"),
            include_str!("../../../../store/src/doors.rs"),
            include_str!("../../../../store/src/tokens.rs"),
            include_str!("../../../../wechat/src/identity/settle.rs"),
            include_str!("../../../../irc/src/server/choices.rs"),
            include_str!("../../../../irc/src/server/style.rs"),
            include_str!("../../../../matrix/src/choices.rs"),
            include_str!("../choice_api.rs"),
            include_str!("scan.rs"),
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

    /// And the other way round: what the store says about people, their doors, accounts and links.
    #[test]
    fn every_sentence_that_the_store_says_is_told() {
        let says = [
            include_str!("../../../../store/src/accounts.rs"),
            include_str!("../../../../store/src/doors.rs"),
            include_str!("../../../../store/src/leaving.rs"),
            include_str!("../../../../store/src/links.rs"),
            include_str!("../../../../store/src/tokens.rs"),
            include_str!("../../../../store/src/users.rs"),
        ];
        let text: String = says.concat().split("\\\n").map(str::trim_start).collect();
        let mut count = 0;
        for begins in ["StoreError::invalid(", "StoreError::conflict("] {
            for after in text.split(begins).skip(1) {
                let after = after.trim_start().trim_start_matches("format!(").trim_start();
                let Some(said) = after.strip_prefix('"').and_then(|rest| rest.split('"').next()) else {
                    continue;
                };
                // With something in each gap.
                let parts = said.split('{').map(|part| part.split_once('}').map_or(part, |(_, rest)| rest));
                let said = parts.collect::<Vec<_>>().join("x7");
                assert!(in_chinese(&said).is_some(), "{said}");
                count += 1;
            }
        }
        assert!(count >= 18, "{count} sentences were found");
    }

    /// What can be chosen is offered on the pages with what it means.
    #[test]
    fn every_choice_is_explained() {
        let offers = [
            include_str!("../../../../irc/src/server/choices.rs"),
            include_str!("../../../../irc/src/server/style.rs"),
            include_str!("../../../../matrix/src/choices.rs"),
        ];
        let mut count = 0;
        for line in
            offers.iter().flat_map(|text| text.split("#[cfg(test)]").next().unwrap_or_default().lines())
        {
            // Pairs of a word and what it means.
            let quoted: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
            let is_said = |pair: &&[&str]| {
                pair[1].contains(' ') && line.contains(&format!("\"{}\", \"{}\"", pair[0], pair[1]))
            };
            for pair in quoted.windows(2).filter(is_said) {
                assert!(in_chinese(pair[1]).is_some(), "{pair:?}");
                count += 1;
            }
        }
        assert!(count >= 17, "{count} values were found");
    }
}
