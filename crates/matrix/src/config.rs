//! What the operator may set.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use url::Url;
use wxgate_contract::NetworkId;
use wxgate_convert::Converter;

use crate::account::Account;
use crate::language::Translate;
use crate::secret::Secret;

/// Called with the address that was bound.
pub type Bound = Arc<dyn Fn(SocketAddr) + Send + Sync>;

/// The application service.
#[derive(Clone)]
pub struct MatrixConfig {
    /// Its network, `matrix`.
    pub network: NetworkId,
    /// Id of the registration; the homeserver's ping names it.
    pub id: String,
    /// Where the homeserver's client API is.
    pub homeserver: Url,
    /// The domain of its users.
    pub domain: String,
    /// Where the homeserver delivers events.
    pub listen: SocketAddr,
    /// We to the homeserver.
    pub as_token: Secret,
    /// The homeserver to us.
    pub hs_token: Secret,
    /// The token of the second registration, with which local users speak as themselves; empty
    /// when there is none.
    pub puppet_token: Secret,
    /// With which managers ask in the name of any user; empty when they may not.
    pub provisioning_secret: Secret,
    /// Localpart of the bot.
    pub bot_localpart: String,
    /// Display name of the bot.
    pub bot_name: String,
    /// What localparts of ghosts and aliases begin with; the registration reserves it.
    pub prefix: String,
    /// Display name of a ghost: `{name}` and `{mark}`, which is empty for human beings.
    pub name_template: String,
    /// What stands in front of what people say through somebody else's account: `{name}`, `{localpart}`,
    /// `{user_id}`.
    pub relay_name_template: String,
    /// Who may do what.
    pub permissions: Permissions,
    /// Whether rooms are encrypted.
    pub encryption: Encryption,
    /// Nothing is said or heard in a room that is not encrypted.
    pub encryption_required: bool,
    /// What people say counts only from devices that they have signed.
    pub only_signed_devices: bool,
    /// In rooms with at most so many members each ghost speaks with a device of its own.
    pub own_devices_up_to: usize,
    /// A word that `wxgate restore` left, another one each time; empty where nothing was ever restored. Devices
    /// that were made ready under another word begin anew.
    pub restored: String,
    /// Whether pictures are shown in small first.
    pub previews: Previews,
    /// Brings voice messages into the form that Matrix has for them; `None`: they go as they are.
    pub converter: Option<Arc<Converter>>,
    /// Puts what accounts say about themselves into Chinese; `None` for what is not theirs, or WeChat's own words.
    pub in_chinese: Translate,
    /// How a person hears what became of a message.
    pub receipts: Receipts,
    /// Largest file that is taken from Matrix.
    pub max_media_bytes: u64,
    /// Groups with at most this many members get all of them as ghosts at once; in larger ones
    /// they come as they speak.
    pub members_at_once: usize,
    /// Timings; tests shorten them.
    pub timings: Timings,
    /// Called once the listener is open.
    pub on_bound: Option<Bound>,
    /// An ordinary account that speaks for everybody; `None` for an application service.
    pub account: Option<Arc<dyn Account>>,
}

impl std::fmt::Debug for MatrixConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MatrixConfig")
            .field("network", &self.network)
            .field("homeserver", &self.homeserver.as_str())
            .field("domain", &self.domain)
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

/// A setting that cannot be used, as a sentence that names its key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {what}")]
pub struct SettingError {
    /// The key below `matrix.appservice`.
    pub key: &'static str,
    /// What is wrong with it.
    pub what: String,
}

impl MatrixConfig {
    /// The defaults for a homeserver.
    pub fn new(network: NetworkId, homeserver: Url, domain: impl Into<String>, listen: SocketAddr) -> Self {
        Self {
            network,
            id: "wechat".to_owned(),
            homeserver,
            domain: domain.into(),
            listen,
            as_token: Secret::default(),
            hs_token: Secret::default(),
            puppet_token: Secret::default(),
            provisioning_secret: Secret::default(),
            bot_localpart: "wechatbot".to_owned(),
            bot_name: "WeChat bridge".to_owned(),
            prefix: "wechat_".to_owned(),
            name_template: "{name}{mark} (WeChat)".to_owned(),
            relay_name_template: "{name}".to_owned(),
            permissions: Permissions::default(),
            encryption: Encryption::Off,
            encryption_required: false,
            only_signed_devices: false,
            own_devices_up_to: 500,
            restored: String::new(),
            previews: Previews::Auto,
            converter: None,
            in_chinese: |_| None,
            receipts: Receipts::default(),
            max_media_bytes: 100 << 20,
            members_at_once: 50,
            timings: Timings::default(),
            on_bound: None,
            account: None,
        }
    }

