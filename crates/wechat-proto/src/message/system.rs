//! What the service says in a chat (10000): text without structure, read as a hint.
//!
//! Names may contain quotes, wordings change: whoever needs the truth fetches the group again.
//! Source: the protocol sheet, section 4.12 (the patterns are rows of its table).

/// A text of the service.
#[derive(Clone, PartialEq, Eq)]
pub struct SystemText {
    /// As people are to see it, without links into the phone's app.
    pub text: String,
    /// What it seems to say.
    pub event: SystemEvent,
}

impl std::fmt::Debug for SystemText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SystemText({} bytes)", self.text.len())
    }
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Oneself.
    Own,
    /// Somebody, by the name that was shown.
    Named(String),
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SystemEvent {
    /// Somebody is a friend now.
    BecameFriends {
        /// Who.
        name: String,
    },
    /// Members were invited.
    Invited {
        /// By whom.
        by: Actor,
        /// Who.
        names: Vec<String>,
    },
    /// Somebody came in by a QR code.
    JoinedByQr {
        /// Who.
        name: String,
        /// Whose code it was.
        by: Actor,
    },
    /// We were invited.
    WeWereInvited {
        /// By whom.
        by: String,
    },
    /// We removed a member.
    Removed {
        /// Who.
        name: String,
    },
    /// We were removed: the group is gone for us.
    WeWereRemoved {
        /// By whom.
        by: String,
    },
    /// The group has a new topic.
    Renamed {
        /// By whom.
        by: Actor,
        /// The topic.
        topic: String,
    },
    /// A red packet, to be opened on the phone.
    RedPacket {
        /// Whether we sent it.
        own: bool,
    },
    /// Nobody shares where they are any more.
    LocationSharingEnded,
    /// Somebody tickled somebody.
    Tickled,
    /// The recipient is not a friend any more.
    NotFriends,
    /// Something else.
    Other,
}

impl SystemEvent {
    /// Whether the members of the group or its topic may have changed, as its record tells. Not when we were removed:
    /// the record tells nothing then. Source: the protocol sheet, section 2.10.
    #[must_use]
    pub fn changes_room(&self) -> bool {
        matches!(
            self,
            Self::Invited { .. }
                | Self::JoinedByQr { .. }
                | Self::WeWereInvited { .. }
                | Self::Removed { .. }
                | Self::Renamed { .. }
        )
    }
}

/// Source: the protocol sheet, section 4.12 (the link that tells).
const NOT_FRIENDS_LINK: &str = "weixin://findfriend/verifycontact";

pub(super) fn decode(raw: &str) -> SystemText {
    let text = without_links(raw).trim().to_owned();
    let event = if raw.contains(NOT_FRIENDS_LINK) { SystemEvent::NotFriends } else { event(&text) };
    SystemText { text, event }
}

/// Replaces `<a href="…">label</a>` by its label: the links only work on the phone.
fn without_links(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<a ") {
        out.push_str(before);
        let Some((_, labelled)) = after.split_once('>') else {
            out.push_str("<a ");
            rest = after;
            continue;
        };
        let (label, tail) = labelled.split_once("</a>").unwrap_or((labelled, ""));
        out.push_str(label);
        rest = tail;
    }
    out.push_str(rest);
    out
}

fn event(text: &str) -> SystemEvent {
    [money_and_place, friends, removed, renamed, joined_by_qr, invited, tickled]
        .iter()
        .find_map(|reader| reader(text))
        .unwrap_or(SystemEvent::Other)
}

/// The text between two fixed parts that begin and end it.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.strip_prefix(start)?.strip_suffix(end)
}

/// A name without the quotes and spaces around it.
fn name(text: &str) -> String {
    text.trim().trim_matches(['"', '“', '”']).trim().to_owned()
}

fn actor(text: &str) -> Actor {
    match text.trim() {
        "你" | "You" | "you" => Actor::Own,
        text => Actor::Named(name(text)),
    }
}

