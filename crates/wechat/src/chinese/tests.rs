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
    assert_eq!(in_chinese("为了你的帐号安全，此微信号不能登录网页微信。"), None, "WeChat's own words stay");
}

#[test]
fn what_a_question_tells_of_candidates_is_told_in_chinese() {
    for (english, chinese) in [
        ("same nickname, signature; changed: region", "相同：昵称、个性签名；不同：地区"),
        ("3 groups in common; last message 2 hours ago", "3 个共同群聊；最近一条消息：2 小时前"),
        ("1 group in common", "1 个共同群聊"),
        ("it is not settled who this is; 2 known before may be", "尚未确定这是谁；2 个之前的会话可能是它"),
        ("the record is untouched; 8 members in both lists", "资料未变；8 名成员同时在两份名单中"),
        ("nothing speaks for it; last message just now", "没有依据；最近一条消息：刚刚"),
        (
            "another name, 3 of 8 members; last message 1 day ago",
            "名称不同，8 名成员中有 3 名相同；最近一条消息：1 天前",
        ),
    ] {
        assert_eq!(in_chinese(english).as_deref(), Some(chinese));
    }
    // Every field there is.
    let all = wxgate_identity::Why {
        version: true,
        marker: true,
        agree: u16::MAX,
        differ: u16::MAX,
        shared: 3,
        wrong_ppm: 0,
    };
    let told = in_chinese(&all.words());
    let is_foreign = |told: &String| told.bytes().any(|byte| byte.is_ascii_alphabetic());
    assert!(told.as_ref().is_some_and(|told| !is_foreign(told)), "{told:?}");
    assert_eq!(in_chinese("same thing"), None);
}

/// Whoever adds a reason why something is not sent adds it to the table too.
#[test]
fn every_reason_why_something_is_not_sent_is_told_in_chinese() {
    let says = [
        include_str!("../outbound.rs"),
        include_str!("../outbound/doubts.rs"),
        include_str!("../outbound/media.rs"),
        include_str!("../outbound/turn.rs"),
        include_str!("../outbound/verdict.rs"),
    ];
    let mut count = 0;
    for text in says.map(|text| text.split("#[cfg(test)]").next().unwrap_or_default()) {
        // As it is said: over the ends of lines, and with what is quoted in it.
        let text: String = text.split("\\\n").map(str::trim_start).collect();
        let text = text.replace("\\\"", "\u{1}");
        for begins in ["refused(", "later(", "let why = ", "let why = || ", "why: "] {
            for after in text.split(begins).skip(1) {
                // What comes first may be a number of seconds.
                let after = after.trim_start_matches(|c: char| c.is_ascii_digit() || ", ".contains(c));
                let Some(said) = after.strip_prefix('"').and_then(|rest| rest.split('"').next()) else {
                    continue;
                };
                let said = said.replace('\u{1}', "\"");
                assert!(in_chinese(&said).is_some(), "{said}");
                count += 1;
            }
        }
    }
    assert!(count > 20, "{count} reasons were found");
}
