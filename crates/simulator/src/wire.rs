//! The shapes of the service's JSON, and its odd way to print them.

use serde::Serialize;

use crate::keys::{KeyObject, Which};
use crate::people::{BAD_UTF8_MARK, People};
use crate::who::{Names, Who};

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BaseResponse {
    pub(crate) ret: i32,
    pub(crate) err_msg: &'static str,
}

impl BaseResponse {
    pub(crate) fn of(ret: i32) -> Self {
        Self { ret, err_msg: "" }
    }
}

/// Source: the protocol sheet, section 3.2.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Contact {
    uin: u64,
    user_name: String,
    nick_name: String,
    head_img_url: String,
    contact_flag: u32,
    member_count: usize,
    member_list: Vec<Member>,
    remark_name: String,
    hide_input_bar_flag: u8,
    sex: u8,
    signature: String,
    verify_flag: u32,
    owner_uin: u64,
    #[serde(rename = "PYInitial")]
    py_initial: String,
    #[serde(rename = "PYQuanPin")]
    py_quan_pin: String,
    #[serde(rename = "RemarkPYInitial")]
    remark_py_initial: &'static str,
    #[serde(rename = "RemarkPYQuanPin")]
    remark_py_quan_pin: &'static str,
    star_friend: u8,
    app_account_flag: u8,
    statues: u8,
    attr_status: i64,
    province: &'static str,
    city: &'static str,
    alias: String,
    sns_flag: u32,
    uni_friend: u8,
    display_name: &'static str,
    chat_room_id: u8,
    key_word: String,
    encry_chat_room_id: String,
    is_owner: u8,
}

/// Source: the protocol sheet, section 3.3.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Member {
    uin: u64,
    user_name: String,
    nick_name: String,
    attr_status: i64,
    #[serde(rename = "PYInitial")]
    py_initial: &'static str,
    #[serde(rename = "PYQuanPin")]
    py_quan_pin: &'static str,
    #[serde(rename = "RemarkPYInitial")]
    remark_py_initial: &'static str,
    #[serde(rename = "RemarkPYQuanPin")]
    remark_py_quan_pin: &'static str,
    member_status: u8,
    display_name: String,
    key_word: String,
}

/// Source: the protocol sheet, section 3.4: a different, smaller shape.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ModContact {
    user_name: String,
    nick_name: String,
    sex: u8,
    head_img_update_flag: u8,
    contact_type: u8,
    alias: String,
    chat_room_owner: String,
    head_img_url: String,
    contact_flag: u32,
    member_count: usize,
    member_list: Vec<Member>,
    hide_input_bar_flag: u8,
    signature: String,
    verify_flag: u32,
    remark_name: String,
    statues: u8,
    attr_status: i64,
    province: &'static str,
    city: &'static str,
    sns_flag: u32,
    key_word: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DelContact {
    pub(crate) user_name: String,
    pub(crate) contact_flag: u32,
}

/// How much of a group's members an answer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Members {
    /// Names only, as `webwxinit` does.
    Bare,
    Full,
    /// None at all, and a count of zero: as `webwxgetcontact` does.
    Hidden,
    /// The count, but not yet the list: as a first answer about a large room does.
    Late,
}

/// One session's view of the people.
pub(crate) struct View<'a> {
    pub(crate) people: &'a People,
    pub(crate) names: Names,
    pub(crate) skey: &'a str,
}

