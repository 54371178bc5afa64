//! What only shows in the whole: keys that need each other, files, faces of other versions.

mod ports;
mod reader;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use tracing_subscriber::filter::Targets;
use wxgate_irc::{Encoding, SourcePrefix};
use wxgate_tls::{Certificate, Use};

use super::sections::{
    BotSection, InstanceSection, IrcNetworkEntry, IrcSections, LogSection, MatrixSections, StoreSection,
    WebSection, set,
};
use super::{Loaded, Origin, Problem, Purpose, show};
use crate::wiring;
pub(crate) use reader::{FileFault, Reader, secret_fault};

/// Longest name of an instance. Chosen: what PostgreSQL shows of a connection has room for it.
const INSTANCE_NAME_BYTES: usize = 20;

/// What is wrong, as key and sentence; the caller adds where the key was set.
struct Complaints {
    all: Vec<(String, String)>,
    /// In whose place files are judged, where that is not whoever asks.
    reader: Option<Reader>,
}

impl Complaints {
    fn add(&mut self, key: &str, message: impl Into<String>) {
        self.all.push((key.to_owned(), message.into()));
    }

    fn add_if(&mut self, wrong: bool, key: &str, message: &str) {
        if wrong {
            self.add(key, message);
        }
    }

    /// A file that must be there and readable.
    fn file(&mut self, key: &str, path: &Path) {
        let Some(path) = set(path) else { return };
        if let Err(e) = std::fs::File::open(path) {
            self.add(key, format!("{} cannot be read: {e}", path.display()));
        } else if let Some(fault) = self.reader.as_ref().and_then(|reader| reader.fault(path)) {
            self.add(key, fault.to_string());
        }
    }

    /// The certificate and the key of a listener, which must work together; where one cannot be read that was said.
    fn pair(&mut self, section: &str, serves: Use, (cert, key): (&Path, &Path)) {
        let keys = ["tls_cert", "tls_key"].map(|key| format!("{section}.{key}"));
        if self.all.iter().any(|(key, _)| keys.contains(key)) {
            return;
        }
        if let (Some(cert), Some(key)) = (set(cert), set(key))
            && let Err(error) = Certificate::load(serves, cert, key)
        {
            let [cert, _] = keys;
            self.add(&cert, error.to_string());
        }
    }

    /// A file that must be there, and that others must not be able to read.
    fn secret(&mut self, key: &str, path: &Path) {
        let Some(path) = set(path) else { return };
        match secret_fault(path) {
            Some(fault) => self.add(key, fault.to_string()),
            None => self.file(key, path),
        }
    }
}

impl Loaded {
    /// The keys of the file that hold a password which everybody can read there.
    pub(crate) fn open_passwords(&self) -> Vec<(&'static str, FileFault)> {
        let Some(fault) = self.file.as_deref().and_then(secret_fault) else { return Vec::new() };
        let settings = &self.settings;
        let keys = [("store.url", &settings.store.url), ("wechat.proxy", &settings.wechat.proxy)];
        let is_open = |(key, address): &(&'static str, &String)| {
            matches!(self.origin(key), Origin::File { .. }) && show::has_password(address)
        };
        keys.into_iter().filter(is_open).map(|(key, _)| (key, fault.clone())).collect()
    }
}

