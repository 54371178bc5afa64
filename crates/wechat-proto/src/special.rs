//! The built-in accounts.

/// How a built-in account is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpecialClass {
    /// A chat like any other, that can be written to.
    Writable,
    /// Never shown, no notification.
    Hidden,
    /// Not among the initial chats; may speak.
    BuiltIn,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Special {
    /// Its `UserName`, the same in every session.
    pub user_name: &'static str,
    /// What it is, in a few words.
    pub what: &'static str,
    /// How it is treated.
    pub class: SpecialClass,
}

const fn row(user_name: &'static str, what: &'static str, class: SpecialClass) -> Special {
    Special { user_name, what, class }
}

/// Every built-in account that is known.
///
/// Source: the protocol sheet, section 3.8 (all rows; hidden ones by its second paragraph).
pub const SPECIALS: [Special; 30] = {
    use SpecialClass::{BuiltIn, Hidden, Writable};
    [
        // Source: the protocol sheet, section 3.8, each of the rows below.
        row("filehelper", "file transfer assistant", Writable),
        row("weixin", "WeChat team", BuiltIn),
        row("fmessage", "friend requests and recommendations", BuiltIn),
        row("newsapp", "Tencent News", Hidden),
        row("notification_messages", "service notices", Hidden),
        row("wxid_novlwrv3lqwv11", "old voice reminder", Hidden),
        row("gh_22b87fa7cb3c", "voice reminder", Hidden),
        row("officialaccounts", "folder of official accounts", BuiltIn),
        row("brandsessionholder", "folder of official accounts", BuiltIn),
        row("floatbottle", "plug-in", BuiltIn),
        row("shakeapp", "plug-in", BuiltIn),
        row("lbsapp", "plug-in", BuiltIn),
        row("medianote", "plug-in", BuiltIn),
        row("qqmail", "plug-in", BuiltIn),
        row("qmessage", "plug-in", BuiltIn),
        row("tmessage", "plug-in", BuiltIn),
        row("qqsync", "plug-in", BuiltIn),
        row("qqfriend", "plug-in", BuiltIn),
        row("weibo", "plug-in", BuiltIn),
        row("readerapp", "plug-in", BuiltIn),
        row("blogapp", "plug-in", BuiltIn),
        row("blogappweixin", "plug-in", BuiltIn),
        row("facebookapp", "plug-in", BuiltIn),
        row("masssendapp", "plug-in", BuiltIn),
        row("meishiapp", "plug-in", BuiltIn),
        row("feedsapp", "plug-in", BuiltIn),
        row("voip", "plug-in", BuiltIn),
        row("weixinreminder", "plug-in", BuiltIn),
        row("wxitil", "plug-in", BuiltIn),
        row("userexperience_alarm", "plug-in", BuiltIn),
    ]
};

/// The class of a built-in account; `None` for everybody else.
#[must_use]
pub fn class_of(user_name: &str) -> Option<SpecialClass> {
    SPECIALS.iter().find(|special| special.user_name == user_name).map(|special| special.class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_are_distinct_and_the_right_ones_are_hidden() {
        let mut names: Vec<_> = SPECIALS.iter().map(|special| special.user_name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SPECIALS.len());
        assert_eq!(class_of("notification_messages"), Some(SpecialClass::Hidden));
        assert_eq!(class_of("weixin"), Some(SpecialClass::BuiltIn));
        assert_eq!(class_of("@a"), None);
    }
}
