//! What the server tells of itself in 005. Source: Modern IRC, "RPL_ISUPPORT".

use super::commands::AWAY_CHARS;
use super::config::{Guests, IrcServerConfig, LocalChannels};
use super::hall::{KEY_BYTES, KICK_BYTES, MAX_BANS, MAX_CHANGES, MAX_CHANNELS, TOPIC_BYTES};
use super::history::MAX_MESSAGES;
use super::names::{CHANNEL_BYTES, NICK_BYTES, REALNAME_BYTES, USER_BYTES};

/// Tokens on one line. Source: Modern IRC, "RPL_ISUPPORT".
const TOKENS: usize = 13;

/// How many channels one may be in: of groups as many as there are.
fn chanlimit(local: LocalChannels) -> String {
    match local {
        LocalChannels::Off => "#:".to_owned(),
        LocalChannels::Ampersand => format!("#:,&:{MAX_CHANNELS}"),
        LocalChannels::Hash => format!("#&:{MAX_CHANNELS}"),
    }
}

/// The modes of users and of channels, as 004 names them.
pub(super) fn modes(config: &IrcServerConfig) -> &'static str {
    if config.has_hall() { "Biow bhiklmnostv bhklov" } else { "i bhiklmnostv bhklov" }
}

/// What stands behind the nick in each line; `is_here` of a client on this machine.
pub(super) fn lines(config: &IrcServerConfig, is_here: bool) -> Vec<String> {
    let types = if config.local_channels == LocalChannels::Off { "#" } else { "#&" };
    let mut tokens: Vec<String> = vec![
        "CASEMAPPING=ascii".into(),
        format!("CHANLIMIT={}", chanlimit(config.local_channels)),
        format!("CHANNELLEN={CHANNEL_BYTES}"),
        format!("CHANTYPES={types}"),
        "CHANMODES=b,k,l,imnst".into(),
        "PREFIX=(ohv)@%+".into(),
        format!("CHATHISTORY={MAX_MESSAGES}"),
        "MSGREFTYPES=msgid,timestamp".into(),
        "ELIST=CMNTU".into(),
        "MONITOR=200".into(),
        "NETWORK=WeChat".into(),
        format!("NICKLEN={NICK_BYTES}"),
        "SAFELIST".into(),
        "SAFERATE".into(),
        "TARGMAX=PRIVMSG:4,NOTICE:4,TAGMSG:1,NAMES:,JOIN:,PART:,WHOIS:1,LIST:,KICK:4".into(),
        format!("TOPICLEN={TOPIC_BYTES}"),
        format!("KICKLEN={KICK_BYTES}"),
        format!("KEYLEN={KEY_BYTES}"),
        format!("MAXLIST=b:{MAX_BANS}"),
        format!("MODES={MAX_CHANGES}"),
        "UTF8ONLY".into(),
        "WHOX".into(),
        format!("AWAYLEN={AWAY_CHARS}"),
        format!("USERLEN={USER_BYTES}"),
        format!("NAMELEN={REALNAME_BYTES}"),
    ];
    if config.has_hall() {
        tokens.push("BOT=B".into());
    }
    if config.local_channels != LocalChannels::Off {
        tokens.push("STATUSMSG=@%+".into());
    }
    // Files and a password would go to whatever listens there on the client's own machine.
    if let Some(filehost) = config.filehost.as_ref().filter(|filehost| is_here || !filehost.is_local) {
        tokens.push(format!("soju.im/FILEHOST={}", filehost.url));
    }
    if config.guests == Guests::Off {
        tokens.push("draft/ACCOUNTREQUIRED".into());
    }
    tokens.chunks(TOKENS).map(|line| format!("{} :are supported by this server", line.join(" "))).collect()
}