impl View<'_> {
    pub(crate) fn name(&self, who: Who) -> String {
        self.names.name(who)
    }

    pub(crate) fn avatar(&self, who: Who) -> String {
        let page = if who.is_group() { "webwxgetheadimg" } else { "webwxgeticon" };
        format!(
            "/cgi-bin/mmwebwx-bin/{page}?seq={}&username={}&skey={}",
            self.people.version(who),
            self.name(who),
            self.skey
        )
    }

    fn contact_flag(&self, who: Who) -> u32 {
        let edits = &self.people.edits;
        let base = match who {
            Who::Contact(_) => 3,
            Who::Group(at) if self.people.is_saved(at) => 3,
            Who::Group(_) | Who::Special(_) => 2,
            Who::Own | Who::Stranger(..) => 0,
        };
        let pinned = if edits.pinned.contains(&who) { 0x800 } else { 0 };
        let muted = if edits.muted.contains(&who) && !who.is_group() { 0x200 } else { 0 };
        base | pinned | muted
    }

    fn verify_flag(&self, who: Who) -> u32 {
        match who {
            Who::Special(1) => 56,
            _ if self.people.is_official(who) => 24,
            _ => 0,
        }
    }

    fn statues(&self, who: Who) -> u8 {
        u8::from(who.is_group() && !self.people.edits.muted.contains(&who))
    }

    fn members(&self, group: u32, how: Members) -> Vec<Member> {
        // Of a room that the account was removed from nothing is told. Source: the protocol sheet, section 2.10.
        let is_in = self.people.members(group).contains(&Who::Own);
        if !is_in || matches!(how, Members::Hidden | Members::Late) {
            return Vec::new();
        }
        let full = how == Members::Full;
        let text = |make: &dyn Fn() -> String| if full { make() } else { String::new() };
        self.people
            .members(group)
            .into_iter()
            .map(|who| Member {
                uin: 0,
                user_name: self.name(who),
                nick_name: text(&|| self.member_nick(who)),
                attr_status: if full { self.people.attr_status(who) } else { 0 },
                py_initial: "",
                py_quan_pin: "",
                remark_py_initial: "",
                remark_py_quan_pin: "",
                member_status: 0,
                display_name: text(&|| self.people.display_name(group, who)),
                key_word: text(&|| self.people.key_word(who)),
            })
            .collect()
    }

    /// The owner's remark where there is one. Source: the paper on contact identity, traps.
    fn member_nick(&self, who: Who) -> String {
        let remark = self.people.remark(who);
        if remark.is_empty() { self.people.nick(who) } else { remark }
    }

    fn member_count(&self, group: u32, how: Members) -> usize {
        let members = self.people.members(group);
        if how == Members::Hidden || !members.contains(&Who::Own) { 0 } else { members.len() }
    }

    pub(crate) fn contact(&self, who: Who, how: Members) -> Contact {
        let people = self.people;
        let (province, city) = people.place(who);
        let nick = people.nick(who);
        let latin: String = nick.chars().filter(char::is_ascii_alphanumeric).collect();
        let (member_count, member_list, room_id, is_owner) = match who {
            Who::Group(at) => (
                self.member_count(at, how),
                self.members(at, how),
                if how == Members::Bare { String::new() } else { self.names.room_id(at) },
                u8::from(people.room_owner(at) == Who::Own),
            ),
            _ => (0, Vec::new(), String::new(), 0),
        };
        Contact {
            uin: 0,
            user_name: self.name(who),
            head_img_url: self.avatar(who),
            contact_flag: self.contact_flag(who),
            member_count,
            member_list,
            remark_name: people.remark(who),
            hide_input_bar_flag: 0,
            sex: people.sex(who),
            signature: people.signature(who).to_owned(),
            verify_flag: self.verify_flag(who),
            owner_uin: 0,
            py_initial: latin.to_ascii_uppercase(),
            py_quan_pin: latin,
            nick_name: nick,
            remark_py_initial: "",
            remark_py_quan_pin: "",
            star_friend: 0,
            app_account_flag: 0,
            statues: self.statues(who),
            attr_status: if who.is_group() { 0 } else { people.attr_status(who) },
            province,
            city,
            alias: if people.is_official(who) { format!("example-{who}") } else { String::new() },
            sns_flag: if matches!(who, Who::Contact(_)) { 17 } else { 0 },
            uni_friend: 0,
            display_name: "",
            chat_room_id: 0,
            key_word: people.key_word(who),
            encry_chat_room_id: room_id,
            is_owner,
        }
    }

    pub(crate) fn mod_contact(&self, who: Who) -> ModContact {
        let people = self.people;
        let (province, city) = people.place(who);
        let (member_count, member_list, owner) = match who {
            Who::Group(at) => {
                let members = self.members(at, Members::Full);
                (members.len(), members, self.name(people.room_owner(at)))
            }
            _ => (0, Vec::new(), String::new()),
        };
        ModContact {
            user_name: self.name(who),
            nick_name: people.nick(who),
            sex: people.sex(who),
            head_img_update_flag: 1,
            contact_type: 0,
            alias: String::new(),
            chat_room_owner: owner,
            head_img_url: self.avatar(who),
            contact_flag: self.contact_flag(who),
            member_count,
            member_list,
            hide_input_bar_flag: 0,
            signature: people.signature(who).to_owned(),
            verify_flag: self.verify_flag(who),
            remark_name: people.remark(who),
            statues: self.statues(who),
            attr_status: people.attr_status(who),
            province,
            city,
            sns_flag: 0,
            key_word: people.key_word(who),
        }
    }
}

#[derive(Debug, Default, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RecommendInfo {
    pub(crate) user_name: String,
    pub(crate) nick_name: String,
    #[serde(rename = "QQNum")]
    pub(crate) qq_num: u32,
    pub(crate) province: &'static str,
    pub(crate) city: &'static str,
    pub(crate) content: String,
    pub(crate) signature: &'static str,
    pub(crate) alias: String,
    pub(crate) scene: u32,
    pub(crate) verify_flag: u32,
    pub(crate) attr_status: i64,
    pub(crate) sex: u8,
    pub(crate) ticket: String,
    pub(crate) op_code: u32,
}

#[derive(Debug, Default, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AppInfo {
    #[serde(rename = "AppID")]
    pub(crate) app_id: &'static str,
    #[serde(rename = "Type")]
    pub(crate) kind: u32,
}