    /// The defaults for an ordinary account.
    ///
    /// # Errors
    /// When `user` is no user id.
    pub fn for_account(
        network: NetworkId,
        homeserver: Url,
        user: &str,
        account: Arc<dyn Account>,
    ) -> Result<Self, SettingError> {
        let parts = user.strip_prefix('@').and_then(|rest| rest.split_once(':'));
        let Some((localpart, domain)) = parts.filter(|(name, domain)| !name.is_empty() && !domain.is_empty())
        else {
            let what = "must be the whole id of the account: @name:example.org".to_owned();
            return Err(SettingError { key: "user", what });
        };
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Ok(Self {
            bot_localpart: localpart.to_owned(),
            name_template: "{name}{mark}".to_owned(),
            encryption: Encryption::Default,
            // A status event is a message to a homeserver that counts them.
            receipts: Receipts { status_events: false, ..Receipts::default() },
            account: Some(account),
            ..Self::new(network, homeserver, domain, nowhere)
        })
    }

    /// True when rooms that are made are encrypted.
    pub(crate) fn encrypts_from_the_start(&self) -> bool {
        let from_the_start = self.encryption == Encryption::Default || self.encryption_required;
        from_the_start && (self.account.is_some() || self.encrypts_on_demand())
    }

    /// True when people may switch encryption on, and what they say is encrypted by the devices of `crypto`.
    pub(crate) fn encrypts_on_demand(&self) -> bool {
        cfg!(feature = "encryption") && self.account.is_none() && self.encryption != Encryption::Off
    }

    /// Everything that is wrong with the settings, at once.
    pub fn check(&self) -> Vec<SettingError> {
        let mut wrong = Vec::new();
        let mut say = |key, what: &str| wrong.push(SettingError { key, what: what.to_owned() });
        if !matches!(self.homeserver.scheme(), "http" | "https") || self.homeserver.cannot_be_a_base() {
            say("homeserver", "must be an http or https address such as http://127.0.0.1:8008");
        }
        if self.domain.is_empty() || self.domain.contains(['/', '@', '#', ' ']) {
            say("domain", "must be the server name in your users' ids: example.org in @me:example.org");
        }
        let is_service = self.account.is_none();
        if is_service && self.as_token.is_empty() {
            say("as_token_file", "names no token; `wxgate matrix registration` writes one");
        }
        if is_service && self.hs_token.is_empty() {
            say("hs_token_file", "names no token; `wxgate matrix registration` writes one");
        }
        if !self.as_token.is_empty() && self.as_token.is(self.hs_token.reveal()) {
            say("hs_token_file", "must hold another token than as_token_file");
        }
        let is_localpart = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        };
        if !is_localpart(&self.prefix) {
            say("user_prefix", "may hold a-z, 0-9, '.', '_' and '-', and not nothing");
        }
        let is_bot = is_localpart(&self.bot_localpart) && !self.bot_localpart.starts_with(&self.prefix);
        if is_service && !is_bot {
            say("bot", "may hold a-z, 0-9, '.', '_' and '-', and must not begin with user_prefix");
        }
        if !self.name_template.contains("{name}") {
            say("name_template", "must contain {name}");
        }
        if !["{name}", "{localpart}", "{user_id}"].iter().any(|part| self.relay_name_template.contains(part))
        {
            say("relay_name_template", "must contain {name}, {localpart} or {user_id}");
        }
        if self.previews == Previews::On && !cfg!(feature = "previews") {
            say(
                "previews",
                "this build does not decode pictures; build with --features previews, or use \"auto\"",
            );
        }
        if is_service && self.encryption == Encryption::Default && !cfg!(feature = "encryption") {
            say(
                "encryption",
                "this build does not encrypt; build with --features encryption, or use \"off\" or \"allow\"",
            );
        }
        if is_service
            && self.encryption_required
            && (self.encryption == Encryption::Off || !cfg!(feature = "encryption"))
        {
            say(
                "encryption_required",
                "needs encryption = \"allow\" or \"default\" and a build with --features encryption",
            );
        }
        wrong
    }
}

/// Whether rooms are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// Never; nobody may switch it on in a room of ours.
    Off,
    /// When somebody switches it on. A build without the feature cannot read such rooms and says so in them.
    Allow,
    /// From the start.
    Default,
}

/// Whether pictures are decoded for a small copy and their blurred colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Previews {
    /// As far as this build can; covers of videos need no decoding.
    Auto,
    /// Always; a build that cannot does not start.
    On,
    /// Never.
    Off,
}

/// How a person hears what became of a message. Failures are told in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipts {
    /// The bot marks what was delivered as read.
    pub by_bot: bool,
    /// `com.beeper.message_send_status` events, for clients that show them.
    pub status_events: bool,
    /// A notice in the room for what was not, or may not have been, delivered.
    pub notices: bool,
}