/// Everything that is wrong with the whole, which stands in `file`.
pub(super) fn check(loaded: &Loaded, purpose: Purpose, file: &Path) -> Vec<Problem> {
    let settings = &loaded.settings;
    let reader = (purpose == Purpose::Judge).then(|| Reader::instead_of_root(&settings.data_dir)).flatten();
    let mut complaints = Complaints { all: Vec::new(), reader };
    let root = settings.data_dir.as_os_str().is_empty();
    complaints.add_if(root, "data_dir", "must not be empty");
    settings.store.check(purpose, &mut complaints);
    settings.instance.check(&mut complaints);
    complaints.add_if(settings.wechat.device_name.is_empty(), "wechat.device_name", "must not be empty");
    settings.irc.check(&mut complaints);
    settings.matrix.check(&mut complaints);
    complaints.all.extend(wiring::matrix::faults(settings));
    complaints.all.extend(wiring::matrix_bot::faults(&settings.matrix.bot));
    let ffmpeg = settings.media.ffmpeg();
    let is_missing = ffmpeg.is_some_and(|program| !wxgate_convert::is_program(&program));
    complaints.add_if(is_missing, "media.ffmpeg", "is no program; give its path, \"auto\" or \"off\"");
    settings.web.check(&mut complaints);
    settings.log.check(&mut complaints);
    ports::check(settings, &mut complaints);
    // One that is being prepared elsewhere is not what the service reads.
    let is_its = file.starts_with("/etc");
    let unread = complaints.reader.as_ref().filter(|_| is_its).and_then(|reader| reader.fault(file));
    let place = |(key, message): (String, String)| Problem::new(loaded.origin(&key), key, message);
    let mut problems: Vec<Problem> = complaints.all.into_iter().map(place).collect();
    if let Some(fault) = unread {
        let origin = Origin::File { file: file.display().to_string(), line: 1 };
        problems.push(Problem::new(origin, "", fault.to_string()));
    }
    problems
}

impl StoreSection {
    fn check(&self, purpose: Purpose, complaints: &mut Complaints) {
        // A restore writes one that is not there, and looks at one that is.
        if purpose != Purpose::Restore || self.seal_key_file.exists() {
            complaints.secret("store.seal_key_file", &self.seal_key_file);
        }
        complaints.secret("store.password_file", &self.password_file);
        let url = self.url.as_str();
        if set(&self.password_file).is_some() {
            let is_file = url.starts_with("sqlite");
            complaints.add_if(
                is_file,
                "store.password_file",
                "is for PostgreSQL, and store.url names a file",
            );
            let message = "is a second one: store.url holds a password too; take it out there";
            complaints.add_if(show::has_password(url), "store.password_file", message);
        }
        match url.split_once(':') {
            _ if url == "sqlite" => {}
            Some(("sqlite", "")) => complaints.add("store.url", "names no file after sqlite:"),
            Some(("sqlite", _)) => {}
            Some(("postgres" | "postgresql", _)) => complaints.add_if(
                !cfg!(feature = "postgres"),
                "store.url",
                "PostgreSQL is not part of this build; build with --features postgres, or use \"sqlite\"",
            ),
            _ => complaints
                .add("store.url", "must be \"sqlite\", sqlite:PATH or postgres://USER@HOST/DATABASE"),
        }
    }
}

impl InstanceSection {
    fn check(&self, complaints: &mut Complaints) {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let is_name = self.name.chars().all(is_plain) && self.name.len() <= INSTANCE_NAME_BYTES;
        let message = format!("has letters, digits, '-', '_' and '.', at most {INSTANCE_NAME_BYTES}");
        complaints.add_if(!is_name, "instance.name", &message);
        let is_place = self.address.is_empty()
            || self.address.rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0)
            });
        complaints.add_if(
            !is_place,
            "instance.address",
            "must be HOST:PORT, as others reach instance.listen",
        );
    }
}