/// Source: the protocol sheet, section 3.6.
#[derive(Debug, Default, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AddMsg {
    pub(crate) msg_id: String,
    pub(crate) from_user_name: String,
    pub(crate) to_user_name: String,
    pub(crate) msg_type: i32,
    pub(crate) content: String,
    pub(crate) status: u8,
    pub(crate) img_status: u8,
    pub(crate) create_time: u64,
    pub(crate) voice_length: u32,
    pub(crate) play_length: u32,
    pub(crate) file_name: String,
    pub(crate) file_size: String,
    pub(crate) media_id: String,
    pub(crate) url: String,
    pub(crate) app_msg_type: i32,
    pub(crate) status_notify_code: u32,
    pub(crate) status_notify_user_name: String,
    pub(crate) recommend_info: RecommendInfo,
    pub(crate) forward_flag: u32,
    pub(crate) app_info: AppInfo,
    pub(crate) has_product_id: u32,
    pub(crate) ticket: String,
    pub(crate) img_height: u32,
    pub(crate) img_width: u32,
    pub(crate) sub_msg_type: u32,
    pub(crate) new_msg_id: u64,
    pub(crate) ori_content: String,
    pub(crate) encry_file_name: String,
}

#[derive(Debug, Default, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Buff {
    pub(crate) buff: String,
}

/// Source: the protocol sheet, section 3.5.
#[derive(Debug, Default, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Profile {
    pub(crate) bit_flag: u32,
    pub(crate) user_name: Buff,
    pub(crate) nick_name: Buff,
    pub(crate) bind_uin: u32,
    pub(crate) bind_email: Buff,
    pub(crate) bind_mobile: Buff,
    pub(crate) status: u32,
    pub(crate) sex: u32,
    pub(crate) personal_card: u32,
    pub(crate) alias: String,
    pub(crate) head_img_update_flag: u32,
    pub(crate) head_img_url: String,
    pub(crate) signature: String,
}

/// Source: the protocol sheet, section 2.12.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SyncAnswer {
    pub(crate) base_response: BaseResponse,
    pub(crate) add_msg_count: usize,
    pub(crate) add_msg_list: Vec<AddMsg>,
    pub(crate) mod_contact_count: usize,
    pub(crate) mod_contact_list: Vec<ModContact>,
    pub(crate) del_contact_count: usize,
    pub(crate) del_contact_list: Vec<DelContact>,
    pub(crate) mod_chat_room_member_count: usize,
    pub(crate) mod_chat_room_member_list: [u8; 0],
    pub(crate) profile: Profile,
    pub(crate) continue_flag: u32,
    pub(crate) sync_key: KeyObject,
    #[serde(rename = "SKey")]
    pub(crate) skey: String,
    pub(crate) sync_check_key: KeyObject,
}

impl SyncAnswer {
    /// An answer without news: with the keys of `position`, or with empty keys for an error.
    pub(crate) fn quiet(ret: i32, position: Option<u64>) -> Self {
        let key = |which| position.map_or_else(KeyObject::empty, |at| KeyObject::at(at, which));
        Self {
            base_response: BaseResponse::of(ret),
            add_msg_count: 0,
            add_msg_list: Vec::new(),
            mod_contact_count: 0,
            mod_contact_list: Vec::new(),
            del_contact_count: 0,
            del_contact_list: Vec::new(),
            mod_chat_room_member_count: 0,
            mod_chat_room_member_list: [],
            profile: Profile::default(),
            continue_flag: 0,
            sync_key: key(Which::Sync),
            skey: String::new(),
            sync_check_key: key(Which::Check),
        }
    }
}

/// The service's printing: one token group per line, the comma on a line of its own after a closing bracket.
///
/// Source: the protocol sheet, section 2.1.4.
struct Odd;

impl serde_json::ser::Formatter for Odd {
    fn begin_object<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b"{\n")
    }

    fn end_object<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b"\n}\n")
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b",\n") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }

    fn end_array<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b"]\n")
    }
}

/// `value` as the service prints it, with a byte that is not UTF-8 for each mark.
pub(crate) fn print<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(1_024);
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Odd);
    if value.serialize(&mut serializer).is_err() {
        // Only a map with keys that are not text could fail, and there is none.
        out.clear();
    }
    let mut mark = [0; 4];
    let mark = BAD_UTF8_MARK.encode_utf8(&mut mark).as_bytes();
    while let Some(at) = out.windows(mark.len()).position(|window| window == mark) {
        out.splice(at..at + mark.len(), [0xe5, 0xad]);
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::print;

    #[test]
    fn answers_are_printed_oddly_but_parse() {
        let value = json!({"BaseResponse": {"Ret": 0, "ErrMsg": ""}});
        let text = String::from_utf8(print(&value)).unwrap();
        assert_eq!(text, "{\n\"BaseResponse\": {\n\"ErrMsg\": \"\",\n\"Ret\": 0\n}\n\n}\n");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        let bad = print(&json!({"NickName": "截\u{f8ff}"}));
        assert!(String::from_utf8(bad).is_err());
    }
}
