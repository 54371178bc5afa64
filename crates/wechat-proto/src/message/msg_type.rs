//! The numbers of `MsgType` and `AppMsgType`.

/// Source: the protocol sheet, section 4.1.
pub const TEXT: i64 = 1;
/// Source: the protocol sheet, section 4.1.
pub const IMAGE: i64 = 3;
/// Source: the protocol sheet, section 4.1.
pub const VOICE: i64 = 34;
/// Source: the protocol sheet, section 4.1.
pub const FRIEND_REQUEST: i64 = 37;
/// Source: the protocol sheet, section 4.1.
pub const RECOMMENDATION: i64 = 40;
/// Source: the protocol sheet, section 4.1.
pub const CARD: i64 = 42;
/// Source: the protocol sheet, section 4.1.
pub const VIDEO: i64 = 43;
/// Source: the protocol sheet, section 4.1.
pub const STICKER: i64 = 47;
/// As `MsgType` only sent; as `SubMsgType` of a text received. Source: the protocol sheet, section 4.1.
pub const LOCATION: i64 = 48;
/// Source: the protocol sheet, section 4.1.
pub const APP: i64 = 49;
/// Source: the protocol sheet, section 4.1.
pub const CALL: i64 = 50;
/// Source: the protocol sheet, section 4.1.
pub const STATUS_NOTIFY: i64 = 51;
/// Source: the protocol sheet, section 4.1.
pub const CALL_ENDED: i64 = 52;
/// Source: the protocol sheet, section 4.1.
pub const CALL_INVITE: i64 = 53;
/// Source: the protocol sheet, section 4.1.
pub const SHORT_VIDEO: i64 = 62;
/// Source: the protocol sheet, section 4.1.
pub const SERVICE_NOTICE: i64 = 9999;
/// Source: the protocol sheet, section 4.1.
pub const SYSTEM: i64 = 10000;
/// Source: the protocol sheet, section 4.1.
pub const RECALLED: i64 = 10002;

/// `AppMsgType` numbers.
pub mod app {
    /// The server replaced the message by a prompt. Source: the protocol sheet, section 4.1.
    pub const REPLACED: i64 = 0;
    /// Source: the protocol sheet, section 4.1.
    pub const TEXT: i64 = 1;
    /// Source: the protocol sheet, section 4.1.
    pub const IMAGE: i64 = 2;
    /// Source: the protocol sheet, section 4.1.
    pub const MUSIC: i64 = 3;
    /// Source: the protocol sheet, section 4.1.
    pub const VIDEO: i64 = 4;
    /// Source: the protocol sheet, section 4.1.
    pub const LINK: i64 = 5;
    /// Source: the protocol sheet, section 4.1.
    pub const FILE: i64 = 6;
    /// Source: the protocol sheet, section 4.1.
    pub const OPEN: i64 = 7;
    /// Source: the protocol sheet, section 4.1.
    pub const EMOJI: i64 = 8;
    /// Source: the protocol sheet, section 4.1.
    pub const VOICE_REMIND: i64 = 9;
    /// Source: the protocol sheet, section 4.1.
    pub const SCANNED_GOODS: i64 = 10;
    /// Source: the protocol sheet, section 4.1.
    pub const GOODS: i64 = 13;
    /// Source: the protocol sheet, section 4.1.
    pub const STICKER_SET: i64 = 15;
    /// Source: the protocol sheet, section 4.1.
    pub const COUPON: i64 = 16;
    /// Source: the protocol sheet, section 4.1.
    pub const LIVE_LOCATION: i64 = 17;
    /// Source: the protocol sheet, section 4.1.
    pub const CHAT_HISTORY: i64 = 19;
    /// Source: the protocol sheet, section 4.1.
    pub const MINI_PROGRAM: i64 = 33;
    /// Source: the protocol sheet, section 4.1.
    pub const MINI_PROGRAM_PAGE: i64 = 36;
    /// Source: the protocol sheet, section 4.1.
    pub const QUOTE: i64 = 57;
    /// Source: the protocol sheet, section 4.1.
    pub const TRANSFER: i64 = 2000;
    /// Source: the protocol sheet, section 4.1.
    pub const RED_PACKET: i64 = 2001;
}