impl IrcSections {
    fn check(&self, complaints: &mut Complaints) {
        let server = &self.server;
        let mut names = BTreeSet::new();
        for network in &self.network {
            network.check(complaints);
            let is_new = names.insert(network.name.to_lowercase());
            complaints.add_if(!is_new, "irc.network.name", &format!("{:?} is used twice", network.name));
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        let named = server.name.contains('.') && server.name.len() <= 63 && server.name.chars().all(fits);
        // Clients tell servers from people by the dot. Source: the IRC notes, section 1.
        complaints.add_if(
            !named,
            "irc.server.name",
            "must be a host name with a dot, such as \"wxgate.local\"",
        );
        complaints.file("irc.server.tls_cert", &server.tls_cert);
        complaints.secret("irc.server.tls_key", &server.tls_key);
        complaints.file("irc.server.motd_file", &server.motd_file);
        if !server.tls_listen.is_empty() {
            let needed = "is needed for irc.server.tls_listen";
            complaints.add_if(set(&server.tls_cert).is_none(), "irc.server.tls_cert", needed);
            complaints.add_if(set(&server.tls_key).is_none(), "irc.server.tls_key", needed);
            if server.enabled {
                complaints.pair("irc.server", Use::Irc, (&server.tls_cert, &server.tls_key));
            }
        }
        let is_deaf =
            [&server.listen, &server.tls_listen, &server.websocket_listen].into_iter().all(Vec::is_empty);
        complaints.add_if(
            server.enabled && is_deaf,
            "irc.server.listen",
            "is empty, and so are tls_listen and websocket_listen; set enabled = false instead",
        );
    }
}

impl IrcNetworkEntry {
    fn check(&self, complaints: &mut Complaints) {
        let name = &self.name;
        let mut wrong = |is_wrong: bool, key: &str, message: &str| {
            complaints.add_if(is_wrong, &format!("irc.network.{key}"), &format!("{name:?}: {message}"));
        };
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
        let is_named = (1..=32).contains(&name.len()) && name.chars().all(fits);
        wrong(!is_named, "name", "must be 1 to 32 of a-z, 0-9, '-', '_' and '.'");
        wrong(name == "local", "name", "is the built-in server; take another name");
        wrong(self.address.is_empty(), "address", "must not be empty");
        let is_nick = |c: char| !c.is_control() && !c.is_whitespace() && !",!@*?.:#&$".contains(c);
        let has_nick = !self.nick.is_empty()
            && self.nick.len() <= 64
            && self.nick.chars().all(is_nick)
            && !self.nick.starts_with(|c: char| c.is_ascii_digit() || c == '-');
        wrong(!has_nick, "nick", "is no nick");
        let is_pinned = self.tls_fingerprint.is_empty() || self.fingerprint().is_some();
        wrong(!is_pinned, "tls_fingerprint", "must be 64 hex digits (SHA-256), with or without colons");
        let has_pair = set(&self.tls_cert).is_some() == set(&self.tls_key).is_some();
        wrong(!has_pair, "tls_key", "tls_cert and tls_key belong together");
        let secret = set(&self.sasl.password_file).is_some();
        wrong(secret && self.sasl.user.is_empty(), "sasl", "names a password and no user");
        let can_sign_in = self.sasl.user.is_empty() || secret || set(&self.tls_cert).is_some();
        wrong(
            !can_sign_in,
            "sasl",
            "names a user, and neither a password_file nor a tls_cert to sign in with",
        );
        let around = self.puppet_nick.replacen("{nick}", "", 1);
        let fits_around = |c: char| {
            c.is_ascii_alphanumeric() || matches!(c, '[' | ']' | '{' | '}' | '_' | '-' | '|' | '^' | '`')
        };
        let is_template = self.puppet_nick.contains("{nick}")
            && around.len() <= 8
            && around.chars().all(fits_around)
            && !self.puppet_nick.starts_with(|c: char| c.is_ascii_digit() || c == '-');
        wrong(
            !is_template,
            "puppet_nick",
            "must be {nick} with up to 8 letters, digits or signs of nicks around it, such as {nick}[wx]",
        );
        if !self.puppet_addresses.is_empty()
            && let Err(why) = self.puppet_addresses.parse::<SourcePrefix>()
        {
            wrong(true, "puppet_addresses", why);
        }
        let is_charset = Encoding::for_label(self.charset.as_bytes()).is_some();
        wrong(!is_charset, "charset", "is no charset that is known here, such as gb18030");
        complaints.file("irc.network.tls_cert", &self.tls_cert);
        complaints.secret("irc.network.tls_key", &self.tls_key);
        complaints.secret("irc.network.password_file", &self.password_file);
        complaints.secret("irc.network.sasl.password_file", &self.sasl.password_file);
        complaints.secret("irc.network.nickserv_password_file", &self.nickserv_password_file);
    }

