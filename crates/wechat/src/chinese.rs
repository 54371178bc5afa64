//! What this adapter says about an account's state, its contacts and what it did not send, in Chinese: its owners are more often than not people who read that.
//! What WeChat itself says is in the language of the account already.

use wxgate_identity::Field;

/// Clauses as they are said.
const CLAUSES: &[(&str, &str)] = &[
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
    // Why something is not sent, or not yet.
    ("the phone has been offline for too long", "手机离线时间过长"),
    ("WeChat says that this account sends too much", "微信提示此账号发送过于频繁"),
    ("WeChat did not accept the session", "微信没有接受会话"),
    ("WeChat did not find the recipient", "微信没有找到收件人"),
    ("WeChat does not find the recipient", "微信找不到收件人"),
    (
        "the recipient is no contact, has blocked you, or the group is gone",
        "对方不是联系人、已拉黑你，或群聊已不存在",
    ),
    ("WeChat does not let this account send from here", "微信不允许此账号从这里发送"),
    ("WeChat could not read the message", "微信无法读取该消息"),
    ("WeChat takes no empty files", "微信不接受空文件"),
    ("WeChat takes no reports", "微信不接收回执"),
    ("the attachment cannot be read", "无法读取附件"),
    ("the attachment cannot be read any more", "附件已无法读取"),
    ("the attachment never arrived", "附件一直没有到达"),
    ("the attachment is still on its way", "附件还在途中"),
    ("the file could not be uploaded to WeChat", "文件无法上传到微信"),
    ("the upload to WeChat took too long", "上传到微信超时"),
    ("the upload took too long", "上传超时"),
    ("WeChat's list of contacts is not there yet", "微信通讯录尚未载入"),
    ("this chat is not known since the last sign-in to WeChat", "上次登录微信以来没有见过此会话"),
    ("there was nothing to say", "没有可发送的内容"),
    ("the account signed in anew", "此账号重新登录了"),
    ("the account signed in anew before WeChat answered", "微信应答之前此账号重新登录了"),
    ("WeChat did not say whether it took the message back", "微信没有说明是否已撤回消息"),
    ("it is not settled who this is since the last sign-in to WeChat", "上次登录微信以来尚未确定这是谁"),
    ("say \"identity\" to the bot or the service nick", "请对机器人或服务昵称说 identity"),
    // What speaks for somebody's being somebody.
    ("the record is untouched", "资料未变"),
    ("your marker is in the remark", "备注中有你的标记"),
    ("nothing speaks for it", "没有依据"),
    ("nothing is kept to compare", "没有可比较的记录"),
    ("last message just now", "最近一条消息：刚刚"),
    // Why a chat is taken for who it is.
    ("seen for the first time, or as you said", "首次见到，或由你指定"),
    ("a message showed the permanent name", "有消息显示了永久名称"),
    ("not in the present login's list", "不在本次登录的列表中"),
    ("it is not settled who this is", "尚未确定这是谁"),
    ("nothing is kept about that chat", "没有关于该会话的记录"),
    // What an account does not do.
    ("there is no open question about that chat", "关于该会话没有待回答的问题"),
    ("that chat is not in the present login", "该会话不在本次登录中"),
    (
        "that chat is new in this login: there is nothing to take back",
        "该会话是本次登录中新出现的，没有可撤销的内容",
    ),
    ("nobody knows this request any more", "此请求已失效"),
    ("the account signed in anew since", "此账号之后重新登录过"),
    ("answer it on the phone", "请在手机上处理"),
    ("answer the request on the phone", "请在手机上处理该请求"),
    ("WeChat does not allow it", "微信不允许"),
];

/// Clauses that something follows, or that follow something.
const BEGINNINGS: &[(&str, &str)] = &[
    ("sign the account in again: ", "请重新登录此账号："),
    ("nothing can be stored: ", "无法保存数据："),
    ("what is stored cannot be read: ", "无法读取已保存的数据："),
    ("WeChat answers with ", "微信返回代码 "),
    ("WeChat refused the session right after the sign-in: ", "登录后微信立即拒绝了会话，代码 "),
    ("WeChat refused: ", "微信拒绝，代码 "),
    ("WeChat refused it: ", "微信拒绝，代码 "),
    ("WeChat did not say whether it was done: ", "微信没有说明是否已完成："),
    (
        "WeChat has shown that this goes on here. What was said since the last sign-in stands in another chat, ",
        "微信已表明会话在这里继续。上次登录以来的消息在另一个会话中：",
    ),
];
const ENDINGS: &[(&str, &str)] = &[
    (", and the phone did not confirm a new sign-in", "，手机也没有确认新的登录"),
    (", and a new sign-in was declined on the phone", "，手机拒绝了新的登录"),
    (" known before may be", " 个之前的会话可能是它"),
    (" members in both lists", " 名成员同时在两份名单中"),
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
    if let Some(told) = evidence(text) {
        return Some(told);
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

/// What a question tells of its candidates, as far as it counts or lists.
fn evidence(text: &str) -> Option<String> {
    let fields = |list: &str| {
        let one = |word: &str| Field::ALL.into_iter().find(|field| field.word() == word).map(field);
        list.split(", ").map(one).collect::<Option<Vec<_>>>().map(|words| words.join("、"))
    };
    if let Some(list) = text.strip_prefix("same ") {
        return Some(format!("相同：{}", fields(list)?));
    }
    if let Some(list) = text.strip_prefix("changed: ") {
        return Some(format!("不同：{}", fields(list)?));
    }
    let count =
        text.strip_suffix(" in common").and_then(|text| text.trim_end_matches('s').strip_suffix(" group"));
    if let Some(count) = count {
        return Some(format!("{} 个共同群聊", number(count)?));
    }
    if let Some(past) = text.strip_prefix("last message ").and_then(|past| past.strip_suffix(" ago")) {
        let (count, unit) = past.split_once(' ')?;
        let unit = match unit.trim_end_matches('s') {
            "minute" => "分钟",
            "hour" => "小时",
            "day" => "天",
            _ => return None,
        };
        return Some(format!("最近一条消息：{} {unit}前", number(count)?));
    }
    let (title, members) = text.strip_suffix(" members")?.split_once(" name, ")?;
    let title = match title {
        "the same" => "名称相同",
        "another" => "名称不同",
        _ => return None,
    };
    let (both, of) = members.split_once(" of ")?;
    Some(format!("{title}，{} 名成员中有 {} 名相同", number(of)?, number(both)?))
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

fn field(field: Field) -> &'static str {
    match field {
        Field::Nick => "昵称",
        Field::Remark => "备注",
        Field::Avatar => "头像",
        Field::Signature => "个性签名",
        Field::Region => "地区",
        Field::Sex => "性别",
        Field::Attr => "账号设置",
        Field::Sns => "朋友圈设置",
        Field::Star => "星标",
        Field::Pin => "置顶",
        Field::Mute => "免打扰",
        Field::KeyWord => "账号前缀",
        Field::NameLen => "账号名长度",
    }
}

/// The number of `1100 (not logged in)`.
fn code(text: &str) -> Option<&str> {
    let (number, _) = text.split_once(" (")?;
    number.parse::<i64>().ok().map(|_| number)
}

#[cfg(test)]
mod tests;
