//! A message as the service writes it: type, escaped content, and the fields beside it.
//!
//! Source: the protocol sheet, sections 4.1 to 4.15.

use crate::media::make;
use crate::message::{Kind, Message};
use crate::seed::hex;
use crate::who::Who;
use crate::wire::{AddMsg, RecommendInfo, View};

mod app;

use app::{app_xml, articles_xml};

/// The encryption key that real answers carry; it is of no use on the web.
const AES: &str = "00112233445566778899aabbccddeeff";
const CDN: &str = "3050020100044930470201000204";
/// The text in place of kinds that the web cannot show.
const PROMPT: &str = "[收到一条网页版微信暂不支持的消息类型，请在手机上查看]";

/// Text through the service's HTML-minded encoder: entities, `<br/>`, and spans for some emoji.
///
/// Source: the protocol sheet, section 4.2.
pub(crate) fn encode(text: &str, quote: bool) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' if quote => out.push_str("&quot;"),
            '\n' => out.push_str("<br/>"),
            '😄' | '🌺' | '🎉' | '👍' | '🍺' => {
                out.push_str(&format!("<span class=\"emoji emoji{:x}\"></span>", u32::from(character)));
            }
            other => out.push(other),
        }
    }
    out
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// What the encoder is given: content before escaping, and the fields of the message.
struct Draft {
    content: String,
    /// Whether the sender's name goes in front in groups (not for grey lines).
    prefixed: bool,
    add: AddMsg,
}

/// The message as this session sees it.
pub(crate) fn render(view: &View<'_>, message: &Message) -> AddMsg {
    let own = message.from == Who::Own;
    let me = view.name(Who::Own);
    let chat = view.name(message.chat);
    let mut draft = Draft {
        content: String::new(),
        prefixed: true,
        add: AddMsg {
            msg_id: message.id.to_string(),
            new_msg_id: message.id,
            create_time: message.at_s,
            status: 3,
            img_status: 1,
            from_user_name: if own { me.clone() } else { chat.clone() },
            to_user_name: if own { chat } else { me },
            ..AddMsg::default()
        },
    };
    let raw = fill(view, message, &mut draft);
    let mut add = draft.add;
    let encoded = if raw { draft.content } else { encode(&draft.content, message.id.is_multiple_of(2)) };
    add.content = if message.chat.is_group() && !own && draft.prefixed {
        format!("{}:<br/>{encoded}", view.name(message.from))
    } else {
        encoded
    };
    add
}

/// Fills the draft; true when the content is already as it goes on the wire.
fn fill(view: &View<'_>, message: &Message, draft: &mut Draft) -> bool {
    match &message.kind {
        Kind::Text { .. } | Kind::OldQuote { .. } => {
            draft.add.msg_type = 1;
            draft.content = message.kind.words().to_string();
        }
        Kind::System { .. } | Kind::RedPacket => {
            draft.add.msg_type = 10_000;
            draft.add.status = 4;
            draft.prefixed = false;
            draft.content = message.kind.words().to_string();
        }
        Kind::Image | Kind::Voice | Kind::Video | Kind::MicroVideo | Kind::Sticker { .. } => {
            fill_media(view, message, draft);
        }
        Kind::Location { label } => {
            fill_location(message, label, draft);
            return true;
        }
        Kind::Card { nick } => fill_card(view, message, nick, draft),
        Kind::FriendRequest { nick, greeting } => {
            fill_request(view, message, nick, greeting, draft);
        }
        Kind::Recommendation { nick } => {
            draft.add.msg_type = 40;
            draft.add.recommend_info = recommend(view, message, nick);
            draft.content = format!("<msg fromnickname=\"{}\" scene=\"13\" />", xml(nick));
        }
        Kind::Recall { msg_id } => {
            draft.add.msg_type = 10_002;
            draft.content = recall_xml(view, message, *msg_id);
        }
        Kind::PhoneState { code } => fill_phone_state(view, message, *code, draft),
        Kind::ConversationList { ids } => fill_conversations(view, *ids, draft),
        Kind::Call { msg_type } | Kind::Unknown { msg_type } => {
            draft.add.msg_type = *msg_type;
            draft.content = format!("<voipinvitemsg><roomid>{}</roomid></voipinvitemsg>", message.id);
        }
        Kind::Notice => {
            draft.add.msg_type = 9_999;
            draft.content = "<msg>notice</msg>".to_owned();
        }
        Kind::News => {
            draft.add.msg_type = 1;
            draft.content = articles_xml("腾讯新闻", 2, message.at_s);
        }
        _ => fill_app(view, message, draft),
    }
    false
}