    /// The pinned certificate's SHA-256; `None` when it is not 64 hex digits.
    pub(crate) fn fingerprint(&self) -> Option<[u8; 32]> {
        let digits: Vec<u8> = self
            .tls_fingerprint
            .chars()
            .filter(|c| *c != ':')
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect::<Option<_>>()?;
        let bytes: Vec<u8> =
            digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |n, d| n * 16 + d)).collect();
        (digits.len() == 64).then_some(bytes)?.try_into().ok()
    }
}

impl MatrixSections {
    fn check(&self, complaints: &mut Complaints) {
        complaints.secret("matrix.appservice.as_token_file", &self.appservice.as_token_file);
        complaints.secret("matrix.appservice.hs_token_file", &self.appservice.hs_token_file);
        complaints.secret("matrix.appservice.puppet_token_file", &self.appservice.puppet_token_file);
        let secret = &self.appservice.provisioning_secret_file;
        complaints.secret("matrix.appservice.provisioning_secret_file", secret);
        for who in self.appservice.permissions.keys() {
            let fits = !who.is_empty() && (!who.starts_with('@') || who.contains(':'));
            let key = format!("matrix.appservice.permissions.{who}");
            complaints.add_if(!fits, &key, "must be a domain or @name:domain");
        }
        let nobody = self.appservice.enabled && self.appservice.permissions.is_empty();
        let message = "lets nobody in; for example { \"example.org\" = \"user\" }";
        complaints.add_if(nobody, "matrix.appservice.permissions", message);
        self.bot.check(complaints);
    }
}

impl BotSection {
    fn check(&self, complaints: &mut Complaints) {
        complaints.secret("matrix.bot.password_file", &self.password_file);
        complaints.secret("matrix.bot.access_token_file", &self.access_token_file);
        if self.recovery_key_file.exists() {
            // It is written when there is none yet.
            complaints.secret("matrix.bot.recovery_key_file", &self.recovery_key_file);
        }
        for who in self.permissions.keys() {
            let fits = !who.is_empty() && (!who.starts_with('@') || who.contains(':'));
            complaints.add_if(
                !fits,
                &format!("matrix.bot.permissions.{who}"),
                "must be a domain or @name:domain",
            );
        }
        let nobody = self.enabled && self.permissions.is_empty();
        let message = "lets nobody in; for example { \"@me:example.org\" = \"admin\" }";
        complaints.add_if(nobody, "matrix.bot.permissions", message);
    }
}

impl WebSection {
    fn check(&self, complaints: &mut Complaints) {
        complaints.file("web.tls_cert", &self.tls_cert);
        complaints.secret("web.tls_key", &self.tls_key);
        let (cert, key) = (set(&self.tls_cert).is_some(), set(&self.tls_key).is_some());
        complaints.add_if(key && !cert, "web.tls_cert", "is needed with web.tls_key");
        complaints.add_if(cert && !key, "web.tls_key", "is needed with web.tls_cert");
        complaints.pair("web", Use::Web, (&self.tls_cert, &self.tls_key));
        complaints.add_if(
            cert && self.public_url.starts_with("http://"),
            "web.public_url",
            "must begin with https:// where web.tls_cert is set",
        );
        if self.listen.is_empty() {
            complaints.add("web.listen", "must not be empty");
        } else if self.public_url.is_empty() && !is_loopback(&self.listen) {
            let message = "is needed when web.listen can be reached from other machines \
                           (such as https://wx.example.org)";
            complaints.add("web.public_url", message);
        }
        if self.public_url.contains(['?', '#']) {
            complaints.add("web.public_url", "must not contain ? or #");
        }
    }
}

impl LogSection {
    fn check(&self, complaints: &mut Complaints) {
        if self.filter.parse::<Targets>().is_err() {
            let message =
                "must be a level (error, warn, info, debug, trace) or TARGET=LEVEL, parted by commas";
            complaints.add("log.filter", message);
        }
    }
}

/// True when only this machine reaches the address.
pub(crate) fn is_loopback(address: &str) -> bool {
    match address.parse::<SocketAddr>() {
        Ok(address) => address.ip().is_loopback(),
        Err(_) => address.rsplit_once(':').is_some_and(|(host, _)| host == "localhost"),
    }
}
