//! `POST BASE/webwxsendappmsg`: a file, or an app message passed on.
//!
//! Source: the protocol sheet, section 2.19.

use bytes::Bytes;
use http::Request;

use super::{
    Endpoint, To,
    envelope::{self, Fields, Scene, send_endpoint},
};
use crate::{Call, Profile, ProtoError, call::Address, hosts::HostRole, upload, xml};

/// In the `<appmsg>` of a file in the plain profile. Source: the protocol sheet, section 2.2.
pub const FILE_APP_ID: &str = "wxeb7ec651dd0aefa9";

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub enum AppSource<'a> {
    /// An uploaded file.
    File {
        /// Of an upload as `doc`.
        media_id: &'a str,
        /// Name to show; its directories are cut off.
        name: &'a str,
        /// Size.
        bytes: u64,
        /// From `webwxcheckupload`, for files above 25 MB.
        signature: Option<&'a str>,
    },
    /// A received app message: its type and the `<appmsg>…</appmsg>` of its decoded XML.
    Forward {
        /// Its `AppMsgType`.
        kind: u16,
        /// The element.
        appmsg: &'a str,
    },
}

/// The message.
#[derive(Debug, Clone, Copy)]
pub struct SendApp<'a> {
    /// From whom to whom.
    pub to: To<'a>,
    /// What is sent.
    pub source: AppSource<'a>,
}

impl Endpoint for SendApp<'_> {
    send_endpoint!("webwxsendappmsg");

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let address = Address::new(call, HostRole::Base, Self::NAME).with("fun", "async").with("f", "json");
        let address = match call.profile {
            Profile::Desktop => address.with("mod", "desktop"),
            Profile::Web => address,
        };
        match self.source {
            AppSource::File { media_id, name, bytes, signature } => {
                let content = file_xml(call.profile, media_id, name, bytes);
                let fields = Fields { kind: 6, content: Some(&content), signature, ..Fields::default() };
                envelope::request(Self::NAME, call, address, &self.to, fields, Scene::Original)
            }
            AppSource::Forward { kind, appmsg } => {
                let fields = Fields { kind, content: Some(appmsg), ..Fields::default() };
                envelope::request(Self::NAME, call, address, &self.to, fields, Scene::Forward)
            }
        }
    }
}

/// The `<appmsg>` of a file. Source: the protocol sheet, sections 2.1.6 (`appid`) and 2.19.
fn file_xml(profile: Profile, media_id: &str, name: &str, bytes: u64) -> String {
    let app_id = match profile {
        Profile::Web => FILE_APP_ID,
        Profile::Desktop => "",
    };
    let name = upload::base_name(name);
    format!(
        "<appmsg appid='{app_id}' sdkver=''><title>{}</title><des></des><action></action><type>6</type>\
         <content></content><url></url><lowurl></lowurl><appattach><totallen>{bytes}</totallen>\
         <attachid>{}</attachid><fileext>{}</fileext></appattach><extinfo></extinfo></appmsg>",
        xml::escape(name),
        xml::escape(media_id),
        xml::escape(&upload::extension(name)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ClientMsgId,
        endpoint::fixture::{body, call, query},
    };

    fn request(profile: Profile, name: &str) -> Request<Bytes> {
        let (own, to, id) = ("@s".into(), "@a".into(), ClientMsgId::from_stable(7));
        let source = AppSource::File { media_id: "@crypt_m", name, bytes: 11, signature: None };
        let send = SendApp { to: To { own: &own, to: &to, id: &id }, source };
        send.request(&Call { profile, ..call() }).unwrap()
    }

    #[test]
    fn item_64_names_are_cut_to_their_last_part_and_escaped() {
        let json = body(&request(Profile::Web, "/home/me/R&D <\"1\">.T&xt"));
        let content = json["Msg"]["Content"].as_str().unwrap();
        assert!(content.contains("<title>R&amp;D &lt;\"1\"&gt;.T&amp;xt</title>"), "{content}");
        assert!(content.contains("<fileext>t&amp;xt</fileext>"), "{content}");
        let json = body(&request(Profile::Web, "noextension"));
        assert!(json["Msg"]["Content"].as_str().unwrap().contains("<fileext></fileext>"));
    }

    #[test]
    fn item_13_a_file_of_the_desktop_profile_has_no_app_id() {
        let desktop = request(Profile::Desktop, "a.txt");
        assert_eq!(query(&desktop)["mod"], "desktop");
        assert!(body(&desktop)["Msg"]["Content"].as_str().unwrap().starts_with("<appmsg appid='' "));
        let json = body(&request(Profile::Web, "a.txt"));
        assert!(json["Msg"]["Content"].as_str().unwrap().contains(FILE_APP_ID));
        assert!(json["Msg"].get("Signature").is_none() && json["Msg"].get("MediaId").is_none());
    }
}