fn fill_media(view: &View<'_>, message: &Message, draft: &mut Draft) {
    let length = message.kind.media(message.id).map_or(0, |sort| make(sort, message.id).len());
    let md5 = hex(&[message.id, 3], 32);
    let from = view.people.permanent_id(message.from);
    let add = &mut draft.add;
    match &message.kind {
        Kind::Image => {
            add.msg_type = 3;
            add.img_status = 2;
            (add.img_height, add.img_width) = (120, 90);
            draft.content = format!(
                "<?xml version=\"1.0\"?>\n<msg>\n\t<img aeskey=\"{AES}\" encryver=\"0\" cdnthumbaeskey=\"{AES}\" cdnthumburl=\"{CDN}\" cdnthumblength=\"6243\" cdnthumbheight=\"120\" cdnthumbwidth=\"90\" cdnmidheight=\"0\" cdnmidwidth=\"0\" cdnhdheight=\"0\" cdnhdwidth=\"0\" cdnmidimgurl=\"{CDN}\" length=\"{length}\" md5=\"{md5}\" />\n</msg>\n"
            );
        }
        Kind::Voice => {
            add.msg_type = 34;
            add.voice_length = 1_580;
            draft.content = format!(
                "<msg><voicemsg endflag=\"1\" cancelflag=\"0\" forwardflag=\"0\" voiceformat=\"4\" voicelength=\"1580\" length=\"{length}\" bufid=\"216800000000000000\" clientmsgid=\"{md5}\" fromusername=\"{from}\" /></msg>"
            );
        }
        Kind::Video => {
            add.msg_type = 43;
            add.img_status = 2;
            add.play_length = 2;
            (add.img_height, add.img_width) = (288, 216);
            draft.content = format!(
                "<?xml version=\"1.0\"?>\n<msg>\n\t<videomsg aeskey=\"{AES}\" cdnthumbaeskey=\"{AES}\" cdnvideourl=\"{CDN}\" cdnthumburl=\"{CDN}\" length=\"{length}\" playlength=\"2\" cdnthumblength=\"14622\" cdnthumbwidth=\"216\" cdnthumbheight=\"288\" fromusername=\"{from}\" md5=\"{md5}\" />\n</msg>\n"
            );
        }
        Kind::MicroVideo => {
            add.msg_type = 62;
            add.img_status = 2;
            add.play_length = 2;
            draft.content =
                format!("<msg><img length=\"{length}\" hdlength=\"0\" /><commenturl></commenturl></msg>");
        }
        _ => {
            add.msg_type = 47;
            (add.img_height, add.img_width) = (240, 240);
            if length == 0 {
                add.has_product_id = 1;
                return;
            }
            add.img_status = 2;
            draft.content = format!(
                "<msg><emoji fromusername = \"{from}\" tousername = \"{}\" type=\"2\" idbuffer=\"media:0_0\" md5=\"{md5}\" len = \"{length}\" productid=\"\" androidmd5=\"{md5}\" androidlen=\"{length}\" cdnurl = \"http://emoji.qpic.cn/wx_emoji/fixture/\" designerid = \"\" thumburl = \"\" aeskey= \"{AES}\" width= \"240\" height= \"240\" ></emoji> <gameext type=\"0\" content=\"0\" ></gameext></msg>",
                view.people.permanent_id(Who::Own)
            );
        }
    }
}

fn fill_location(message: &Message, label: &str, draft: &mut Draft) {
    let add = &mut draft.add;
    add.msg_type = 1;
    add.sub_msg_type = 48;
    add.url = "http://apis.map.qq.com/uri/v1/geocoder?coord=31.230416,121.473701".to_owned();
    add.ori_content = format!(
        "<?xml version=\"1.0\"?>\n<msg>\n\t<location x=\"31.230416\" y=\"121.473701\" scale=\"16\" label=\"{}\" maptype=\"0\" poiname=\"[位置]\" />\n</msg>\n",
        xml(label)
    );
    draft.content = format!(
        "{}:<br/>/cgi-bin/mmwebwx-bin/webwxgetpubliclinkimg?url=xxx&msgid={}&pictype=location",
        encode(label, false),
        message.id
    );
}

fn recommend(view: &View<'_>, message: &Message, nick: &str) -> RecommendInfo {
    RecommendInfo {
        user_name: view.name(Who::Stranger(0xff_ffff, (message.id & 0xffff_ffff) as u32)),
        nick_name: encode(nick, false),
        province: "上海",
        city: "浦东",
        scene: 14,
        attr_status: 102_437,
        sex: 1,
        ticket: format!("v4_{}@stranger", hex(&[message.id, 21], 32)),
        op_code: 2,
        ..RecommendInfo::default()
    }
}

fn fill_card(view: &View<'_>, message: &Message, nick: &str, draft: &mut Draft) {
    draft.add.msg_type = 42;
    draft.add.recommend_info =
        RecommendInfo { scene: 17, ticket: String::new(), op_code: 0, ..recommend(view, message, nick) };
    draft.content = format!(
        "<?xml version=\"1.0\"?>\n<msg bigheadimgurl=\"http://wx.qlogo.cn/mmhead/ver_1/fixture/0\" smallheadimgurl=\"http://wx.qlogo.cn/mmhead/ver_1/fixture/132\" username=\"v1_{}@stranger\" nickname=\"{}\" shortpy=\"\" alias=\"\" imagestatus=\"3\" scene=\"17\" province=\"上海\" city=\"浦东\" sign=\"\" sex=\"1\" certflag=\"0\" certinfo=\"\" brandFlags=\"0\" regionCode=\"CN_Shanghai_Pudong\" />\n",
        hex(&[message.id, 22], 16),
        xml(nick)
    );
}

