//! What the operator may set, and the numbers that tests shorten.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use url::Url;
use wechat_proto::Profile;
use wxgate_contract::NetworkId;
use wxgate_convert::Converter;

/// The settings of one account.
#[derive(Clone, Debug)]
pub struct WechatConfig {
    /// The account's network, `wechat:<name>`.
    pub network: NetworkId,
    /// Takes every login, api, file and push host, paths unchanged; `None`: the real hosts.
    pub service: Option<Url>,
    /// Way out; `None`: direct. One connection pool per way out, see [`crate::Ways`].
    pub proxy: Option<String>,
    /// As which client we present ourselves.
    pub profile: Profile,
    /// Language of the service's own texts.
    pub lang: String,
    /// Larger attachments are not fetched.
    pub max_media_bytes: u64,
    /// Brings files into the forms that WeChat shows; `None`: they go as they are.
    pub converter: Option<Arc<Converter>>,
    /// Emoji that people write are sent as the faces that WeChat has for them, `[微笑]`.
    pub emoji_as_faces: bool,
    /// Owners may have markers written into their remarks.
    pub remark_markers: bool,
    /// Gentleness towards the service.
    pub sends_per_minute: u32,
    /// Waits and limits.
    pub timings: Timings,
    /// Hears how long each sync took.
    pub on_synced: OnSynced,
}

/// Hears of each sync that brought something: from asking for it to its being on disk.
#[derive(Clone, Default)]
pub struct OnSynced(Option<Arc<dyn Fn(Duration) + Send + Sync>>);

impl OnSynced {
    /// Calls `hear`, which must not wait.
    pub fn new(hear: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hear)))
    }

    pub(crate) fn tell(&self, took: Duration) {
        if let Some(hear) = &self.0 {
            hear(took);
        }
    }
}

impl fmt::Debug for OnSynced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "OnSynced(heard)" } else { "OnSynced(unheard)" })
    }
}

impl WechatConfig {
    /// An account with the defaults of the product page.
    #[must_use]
    pub fn new(network: impl Into<NetworkId>) -> Self {
        Self {
            network: network.into(),
            service: None,
            proxy: None,
            profile: Profile::Desktop,
            lang: "zh_CN".to_owned(),
            max_media_bytes: 100 << 20,
            converter: None,
            emoji_as_faces: false,
            remark_markers: false,
            sends_per_minute: 30,
            timings: Timings::default(),
            on_synced: OnSynced::default(),
        }
    }
}

/// Waits and limits of a session. The defaults are for the real service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// Before the first retry after a transport fault; doubles with each one. Chosen.
    pub retry_first: Duration,
    /// Cap of the delay between attempts. Source: the protocol sheet, section 5.4.
    pub retry_cap: Duration,
    /// Pause when the service says that the account does too much. Chosen: hours are reported for a sign-in; a
    /// session that stands is looked after a little sooner. Source: the protocol sheet, section 2.1.8 (1205).
    pub slow_down: Duration,
    /// Before a lost session is confirmed by one more sync. Source: the protocol sheet, section 5.4.
    pub confirm_after: Duration,
    /// Cap of the delay while syncs keep coming back empty. Source: the protocol sheet, section 2.11.
    pub empty_cap: Duration,
    /// A sync without being told to, for polls that are stuck. Source: the protocol sheet, 2.11.
    pub unasked_sync: Duration,
    /// The list of contacts is read again after so long, or half of it: it alone tells the versions by which most are
    /// known after the next sign-in. Chosen: a large list is some twenty requests.
    /// Source: the paper on contact identity, method, step 9 ("now and then").
    pub reread_roster: Duration,
    /// A poll that comes back faster than this with nothing is not a long poll; after a few of
    /// them the next ones are spaced by it. Chosen.
    pub shortest_hold: Duration,
    /// How long the phone may take to confirm a push login. Source: the protocol sheet, section 2.5.
    pub push_patience: Duration,
    /// The same while somebody who asked to sign in waits: then they are shown a code. Chosen: a poll is held for some
    /// 25 seconds, so this is the end of the second one; who has the phone at hand has confirmed by then.
    pub asked_patience: Duration,
    /// How often a session is saved though nothing happened. Source: the protocol sheet, 5.7.
    pub save_every: Duration,
    /// Before an empty or failed download is tried again.
    pub download_retry: Duration,
    /// How long the pictures of those who write are not looked after, or half of it. Chosen: a session lasts days, and
    /// ten thousand accounts ask the store a few times a second.
    pub look_for_pictures: Duration,
    /// Before a change of a remark that got no answer is made again; it is the same change, however often it is made.
    pub remark_retry: Duration,
    /// Limit of each of the service's long polls; `None`: the endpoint's own.
    pub poll_timeout: Option<Duration>,
    /// Limit of every other call, and of the head of a download; `None`: the endpoint's own.
    pub call_timeout: Option<Duration>,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            retry_first: Duration::from_secs(1),
            retry_cap: Duration::from_secs(60),
            slow_down: Duration::from_secs(900),
            confirm_after: Duration::from_secs(1),
            empty_cap: Duration::from_secs(30),
            unasked_sync: Duration::from_secs(600),
            reread_roster: Duration::from_secs(3 * 24 * 3600),
            shortest_hold: Duration::from_secs(1),
            push_patience: Duration::from_secs(300),
            asked_patience: Duration::from_secs(40),
            save_every: Duration::from_secs(300),
            download_retry: Duration::from_secs(2),
            look_for_pictures: Duration::from_secs(3600),
            remark_retry: Duration::from_secs(30),
            poll_timeout: None,
            call_timeout: None,
        }
    }
}
