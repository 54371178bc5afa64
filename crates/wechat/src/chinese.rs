//! What this adapter says about an account's state and its contacts, in Chinese: its owners are more often than not people who read that.
//! What WeChat itself says is in the language of the account already.

/// Clauses as they are said.
const CLAUSES: [(&str, &str); 38] = [
    ("sign the account in", "请登录此账号"),
    ("scan the code with the phone", "请用手机扫描二维码"),
    ("confirm the sign-in on the phone", "请在手机上确认登录"),
    ("still trying", "仍在重试"),
    ("WeChat does not open the session", "微信没有建立会话"),
    ("the phone confirmed, but WeChat does not open the session", "手机已确认，但微信没有建立会话"),
    (
        "WeChat's list of contacts cannot be read, names may be missing",
        "无法读取微信通讯录，部分名称可能缺失",
    ),
    ("messages are not affected", "消息不受影响"),
    ("WeChat does not say when there is news", "微信没有通知新消息"),
    ("messages come up to a minute late", "消息最多延迟一分钟"),
    ("the phone cannot be asked yet", "暂时无法询问手机"),
    ("the phone cannot be asked yet, still trying", "暂时无法询问手机，仍在重试"),
    ("the stored session is sealed with another key", "保存的会话是用另一个密钥加密的"),
    ("or put that seal key back and start the gateway anew", "或放回该密钥并重新启动网关"),
    ("the phone signed this account out", "手机已将此账号退出登录"),
    (
        "WeChat ended the session: the account was opened on another computer, or signed out on the phone",
        "微信结束了会话：此账号已在另一台电脑上登录，或已在手机上退出",
    ),
    ("WeChat ended the session", "微信结束了会话"),
    ("WeChat says that this account does too much", "微信提示此账号操作过于频繁"),
    ("it is left alone for a while", "暂停一段时间"),
    ("WeChat says that this account sends too much", "微信提示此账号发送过于频繁"),
    ("what you say waits until WeChat takes it", "您发送的消息会等到微信接受为止"),
    ("the phone has been offline for too long", "手机离线时间过长"),
    ("open WeChat on it", "请在手机上打开微信"),
    ("what you say waits for that, up to four hours", "在此之前您发送的消息会等待，最长四小时"),
    ("WeChat's answers cannot be read", "无法读取微信的应答"),
    ("WeChat's answers could not be read", "无法读取微信的应答"),
    ("WeChat does not answer in time", "微信没有及时应答"),
    ("WeChat cannot be reached", "无法连接微信"),
    ("WeChat could not be reached", "无法连接微信"),
    ("WeChat did not complete the sign-in", "微信没有完成登录"),
    ("nobody scanned the code in time", "二维码未在有效时间内扫描"),
    ("the account was signed out", "此账号已退出登录"),
    ("it ended by itself and starts again", "意外结束，正在重新启动"),
    ("there are more than fit", "数量超出上限"),
    (
        "WeChat has shown that whoever wrote here since the last sign-in is somebody else than before. They go on in \
         another chat",
        "微信已表明：上次登录以来在这里发言的是另一个人，与之前不同，其消息将在另一个会话中继续",
    ),
    ("what was said here since then was said to them.", "此后在这里说的话是对那个人说的。"),
    (
        "WeChat has shown who this is: it goes on in the chat of that name from before.",
        "微信已表明这是谁：将在之前的同名会话中继续。",
    ),
    (
        "WeChat has shown that this goes on here. What was said since the last sign-in stands in another chat.",
        "微信已表明会话在这里继续。上次登录以来的消息在另一个会话中。",
    ),
];

/// Clauses that something follows, or that follow something.
const BEGINNINGS: [(&str, &str); 7] = [
    ("sign the account in again: ", "请重新登录此账号："),
    ("nothing can be stored: ", "无法保存数据："),
    ("what is stored cannot be read: ", "无法读取已保存的数据："),
    ("WeChat answers with ", "微信返回代码 "),
    ("WeChat refused the session right after the sign-in: ", "登录后微信立即拒绝了会话，代码 "),
    ("WeChat refused: ", "微信拒绝，代码 "),
    (
        "WeChat has shown that this goes on here. What was said since the last sign-in stands in another chat, ",
        "微信已表明会话在这里继续。上次登录以来的消息在另一个会话中：",
    ),
];
const ENDINGS: [(&str, &str); 3] = [
    (", and the phone did not confirm a new sign-in", "，手机也没有确认新的登录"),
    (", and a new sign-in was declined on the phone", "，手机拒绝了新的登录"),
    (
        " contacts or members of groups are left out: there are more than fit",
        " 个联系人或群成员未载入：数量超出上限",
    ),
];

/// A sentence of this adapter in Chinese; `None` for what it does not say, and for what WeChat says itself.
#[must_use]
pub fn in_chinese(sentence: &str) -> Option<String> {
    let parts = sentence.split("; ").map(clause).collect::<Option<Vec<_>>>()?;
    Some(parts.join("；"))
}

fn clause(text: &str) -> Option<String> {
    if let Some((_, chinese)) = CLAUSES.iter().find(|(english, _)| *english == text) {
        return Some((*chinese).to_owned());
    }
    for (english, chinese) in BEGINNINGS {
        if let Some(rest) = text.strip_prefix(english) {
            // Another clause, a result code with its meaning, or what the system said.
            let rest = clause(rest).unwrap_or_else(|| code(rest).unwrap_or(rest).to_owned());
            return Some(format!("{chinese}{rest}"));
        }
    }
    ENDINGS.iter().find_map(|(english, chinese)| {
        let before = text.strip_suffix(english)?;
        let before =
            if before.bytes().all(|b| b.is_ascii_digit()) { before.to_owned() } else { clause(before)? };
        Some(format!("{before}{chinese}"))
    })
}

/// The number of `1100 (not logged in)`.
fn code(text: &str) -> Option<&str> {
    let (number, _) = text.split_once(" (")?;
    number.parse::<i64>().ok().map(|_| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_put_together_of_clauses() {
        for (english, chinese) in [
            ("sign the account in", "请登录此账号"),
            (
                "sign the account in again: nobody scanned the code in time",
                "请重新登录此账号：二维码未在有效时间内扫描",
            ),
            ("WeChat answers with 1205 (too frequent); still trying", "微信返回代码 1205；仍在重试"),
            (
                "the phone signed this account out, and a new sign-in was declined on the phone",
                "手机已将此账号退出登录，手机拒绝了新的登录",
            ),
            (
                "12 contacts or members of groups are left out: there are more than fit; messages are not affected",
                "12 个联系人或群成员未载入：数量超出上限；消息不受影响",
            ),
            (
                "sign the account in again: the stored session is sealed with another key; or put that seal key back \
                 and start the gateway anew",
                "请重新登录此账号：保存的会话是用另一个密钥加密的；或放回该密钥并重新启动网关",
            ),
            (
                "WeChat has shown that this goes on here. What was said since the last sign-in stands in another chat, \
                 \"Bo\".",
                "微信已表明会话在这里继续。上次登录以来的消息在另一个会话中：\"Bo\".",
            ),
            ("nothing can be stored: the disk is full", "无法保存数据：the disk is full"),
        ] {
            assert_eq!(in_chinese(english).as_deref(), Some(chinese));
        }
        assert_eq!(
            in_chinese("为了你的帐号安全，此微信号不能登录网页微信。"),
            None,
            "WeChat's own words stay"
        );
    }
}