fn fill_request(view: &View<'_>, message: &Message, nick: &str, greeting: &str, draft: &mut Draft) {
    let info = RecommendInfo { content: encode(greeting, false), ..recommend(view, message, nick) };
    draft.add.msg_type = 37;
    draft.add.ticket.clone_from(&info.ticket);
    draft.content = format!(
        "<msg fromusername=\"wxid_{}\" encryptusername=\"v1_{}@stranger\" fromnickname=\"{}\" content=\"{}\" imagestatus=\"3\" scene=\"14\" country=\"CN\" province=\"Shanghai\" city=\"Pudong\" sign=\"\" percard=\"1\" sex=\"1\" alias=\"\" snsflag=\"1\" mhash=\"{AES}\" bigheadimgurl=\"http://wx.qlogo.cn/mmhead/ver_1/fixture/0\" smallheadimgurl=\"http://wx.qlogo.cn/mmhead/ver_1/fixture/96\" ticket=\"{}\" opcode=\"2\" googlecontact=\"\" qrticket=\"\" chatroomusername=\"\" cardversion=\"\"><brandlist count=\"0\" ver=\"600000001\"></brandlist></msg>",
        hex(&[message.id, 23], 14),
        hex(&[message.id, 22], 16),
        xml(nick),
        xml(greeting),
        info.ticket
    );
    draft.add.recommend_info = info;
}

fn recall_xml(view: &View<'_>, message: &Message, msg_id: u64) -> String {
    let line = if message.from == Who::Own {
        "你撤回了一条消息".to_owned()
    } else {
        format!("\"{}\" 撤回了一条消息", view.people.nick(message.from))
    };
    format!(
        "<sysmsg type=\"revokemsg\"><revokemsg><session>{}</session><oldmsgid>{}</oldmsgid><msgid>{msg_id}</msgid><replacemsg><![CDATA[{line}]]></replacemsg></revokemsg></sysmsg>",
        view.people.permanent_id(message.chat),
        1_600_000_000 + msg_id % 100_000
    )
}

/// Source: the protocol sheet, section 4.13.
fn fill_phone_state(view: &View<'_>, message: &Message, code: u32, draft: &mut Draft) {
    let add = &mut draft.add;
    add.msg_type = 51;
    add.status_notify_code = code;
    add.from_user_name = view.name(Who::Own);
    add.to_user_name = view.name(message.chat);
    draft.prefixed = false;
    if code == 9 {
        return;
    }
    add.status_notify_user_name = view.name(message.chat);
    draft.content = format!(
        "<msg>\n<op id='{code}'>\n<username>{}</username>\n</op>\n</msg>",
        view.people.permanent_id(message.chat)
    );
}

/// The chats that the phone shows, newest first.
pub(crate) fn recent_chats(view: &View<'_>) -> Vec<Who> {
    let people = view.people;
    let groups = (0..people.groups).filter(|at| people.is_recent(*at)).map(Who::Group);
    let contacts = (0..people.contacts.min(12)).map(Who::Contact);
    std::iter::once(Who::filehelper())
        .chain(groups)
        .chain(contacts)
        .filter(|who| people.exists(*who))
        .collect()
}

fn fill_conversations(view: &View<'_>, ids: bool, draft: &mut Draft) {
    let chats = recent_chats(view);
    let join =
        |name: &dyn Fn(Who) -> String| chats.iter().map(|who| name(*who)).collect::<Vec<_>>().join(",");
    let add = &mut draft.add;
    add.msg_type = 51;
    add.status_notify_code = 4;
    add.from_user_name = view.name(Who::Own);
    add.to_user_name = view.name(Who::Own);
    add.status_notify_user_name = join(&|who| view.name(who));
    draft.prefixed = false;
    draft.content = format!(
        "<msg>\n<op id='4'>\n<username>{}</username>\n<unreadchatlist>\n<chat>\n<username>MomentsUnreadMsgStatus</username>\n<lastreadtime>1699990000</lastreadtime>\n</chat>\n</unreadchatlist>\n<unreadfunctionlist>\n</unreadfunctionlist>\n</op>\n</msg>",
        if ids { join(&|who| view.people.permanent_id(who)) } else { String::new() }
    );
}

/// The address under which the file of a message can be fetched from the file host.
pub(crate) fn media_id(msg_id: u64) -> String {
    format!("@crypt_{}_{}", hex(&[msg_id, 31], 8), hex(&[msg_id, 32], 32))
}

fn fill_app(view: &View<'_>, message: &Message, draft: &mut Draft) {
    let app = app_xml(&view.people.permanent_id(message.from), message);
    let add = &mut draft.add;
    add.msg_type = 49;
    add.app_msg_type = app.kind;
    add.file_name = encode(&app.title, false);
    add.url.clone_from(&app.url);
    if let Kind::File { name } = &message.kind {
        let length = message.kind.media(message.id).map_or(0, |sort| make(sort, message.id).len());
        add.file_size = length.to_string();
        add.media_id = media_id(message.id);
        add.encry_file_name = name
            .bytes()
            .map(|byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect();
    }
    draft.content = app.content;
}
