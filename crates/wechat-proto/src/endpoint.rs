//! One module per endpoint: what is asked, and how the answer is read.

pub mod batch_get_contact;
pub mod check_upload;
pub mod create_chatroom;
pub mod envelope;
pub mod get_contact;
pub mod get_head_img;
pub mod get_icon;
pub mod get_location_map;
pub mod get_media;
pub mod get_msg_img;
pub mod get_video;
pub mod get_voice;
pub mod init;
pub mod js_login;
pub mod login;
pub mod logout;
pub mod media;
pub mod new_login_page;
pub mod oplog;
pub mod preview;
pub mod push_login;
pub mod revoke_msg;
pub mod search_contact;
pub mod send_app;
pub mod send_card;
pub mod send_emoticon;
pub mod send_image;
pub mod send_location;
pub mod send_text;
pub mod send_video;
pub mod status_notify;
pub mod sync;
pub mod sync_check;
pub mod update_chatroom;
pub mod upload_media;
pub mod verify_user;

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};

pub use batch_get_contact::{BatchGetContact, Wanted};
pub use check_upload::CheckUpload;
pub use create_chatroom::CreateChatroom;
pub use envelope::{Sent, To};
pub use get_contact::GetContact;
pub use get_head_img::GetHeadImg;
pub use get_icon::GetIcon;
pub use get_location_map::GetLocationMap;
pub use get_media::GetMedia;
pub use get_msg_img::{GetMsgImg, ImageSize};
pub use get_video::GetVideo;
pub use get_voice::GetVoice;
pub use init::Init;
pub use js_login::JsLogin;
pub use login::{LoginPoll, LoginStatus, Scanned};
pub use logout::{Logout, LogoutCause};
pub use media::MediaBody;
pub use new_login_page::{Exchange, NewLoginPage};
pub use oplog::{Pin, SetPin, SetRemark};
pub use preview::Preview;
pub use push_login::PushLogin;
pub use revoke_msg::RevokeMsg;
pub use search_contact::SearchContact;
pub use send_app::{AppSource, SendApp};
pub use send_card::SendCard;
pub use send_emoticon::{EmoticonSource, SendEmoticon};
pub use send_image::{ImageSource, SendImage};
pub use send_location::SendLocation;
pub use send_text::SendText;
pub use send_video::SendVideo;
pub use status_notify::{Notify, StatusNotify};
pub use sync::{Changes, FetchChanges, Reading};
pub use sync_check::{Poll, SyncCheck};
pub use update_chatroom::{RoomChange, UpdateChatroom};
pub use upload_media::UploadPiece;
pub use verify_user::{Verify, VerifyUser};

use crate::{Call, ProtoError, RetCode, contact::Contact};

/// One thing that can be asked of the service.
pub trait Endpoint {
    /// What the answer says.
    type Reply;

    /// The service's name for it, for logs and errors.
    const NAME: &'static str;
    /// How long a client waits for the whole answer.
    const TIMEOUT: Duration;
    /// The largest answer that is read; more is an error of the transport.
    const BODY_LIMIT: usize;

    /// Builds the request, without cookies.
    ///
    /// # Errors
    ///
    /// If `call` or the fields lack something that the request cannot do without.
    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError>;

    /// Reads the answer. A refusal by the service is a reply whose [`Endpoint::verdict`] is not
    /// `Ok`, not an error.
    ///
    /// # Errors
    ///
    /// If the answer is not of the form of this endpoint.
    fn parse(&self, reply: &Response<Bytes>) -> Result<Self::Reply, ProtoError>;

    /// The result code inside a reply.
    fn verdict(reply: &Self::Reply) -> RetCode;
}

/// Polls: the server holds for about 25 s. Source: the protocol sheet, sections 2.1.7 and 7 (22).
pub const POLL_TIMEOUT: Duration = Duration::from_secs(35);
/// Sends and syncs. Source: the protocol sheet, section 2.1.7.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(15);
/// The steps of a login and `webwxoplog`. Source: the protocol sheet, section 2.1.7.
pub const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Contact lists of thousands. Source: the protocol sheet, section 2.9 ("60 s or more").
pub const CONTACTS_TIMEOUT: Duration = Duration::from_secs(90);
/// Everything without a figure of its own. Chosen: what the page allows its slowest sends.
pub const PLAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Media of up to 100 MB. Chosen: 100 MB at 1 MB/s plus a margin.
pub const MEDIA_TIMEOUT: Duration = Duration::from_secs(120);

/// Largest short answer. Chosen: real ones are below 2 KiB.
pub const SMALL_BODY: usize = 256 * 1024;
/// Largest list of contacts or changes. Chosen: 1700 contacts of a page take about 2 MiB.
pub const LIST_BODY: usize = 32 * 1024 * 1024;
/// Largest media body. Chosen: 100 MB is the most that any source allows. Source: the protocol
/// sheet, section 6.3.
pub const MEDIA_BODY: usize = 100 * 1024 * 1024;

/// Drops entries without a name: unknown names may come back with empty fields.
///
/// Source: the protocol sheet, section 2.10.
fn named(contacts: Vec<Contact>) -> Vec<Contact> {
    contacts.into_iter().filter(|contact| !contact.user_name.is_empty()).collect()
}

#[cfg(test)]
pub(crate) mod fixture;