impl Default for Receipts {
    fn default() -> Self {
        Self { by_bot: true, status_events: true, notices: true }
    }
}

/// What somebody may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    #[default]
    Nobody,
    /// Speak through somebody else's account, where that was set up.
    Relay,
    /// Have accounts of their own.
    User,
    /// Everything.
    Admin,
}

impl std::str::FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "relay" => Ok(Self::Relay),
            "user" => Ok(Self::User),
            "admin" => Ok(Self::Admin),
            _ => Err(format!("{text:?} is no permission; there are \"relay\", \"user\" and \"admin\"")),
        }
    }
}

/// Who may do what: a user id, else its domain, else `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions(BTreeMap<String, Level>);

impl Permissions {
    /// From the pairs of the configuration.
    ///
    /// # Errors
    /// Names the key that is no user id, no domain and not `*`.
    pub fn new(pairs: impl IntoIterator<Item = (String, Level)>) -> Result<Self, SettingError> {
        let mut levels = BTreeMap::new();
        for (who, level) in pairs {
            let is_user =
                who.strip_prefix('@').is_some_and(|rest| rest.contains(':') && !rest.starts_with(':'));
            let is_domain = !who.is_empty() && !who.contains(['@', '/', ' ']);
            if !is_user && !is_domain {
                let what = format!("{who:?} is neither a user id (@me:example.org) nor a domain nor \"*\"");
                return Err(SettingError { key: "permissions", what });
            }
            levels.insert(who, level);
        }
        Ok(Self(levels))
    }

    /// What `user_id` may do.
    pub fn of(&self, user_id: &str) -> Level {
        let domain = user_id.split_once(':').map_or("", |(_, domain)| domain);
        [user_id, domain, "*"].into_iter().find_map(|key| self.0.get(key)).copied().unwrap_or_default()
    }
}

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// One call, uploads and downloads aside. Synapse answers within seconds or hangs.
    pub call_timeout: Duration,
    /// First pause before the homeserver is tried again; doubles up to the cap.
    pub first_pause: Duration,
    /// Longest such pause. Chosen: what waits goes out within seconds of the homeserver's return.
    pub longest_pause: Duration,
    /// How long it takes at most until the homeserver is asked what it did not hand over, greetings
    /// aside. Chosen: a homeserver that was restarted unnoticed makes nothing later than this. An ordinary account is
    /// asked as often for what somebody has to do about its keys.
    pub catch_up: Duration,
    /// The same at least. Chosen: before whoever was forgotten asks what became of it. Keys that the homeserver could not
    /// be asked about are seen to as soon.
    pub catch_up_soonest: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            call_timeout: Duration::from_secs(60),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(10),
            catch_up: Duration::from_secs(300),
            catch_up_soonest: Duration::from_secs(15),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> MatrixConfig {
        let homeserver = Url::parse("http://127.0.0.1:8008").unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        MatrixConfig {
            as_token: Secret::new("a"),
            hs_token: Secret::new("h"),
            ..MatrixConfig::new("matrix".into(), homeserver, "example.org", listen)
        }
    }

    #[test]
    fn every_fault_is_told_at_once_and_names_its_key() {
        assert_eq!(config().check(), []);
        let bad = MatrixConfig {
            hs_token: Secret::new("a"),
            prefix: "WeChat".to_owned(),
            name_template: "x".to_owned(),
            relay_name_template: "somebody".to_owned(),
            encryption_required: true,
            ..config()
        };
        let keys: Vec<_> = bad.check().into_iter().map(|wrong| wrong.key).collect();
        assert_eq!(
            keys,
            ["hs_token_file", "user_prefix", "name_template", "relay_name_template", "encryption_required"]
        );
    }

    #[test]
    fn a_build_that_does_not_encrypt_says_which_feature_it_lacks() {
        let told = MatrixConfig { encryption: Encryption::Default, ..config() }.check();
        let is_fine = told.is_empty();
        assert_eq!(is_fine, cfg!(feature = "encryption"));
        assert!(told.iter().all(|wrong| wrong.to_string().contains("--features encryption")));
    }

    #[test]
    fn the_most_particular_permission_counts() {
        let pairs = [("*", Level::Relay), ("example.org", Level::User), ("@me:example.org", Level::Admin)];
        let permissions = Permissions::new(pairs.map(|(who, level)| (who.to_owned(), level))).unwrap();
        assert_eq!(permissions.of("@me:example.org"), Level::Admin);
        assert_eq!(permissions.of("@you:example.org"), Level::User);
        assert_eq!(permissions.of("@you:elsewhere"), Level::Relay);
        assert_eq!(Permissions::default().of("@you:elsewhere"), Level::Nobody);
        assert!(Permissions::new([("@me".to_owned(), Level::User)]).is_err());
    }
}
