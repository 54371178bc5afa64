//! The typed sections. Values are in range and well formed once the table has judged them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use url::{Host, Url};
use wxgate_store::Keep;

/// Everything.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    pub(crate) store: StoreSection,
    pub(crate) instance: InstanceSection,
    pub(crate) wechat: WechatSection,
    pub(crate) irc: IrcSections,
    pub(crate) matrix: MatrixSections,
    pub(crate) web: WebSection,
    pub(crate) media: MediaSection,
    pub(crate) history: HistorySection,
    pub(crate) limits: LimitsSection,
    pub(crate) log: LogSection,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct StoreSection {
    pub(crate) url: String,
    pub(crate) password_file: PathBuf,
    pub(crate) seal_key_file: PathBuf,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct InstanceSection {
    pub(crate) name: String,
    pub(crate) lease_seconds: u32,
    pub(crate) listen: String,
    pub(crate) address: String,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Profile {
    Desktop,
    Web,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct WechatSection {
    pub(crate) service: String,
    pub(crate) profile: Profile,
    pub(crate) device_name: String,
    pub(crate) proxy: String,
    pub(crate) max_media_bytes: u64,
    pub(crate) emoji_as_faces: bool,
    pub(crate) remark_markers: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct IrcSections {
    pub(crate) server: IrcServerSection,
    pub(crate) ident: IdentSection,
    #[serde(default)]
    pub(crate) network: Vec<IrcNetworkEntry>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct IdentSection {
    pub(crate) listen: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct IrcServerSection {
    pub(crate) enabled: bool,
    pub(crate) name: String,
    pub(crate) listen: Vec<String>,
    pub(crate) tls_listen: Vec<String>,
    pub(crate) tls_cert: PathBuf,
    pub(crate) tls_key: PathBuf,
    pub(crate) sts_seconds: u32,
    pub(crate) proxy_from: Vec<String>,
    pub(crate) websocket_listen: Vec<String>,
    pub(crate) websocket_origins: Vec<String>,
    pub(crate) guests: GuestsChoice,
    pub(crate) guests_per_address: usize,
    pub(crate) max_guests: usize,
    pub(crate) local_channels: LocalChannelsChoice,
    pub(crate) flood_control: bool,
    pub(crate) join_lines_ms: u64,
    pub(crate) motd_file: PathBuf,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GuestsChoice {
    Off,
    Loopback,
    Anywhere,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub(crate) enum LocalChannelsChoice {
    #[serde(rename = "off")]
    Off,
    #[serde(rename = "&")]
    Ampersand,
    #[serde(rename = "#")]
    Hash,
}

/// One `[[irc.network]]`. Lists have no layer of defaults under them, so each key brings its own.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct IrcNetworkEntry {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) tls: bool,
    pub(crate) tls_fingerprint: String,
    pub(crate) tls_cert: PathBuf,
    pub(crate) tls_key: PathBuf,
    pub(crate) nick: String,
    pub(crate) password_file: PathBuf,
    pub(crate) sasl: SaslRecord,
    pub(crate) nickserv_password_file: PathBuf,
    pub(crate) charset: String,
    pub(crate) colours: bool,
    pub(crate) bots: bool,
    pub(crate) joins: bool,
    pub(crate) recalls: bool,
    pub(crate) lines_per_minute: u32,
    pub(crate) puppets: bool,
    pub(crate) max_puppets: usize,
    pub(crate) puppet_nick: String,
    pub(crate) puppet_addresses: String,
}

/// An account at a network's services.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SaslRecord {
    pub(crate) user: String,
    pub(crate) password_file: PathBuf,
}

impl Default for IrcNetworkEntry {
    /// As the table says; a test compares.
    fn default() -> Self {
        Self {
            name: "libera".to_owned(),
            address: "irc.libera.chat:6697".to_owned(),
            tls: true,
            tls_fingerprint: String::new(),
            tls_cert: PathBuf::new(),
            tls_key: PathBuf::new(),
            nick: "wxgate".to_owned(),
            password_file: PathBuf::new(),
            sasl: SaslRecord::default(),
            nickserv_password_file: PathBuf::new(),
            charset: "windows-1252".to_owned(),
            colours: true,
            bots: false,
            joins: false,
            recalls: false,
            lines_per_minute: 0,
            puppets: false,
            max_puppets: 30,
            puppet_nick: "{nick}[wx]".to_owned(),
            puppet_addresses: String::new(),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct MatrixSections {
    pub(crate) appservice: AppserviceSection,
    pub(crate) bot: BotSection,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encryption {
    Off,
    Allow,
    Default,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Previews {
    Auto,
    On,
    Off,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct AppserviceSection {
    pub(crate) enabled: bool,
    pub(crate) homeserver: String,
    pub(crate) domain: String,
    pub(crate) listen: String,
    pub(crate) public_url: String,
    pub(crate) as_token_file: PathBuf,
    pub(crate) hs_token_file: PathBuf,
    pub(crate) encryption: Encryption,
    pub(crate) encryption_required: bool,
    pub(crate) only_signed_devices: bool,
    pub(crate) own_devices_up_to: usize,
    pub(crate) previews: Previews,
    pub(crate) double_puppets: bool,
    pub(crate) puppet_token_file: PathBuf,
    pub(crate) provisioning_secret_file: PathBuf,
    pub(crate) id: String,
    pub(crate) bot: String,
    pub(crate) user_prefix: String,
    pub(crate) name_template: String,
    pub(crate) relay_name_template: String,
    pub(crate) permissions: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct BotSection {
    pub(crate) enabled: bool,
    pub(crate) homeserver: String,
    pub(crate) user: String,
    pub(crate) password_file: PathBuf,
    pub(crate) access_token_file: PathBuf,
    pub(crate) oauth: bool,
    pub(crate) recovery_key_file: PathBuf,
    pub(crate) permissions: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct WebSection {
    pub(crate) listen: String,
    pub(crate) public_url: String,
    pub(crate) tls_cert: PathBuf,
    pub(crate) tls_key: PathBuf,
    pub(crate) proxy_from: Vec<String>,
    pub(crate) metrics_from: Vec<String>,
}

impl WebSection {
    /// `https` with a certificate of its own, else `http`.
    pub(crate) fn scheme(&self) -> &'static str {
        if set(&self.tls_cert).is_some() { "https" } else { "http" }
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct MediaSection {
    pub(crate) keep_days: u32,
    pub(crate) max_store_bytes: u64,
    pub(crate) link_ttl_hours: u32,
    pub(crate) ffmpeg: String,
}

impl MediaSection {
    /// The program that converts files, if there is one.
    pub(crate) fn ffmpeg(&self) -> Option<PathBuf> {
        match self.ffmpeg.as_str() {
            "off" => None,
            "auto" => wxgate_convert::find("ffmpeg", &std::env::var_os("PATH")?),
            path => Some(PathBuf::from(path)),
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct HistorySection {
    pub(crate) keep_days: u32,
    pub(crate) max_messages_per_account: u64,
}

impl HistorySection {
    /// What is kept; 0 is everything.
    pub(crate) fn keep(self) -> Keep {
        let days = u64::from(self.keep_days);
        Keep {
            age: (days > 0).then(|| Duration::from_secs(days * 86_400)),
            messages: Some(self.max_messages_per_account).filter(|most| *most > 0),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct LimitsSection {
    pub(crate) accounts_per_user: usize,
    pub(crate) sends_per_minute: u32,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Pretty,
    Json,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct LogSection {
    pub(crate) format: LogFormat,
    pub(crate) filter: String,
}

/// The name of an IRC server that was given none; it leads nowhere.
const UNNAMED: &str = "wxgate.local";

impl Settings {
    /// How long an instance that is silent keeps what it has.
    pub(crate) fn lease(&self) -> Duration {
        Duration::from_secs(u64::from(self.instance.lease_seconds))
    }

    /// The control socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.data_dir.join("wxgate.sock")
    }

    /// Where the seal key is, or will be made.
    pub(crate) fn seal_key_file(&self) -> PathBuf {
        set(&self.store.seal_key_file).map_or_else(|| self.data_dir.join("seal.key"), Path::to_path_buf)
    }

    /// By what name or address clients reach this machine from elsewhere: the IRC server's name, else where the pages
    /// are; `None` when neither was set.
    pub(crate) fn client_host(&self) -> Option<String> {
        if self.irc.server.name != UNNAMED {
            return Some(self.irc.server.name.clone());
        }
        match Url::parse(&self.web.public_url).ok()?.host()? {
            Host::Domain(name) => Some(name.to_owned()),
            Host::Ipv4(address) => Some(address.to_string()),
            Host::Ipv6(address) => Some(address.to_string()),
        }
    }

    /// How links begin, without a slash at the end.
    pub(crate) fn link_base(&self) -> String {
        match self.web.public_url.trim_end_matches('/') {
            "" => format!("{}://{}", self.web.scheme(), self.web.listen),
            url => url.to_owned(),
        }
    }
}

/// A path that was set.
pub(crate) fn set(path: &Path) -> Option<&Path> {
    (!path.as_os_str().is_empty()).then_some(path)
}
