//! Bits of `ContactFlag` and `VerifyFlag`: to be tested one by one, never by equality.

/// In the address book. Source: the protocol sheet, section 3.7.
pub const CONTACT: i64 = 0x001;
/// In the conversation list. Source: the protocol sheet, section 3.7.
pub const CHAT: i64 = 0x002;
/// Blocked. Source: the protocol sheet, section 3.7.
pub const BLOCKED: i64 = 0x008;
/// Hidden. Source: the protocol sheet, section 3.7.
pub const HIDDEN: i64 = 0x020;
/// Starred. Source: the protocol sheet, section 3.7.
pub const STARRED: i64 = 0x040;
/// Moments blocked. Source: the protocol sheet, section 3.7.
pub const MOMENTS_BLOCKED: i64 = 0x100;
/// Muted (persons and accounts; groups use `Statues`). Source: the protocol sheet, section 3.7.
pub const MUTED: i64 = 0x200;
/// Pinned. Source: the protocol sheet, section 3.7.
pub const PINNED: i64 = 0x800;
/// In `VerifyFlag`: an official account. Source: the protocol sheet, section 3.7 (`BIZ_BRAND`).
pub const OFFICIAL: i64 = 0x008;

/// Whether a `VerifyFlag` is that of an official account.
#[must_use]
pub fn is_official(verify_flag: i64) -> bool {
    verify_flag & OFFICIAL != 0
}