fn money_and_place(text: &str) -> Option<SystemEvent> {
    if text.starts_with("收到红包，") {
        return Some(SystemEvent::RedPacket { own: false });
    }
    if text.starts_with("发出红包，") {
        return Some(SystemEvent::RedPacket { own: true });
    }
    (text == "位置共享已经结束").then_some(SystemEvent::LocationSharingEnded)
}

fn friends(text: &str) -> Option<SystemEvent> {
    let found = between(text, "你已添加了", "，现在可以开始聊天了。")
        .or_else(|| between(text, "", "刚刚把你添加到通讯录，现在可以开始聊天了。"))
        .or_else(|| between(text, "You have added ", " as your WeChat contact. Start chatting!"))
        .or_else(|| {
            between(text, "", " just added you to his/her contacts list. Send a message to him/her now!")
        })?;
    Some(SystemEvent::BecameFriends { name: name(found) })
}

fn removed(text: &str) -> Option<SystemEvent> {
    let by = between(text, "你被", "移出群聊")
        .or_else(|| text.strip_prefix("You were removed from the group chat by "));
    if let Some(by) = by {
        return Some(SystemEvent::WeWereRemoved { by: name(by) });
    }
    let found = between(text, "你将", "移出了群聊")
        .or_else(|| between(text, "You removed ", " from the group chat"))?;
    Some(SystemEvent::Removed { name: name(found) })
}

fn renamed(text: &str) -> Option<SystemEvent> {
    let (by, topic) = text
        .split_once("修改群名为")
        .or_else(|| text.split_once(" changed the group name to "))
        .filter(|(by, _)| !by.is_empty())?;
    Some(SystemEvent::Renamed { by: actor(by), topic: name(topic) })
}

fn joined_by_qr(text: &str) -> Option<SystemEvent> {
    if let Some((who, by)) =
        text.strip_suffix("分享的二维码加入群聊").and_then(|text| text.split_once("通过扫描"))
    {
        return Some(SystemEvent::JoinedByQr { name: name(who), by: actor(by) });
    }
    let text = text.trim_end_matches('.');
    if let Some((who, by)) = text.split_once(" joined the group chat via the QR Code shared by ") {
        return Some(SystemEvent::JoinedByQr { name: name(who), by: actor(by) });
    }
    let who = text.strip_suffix(" joined group chat via the QR code you shared")?;
    Some(SystemEvent::JoinedByQr { name: name(who), by: Actor::Own })
}

fn invited(text: &str) -> Option<SystemEvent> {
    if let Some((by, rest)) = text.split_once("邀请你").filter(|(by, _)| !by.is_empty() && *by != "你")
        && (rest.starts_with("加入了群聊") || rest.starts_with('和'))
    {
        return Some(SystemEvent::WeWereInvited { by: name(by) });
    }
    if let Some((by, _)) = text.split_once(" invited you to a group chat with ") {
        return Some(SystemEvent::WeWereInvited { by: name(by) });
    }
    let (by, who) = text
        .strip_suffix("加入了群聊")
        .and_then(|text| text.split_once("邀请"))
        .or_else(|| text.trim_end_matches('.').strip_suffix(" to the group chat")?.split_once(" invited "))?;
    let names = name(who).split(['、']).map(name).filter(|name| !name.is_empty()).collect();
    Some(SystemEvent::Invited { by: actor(by), names })
}

