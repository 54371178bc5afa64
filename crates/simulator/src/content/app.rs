//! Type 49: the XML of app messages.
//!
//! Source: the protocol sheet, section 4.9.

use super::{AES, CDN, PROMPT, media_id, xml};
use crate::media::make;
use crate::message::{Kind, Message};

pub(super) struct App {
    pub(super) kind: i32,
    pub(super) title: String,
    pub(super) url: String,
    pub(super) content: String,
}

/// What differs from app message to app message.
#[derive(Default)]
struct Parts {
    kind: i32,
    title: String,
    description: String,
    url: String,
    extra: String,
    attach: String,
    source: String,
}

pub(super) fn app_xml(from: &str, message: &Message) -> App {
    if matches!(message.kind, Kind::MergedHistory) {
        // The service replaces the message by a text that is not XML.
        return App { kind: 0, title: String::new(), url: String::new(), content: PROMPT.to_owned() };
    }
    let parts = parts(from, message);
    let content = format!(
        "<?xml version=\"1.0\"?>\n<msg>\n\t<appmsg appid=\"\" sdkver=\"0\">\n\t\t<title>{}</title>\n\t\t<des>{}</des>\n\t\t<action>view</action>\n\t\t<type>{}</type>\n\t\t<showtype>0</showtype>\n\t\t<content />\n\t\t<url>{}</url>\n\t\t<lowurl />\n\t\t<messageaction />\n\t\t<extinfo />\n\t\t{}\n\t\t<sourceusername></sourceusername>\n\t\t<sourcedisplayname>{}</sourcedisplayname>\n\t\t<appattach>\n\t\t\t{}\n\t\t\t<cdnthumburl>{CDN}</cdnthumburl>\n\t\t\t<aeskey>{AES}</aeskey>\n\t\t</appattach>\n\t</appmsg>\n\t<fromusername>{from}</fromusername>\n\t<scene>0</scene>\n\t<appinfo>\n\t\t<version>1</version>\n\t\t<appname></appname>\n\t</appinfo>\n\t<commenturl></commenturl>\n</msg>\n",
        xml(&parts.title),
        xml(&parts.description),
        parts.kind,
        xml(&parts.url),
        parts.extra,
        xml(&parts.source),
        parts.attach,
    );
    App { kind: parts.kind, title: parts.title, url: parts.url, content }
}

fn parts(from: &str, message: &Message) -> Parts {
    let plain =
        Parts { attach: "<totallen>0</totallen><attachid /><fileext />".to_owned(), ..Parts::default() };
    match &message.kind {
        Kind::File { name } => {
            let length = message.kind.media(message.id).map_or(0, |sort| make(sort, message.id).len());
            let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
            Parts {
                kind: 6,
                title: name.to_string(),
                attach: format!(
                    "<totallen>{length}</totallen><attachid>{}</attachid><fileext>{}</fileext>",
                    media_id(message.id),
                    xml(extension)
                ),
                ..plain
            }
        }
        Kind::Link { title, url } => Parts {
            kind: 5,
            title: title.to_string(),
            description: "A page worth reading".to_owned(),
            url: url.to_string(),
            ..plain
        },
        Kind::Articles { count } => Parts {
            kind: 5,
            title: "First".to_owned(),
            url: "http://example.com/1".to_owned(),
            extra: articles_xml("Account", *count, message.at_s),
            ..plain
        },
        Kind::Music { title } => Parts {
            kind: 3,
            title: title.to_string(),
            description: "A singer".to_owned(),
            url: "http://example.com/song".to_owned(),
            extra: "<dataurl>http://example.com/song.mp3</dataurl>".to_owned(),
            ..plain
        },
        Kind::MiniProgram { title } => Parts {
            kind: 33,
            title: title.to_string(),
            url: "http://example.com/fallback".to_owned(),
            extra: "<weappinfo><pagepath /><username /><appid /></weappinfo>".to_owned(),
            source: "Mini program".to_owned(),
            ..plain
        },
        Kind::Quote { text, quoted, msg_id } => Parts {
            kind: 57,
            title: text.to_string(),
            extra: format!(
                "<refermsg><type>1</type><svrid>{}</svrid><fromusr>{from}</fromusr><chatusr>{from}</chatusr><displayname>Anna</displayname><content>{}</content></refermsg>",
                msg_id.unwrap_or(message.id.wrapping_sub(1)),
                xml(quoted)
            ),
            ..plain
        },
        Kind::Transfer { amount } => Parts {
            kind: 2_000,
            title: "微信转账".to_owned(),
            description: format!("收到转账{amount}元。如需收钱，请点此升级至最新版本"),
            url: "https://example.com/upgrade".to_owned(),
            extra: format!(
                "<wcpayinfo><paysubtype>1</paysubtype><feedesc><![CDATA[￥{amount}]]></feedesc><transcationid><![CDATA[1000000000]]></transcationid><transferid><![CDATA[1000000001]]></transferid><pay_memo><![CDATA[]]></pay_memo></wcpayinfo>"
            ),
            ..plain
        },
        _ => Parts { kind: 17, title: "我发起了位置共享".to_owned(), ..plain },
    }
}

pub(super) fn articles_xml(name: &str, count: u32, at_s: u64) -> String {
    let items: String = (1..=count)
        .map(|at| {
            format!(
                "<item><title><![CDATA[Article {at}]]></title><url><![CDATA[http://example.com/{at}?x=1&y=2]]></url><shorturl><![CDATA[]]></shorturl><longurl><![CDATA[]]></longurl><pub_time>{at_s}</pub_time><cover><![CDATA[http://example.com/{at}.jpg|300|150]]></cover><digest><![CDATA[Digest {at}]]></digest><fileid>0</fileid></item>"
            )
        })
        .collect();
    format!(
        "<mmreader><category type=\"20\" count=\"{count}\"><name><![CDATA[{name}]]></name><topnew><cover><![CDATA[http://example.com/c.jpg|300|150]]></cover><width>0</width><height>0</height><digest><![CDATA[]]></digest></topnew>{items}</category></mmreader>"
    )
}