fn tickled(text: &str) -> Option<SystemEvent> {
    let (who, whom) = text.split_once("拍了拍")?;
    let who_fits = who.trim_end() == "我" || (who.starts_with('"') && who.trim_end().ends_with('"'));
    let whom = whom.trim_start();
    (who_fits && (whom.starts_with('"') || whom.starts_with('我') || whom.starts_with("自己")))
        .then_some(SystemEvent::Tickled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> SystemEvent {
        decode(text).event
    }

    fn named(name: &str) -> Actor {
        Actor::Named(name.into())
    }

    #[test]
    fn the_table_of_the_sheet_is_read() {
        use SystemEvent as E;
        for (text, event) in [
            ("你已添加了Anna，现在可以开始聊天了。", E::BecameFriends { name: "Anna".into() }),
            ("Bo刚刚把你添加到通讯录，现在可以开始聊天了。", E::BecameFriends { name: "Bo".into() }),
            (
                "You have added Anna as your WeChat contact. Start chatting!",
                E::BecameFriends { name: "Anna".into() },
            ),
            (
                "Bo just added you to his/her contacts list. Send a message to him/her now!",
                E::BecameFriends { name: "Bo".into() },
            ),
            (
                "\"A\"邀请\"B、C\"加入了群聊",
                E::Invited { by: named("A"), names: vec!["B".into(), "C".into()] },
            ),
            ("你邀请\"B\"加入了群聊  ", E::Invited { by: Actor::Own, names: vec!["B".into()] }),
            ("A invited B to the group chat", E::Invited { by: named("A"), names: vec!["B".into()] }),
            ("You invited B to the group chat.   ", E::Invited { by: Actor::Own, names: vec!["B".into()] }),
            ("\" B\"通过扫描\"A\"分享的二维码加入群聊", E::JoinedByQr { name: "B".into(), by: named("A") }),
            ("\"B\"通过扫描你分享的二维码加入群聊  ", E::JoinedByQr { name: "B".into(), by: Actor::Own }),
            (
                "\"B\" joined the group chat via the QR Code shared by \"A\".",
                E::JoinedByQr { name: "B".into(), by: named("A") },
            ),
            (
                "\"B\" joined group chat via the QR code you shared.  ",
                E::JoinedByQr { name: "B".into(), by: Actor::Own },
            ),
            ("\"A\"邀请你加入了群聊，群聊参与人还有：B", E::WeWereInvited { by: "A".into() }),
            ("A邀请你和B、C加入了群聊", E::WeWereInvited { by: "A".into() }),
            ("A invited you to a group chat with B", E::WeWereInvited { by: "A".into() }),
            ("你将\"B\"移出了群聊", E::Removed { name: "B".into() }),
            ("You removed \"B\" from the group chat", E::Removed { name: "B".into() }),
            ("你被\"A\"移出群聊", E::WeWereRemoved { by: "A".into() }),
            ("You were removed from the group chat by \"A\"", E::WeWereRemoved { by: "A".into() }),
            ("\"A\"修改群名为“T”", E::Renamed { by: named("A"), topic: "T".into() }),
            ("你修改群名为“T”", E::Renamed { by: Actor::Own, topic: "T".into() }),
            ("\"A\" changed the group name to \"T\"", E::Renamed { by: named("A"), topic: "T".into() }),
            ("收到红包，请在手机上查看", E::RedPacket { own: false }),
            ("发出红包，请在手机上查看", E::RedPacket { own: true }),
            ("位置共享已经结束", E::LocationSharingEnded),
            ("\"A\" 拍了拍 \"B\" 的肩膀", E::Tickled),
            ("\"A\" 拍了拍我", E::Tickled),
            ("我拍了拍自己", E::Tickled),
            ("something else", E::Other),
            ("", E::Other),
        ] {
            assert_eq!(of(text), event, "{text}");
        }
    }

    #[test]
    fn links_into_the_phone_are_removed_and_the_telling_one_is_known() {
        let text = decode("开启了朋友验证。<a href=\"weixin://findfriend/verifycontact\">发送朋友验证</a>");
        assert_eq!(
            (text.text.as_str(), text.event),
            ("开启了朋友验证。发送朋友验证", SystemEvent::NotFriends)
        );
        assert_eq!(decode("x <a href=").text, "x <a href=");
    }

    #[test]
    fn a_change_of_the_group_asks_for_fetching_it() {
        assert!(of("你将\"B\"移出了群聊").changes_room());
        assert!(!of("位置共享已经结束").changes_room());
        assert!(!of("你被\"A\"移出群聊").changes_room());
    }
}
