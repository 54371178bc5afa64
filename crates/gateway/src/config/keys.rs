//! The table of every key: what it may hold, its default, and what it means.
//!
//! The same table validates files and environment, supplies the defaults and writes the
//! reference, so that the three cannot disagree.

/// What a key may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// Yes or no.
    Flag,
    /// A whole number within bounds.
    Number { min: i64, max: i64 },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `HOST:PORT`, or empty where the default is empty.
    Address,
    /// A list of `HOST:PORT`.
    Addresses,
    /// A list of addresses and networks, `10.0.0.7` or `10.0.0.0/8`.
    Networks,
    /// A list of origins of web pages, `https://chat.example.org`.
    Origins,
    /// `http://` or `https://` address, or empty.
    Url,
    /// Address of a proxy, or empty.
    Proxy,
    /// Path of a file that need not be kept secret, or empty.
    File,
    /// Path of a file that others must not be able to read, or empty.
    SecretFile,
    /// An inline table with these keys.
    Record(&'static [Key]),
    /// A table of free names, each with one of these words.
    Words(&'static [&'static str]),
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// Its name within the section.
    pub(crate) name: &'static str,
    /// What it may hold.
    pub(crate) kind: Kind,
    /// The default, written as TOML.
    pub(crate) default: &'static str,
    /// For the reference; one or more lines.
    pub(crate) doc: &'static str,
}

/// A section of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    /// Dotted path; empty for the top of the file.
    pub(crate) path: &'static str,
    /// True for `[[path]]`, which may occur any number of times.
    pub(crate) is_list: bool,
    /// For the reference.
    pub(crate) doc: &'static str,
    /// Its keys.
    pub(crate) keys: &'static [Key],
}

const fn key(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { name, kind, default, doc }
}

/// Largest size that may be configured, in bytes: far beyond any disk, well within an `i64`.
const MOST_BYTES: i64 = 1 << 60;

const SASL: &[Key] = &[
    key("user", Kind::Text, "\"\"", "Account name at the network's services."),
    key("password_file", Kind::SecretFile, "\"\"", "File with the password."),
];

/// Every section, in the order of the reference.
pub(crate) const SECTIONS: &[Section] = &[
    Section {
        path: "",
        is_list: false,
        doc: "",
        keys: &[key(
            "data_dir",
            Kind::Text,
            "\"wxgate-data\"",
            "Directory of the database, the media files, the made keys and the control socket.\n\
             Made with mode 0700 when it is missing. One running gateway per directory.",
        )],
    },
    Section {
        path: "store",
        is_list: false,
        doc: "Durable state.",
        keys: &[
            key(
                "url",
                Kind::Text,
                "\"sqlite\"",
                "\"sqlite\" is wxgate.db in data_dir; or sqlite:PATH; or postgres://USER@HOST/DATABASE\n\
                 (in builds with the feature \"postgres\"). Where the server offers TLS it is spoken; with\n\
                 ?sslmode=require nothing is said without, and with ?sslmode=verify-full its certificate is\n\
                 judged, by the system's authorities or those in sslrootcert=PATH.",
            ),
            key(
                "password_file",
                Kind::SecretFile,
                "\"\"",
                "File with the password at PostgreSQL. One in url is known to whoever reads the configuration.",
            ),
            key(
                "seal_key_file",
                Kind::SecretFile,
                "\"\"",
                "32 random bytes in base64 that seal cookies and tokens at rest. Empty: made in data_dir\n\
                 with mode 0600. Without this file a copy of the database signs nobody in.",
            ),
        ],
    },
    Section {
        path: "instance",
        is_list: false,
        doc: "Several gateways that share the accounts of one PostgreSQL (docs/operations.md). One of them has the database:\n\
              it answers people, and lends accounts to the others. When it is gone another one takes its place. All of\n\
              them need the same seal key.",
        keys: &[
            key("name", Kind::Text, "\"\"", "Name of this instance; empty: host name and a random part."),
            key(
                "lease_seconds",
                Kind::Number { min: 5, max: 3600 },
                "15",
                "How long an instance that is silent keeps the accounts that it was lent, and a machine that is gone the\n\
                 database. Shorter: others go on sooner. Longer: a network that stutters moves no accounts.",
            ),
            key(
                "listen",
                Kind::Address,
                "\"127.0.0.1:0\"",
                "HOST:PORT where the others connect; port 0: any free one. With instances on other machines an address\n\
                 that they reach. What crosses is encrypted with a key that is made of the seal key.",
            ),
            key(
                "address",
                Kind::Text,
                "\"\"",
                "HOST:PORT by which the others reach that address. Empty: as in listen, or this machine's name where that\n\
                 is every address (0.0.0.0).",
            ),
        ],
    },
    WECHAT,
    IRC_SERVER,
    IRC_IDENT,
    IRC_NETWORK,
    APPSERVICE,
    BOT,
    WEB,
    Section {
        path: "media",
        is_list: false,
        doc: "Attachments. What is still to be delivered somewhere is never deleted.",
        keys: &[
            key(
                "keep_days",
                Kind::Number { min: 1, max: 36_500 },
                "30",
                "Attachments that nobody has fetched for this long are deleted.",
            ),
            key(
                "max_store_bytes",
                Kind::Number { min: 1 << 20, max: MOST_BYTES },
                "10737418240",
                "Beyond this much the attachments that were fetched least recently are deleted first.",
            ),
            key(
                "link_ttl_hours",
                Kind::Number { min: 1, max: 87_600 },
                "168",
                "How long a link to an attachment works.",
            ),
            key(
                "ffmpeg",
                Kind::Text,
                "\"auto\"",
                "The program that brings files into the forms which the other side shows: stickers of Matrix\n\
                 as GIF, voice as MP3, WebP and HEIC as JPEG or PNG, films as MP4 for WeChat; voice as Opus for\n\
                 Matrix. \"auto\": where the system has it; a path; or \"off\". Without it files go as they are.",
            ),
        ],
    },
    Section {
        path: "history",
        is_list: false,
        doc: "How much of what was said is kept. What is still to be delivered somewhere is never forgotten.",
        keys: &[
            key(
                "keep_days",
                Kind::Number { min: 0, max: 36_500 },
                "0",
                "Messages that are older are forgotten. 0: they are kept for ever.",
            ),
            key(
                "max_messages_per_account",
                Kind::Number { min: 0, max: MOST_BYTES },
                "0",
                "Beyond so many messages of an account the oldest are forgotten. 0: all are kept.",
            ),
        ],
    },
    Section {
        path: "limits",
        is_list: false,
        doc: "Limits that protect people and the service.",
        keys: &[
            key(
                "accounts_per_user",
                Kind::Number { min: 1, max: 1_000_000 },
                "10",
                "How many WeChat accounts one person may add; for somebody else's number: wxgate user quota NAME.",
            ),
            key(
                "sends_per_minute",
                Kind::Number { min: 1, max: 6000 },
                "30",
                "Messages per account and minute towards WeChat, with jitter: be a gentle client. One account may\nhave a rate of its own: wxgate account rate NAME.",
            ),
        ],
    },
    Section {
        path: "log",
        is_list: false,
        doc: "The log goes to standard error and never contains message texts or secrets.",
        keys: &[
            key("format", Kind::Choice(&["pretty", "json"]), "\"pretty\"", "\"pretty\" or \"json\"."),
            key(
                "filter",
                Kind::Text,
                "\"info\"",
                "A level (error, warn, info, debug, trace), or several parted by commas with the part of\n\
                 the program they are for: \"info,wxgate_wechat=debug\".",
            ),
        ],
    },
];

const WECHAT: Section = Section {
    path: "wechat",
    is_list: false,
    doc: "The WeChat side.",
    keys: &[
        key(
            "service",
            Kind::Url,
            "\"\"",
            "Empty: the real host families. An address such as \"http://127.0.0.1:9000\" sends everything\n\
             that would go to them there, paths unchanged (tests, demo, relays).\n\
             A relay with a certificate of its own is trusted when the environment names it: SSL_CERT_FILE=FILE.",
        ),
        key(
            "profile",
            Kind::Choice(&["desktop", "web"]),
            "\"desktop\"",
            "Which client we present ourselves as: \"desktop\" or \"web\". Most accounts are refused as \"web\".",
        ),
        key(
            "device_name",
            Kind::Text,
            "\"wxgate\"",
            "A name for this client. webwx has no field for one: the phone shows words of its own for a client of\nthis kind, whatever stands here.",
        ),
        key(
            "proxy",
            Kind::Proxy,
            "\"\"",
            "http://HOST:PORT or socks5://HOST:PORT for everything towards WeChat; empty: none. An account may have\n\
             its own: wxgate account proxy NAME.",
        ),
        key(
            "max_media_bytes",
            Kind::Number { min: 1 << 10, max: MOST_BYTES },
            "104857600",
            "Attachments larger than this are not fetched; the message says so.",
        ),
        key(
            "emoji_as_faces",
            Kind::Flag,
            "false",
            "Whether emoji that people write go to WeChat as the faces that it has for them ([微笑] for a smile), as\n\
             its faces come from there as emoji. Otherwise they go as they are, which phones show too.",
        ),
        key(
            "remark_markers",
            Kind::Flag,
            "false",
            "Whether people may have markers written into their remarks, by which contacts are known again after a\n\
             sign-in: seven characters that they see on every device. Each of them has to ask for it.",
        ),
    ],
};

const IRC_SERVER: Section = Section {
    path: "irc.server",
    is_list: false,
    doc: "The built-in IRC server: each WeChat account is a network of its own to its owner.",
    keys: &[
        key("enabled", Kind::Flag, "true", "Whether to serve IRC."),
        key(
            "name",
            Kind::Text,
            "\"wxgate.local\"",
            "The server's name in what it says; a host name with a dot. Another one than this is where the pages\n\
             tell people to connect; otherwise that is the host of web.public_url.",
        ),
        key(
            "listen",
            Kind::Addresses,
            "[\"127.0.0.1:6667\"]",
            "Addresses without TLS. Passwords cross in the clear: loopback or a private network only.",
        ),
        key("tls_listen", Kind::Addresses, "[]", "Addresses with TLS, for example \"0.0.0.0:6697\"."),
        key(
            "tls_cert",
            Kind::File,
            "\"\"",
            "Certificate chain (PEM) for tls_listen; read again when it changes.",
        ),
        key("tls_key", Kind::SecretFile, "\"\"", "Private key (PEM) for tls_listen."),
        key(
            "sts_seconds",
            Kind::Number { min: 0, max: 31_536_000 },
            "2592000",
            "How long clients that came once insist on TLS (IRCv3 sts). Told where tls_listen is set, and\n\
             never to clients of this machine. Before you take TLS or its certificate away, set 0 and wait\n\
             this long: clients that came with TLS then forget it.",
        ),
        key(
            "websocket_listen",
            Kind::Addresses,
            "[]",
            "Addresses for web clients: IRC over WebSocket, without TLS; a reverse proxy adds it.",
        ),
        key(
            "websocket_origins",
            Kind::Origins,
            "[]",
            "Pages that may connect to websocket_listen, as their browsers name them\n\
             (\"https://chat.example.org\"). Empty: all may, and log in like everybody.",
        ),
        key(
            "proxy_from",
            Kind::Networks,
            "[]",
            "Reverse proxies, as addresses or networks: connections from there begin with a PROXY header\n\
             (version 1 or 2) that says who the client is. Without one they are closed, but for websocket_listen,\n\
             where X-Forwarded-For or Forwarded of the request may say it. List only those that set it.",
        ),
        key(
            "guests",
            Kind::Choice(&["off", "loopback", "anywhere"]),
            "\"off\"",
            "Who may come in without a password: nobody, whoever connects from this machine, everybody.\n\
             Guests see each other and the local channels, and nothing of WeChat.",
        ),
        key(
            "guests_per_address",
            Kind::Number { min: 1, max: 10_000 },
            "20",
            "Guests at once from one address; of IPv6, from one /64. Of this machine there may be a thousand.",
        ),
        key(
            "max_guests",
            Kind::Number { min: 1, max: 100_000 },
            "10000",
            "Users that see each other, whoever they are, beyond which no guest comes in; who has an account does.",
        ),
        key(
            "local_channels",
            Kind::Choice(&["off", "&", "#"]),
            "\"off\"",
            "Channels of the users among themselves: none, \"&name\", or \"#name\" as well where it is no\n\
             group of the account. With channels or guests the users of this instance see each other.",
        ),
        key(
            "flood_control",
            Kind::Flag,
            "true",
            "Whether lines have to wait when a client sends more than ten at once and five a second.",
        ),
        key(
            "join_lines_ms",
            Kind::Number { min: 0, max: 5000 },
            "300",
            "What one client says to one chat within so many milliseconds is one message, since clients cut long\n\
             text into lines (a line that looks cut is waited for longer). 0: each line is a message of its own.",
        ),
        key("motd_file", Kind::File, "\"\"", "Text of the message of the day; empty: a short built-in one."),
    ],
};

const IRC_IDENT: Section = Section {
    path: "irc.ident",
    is_list: false,
    doc: "Tells IRC networks that are joined as a guest whose connection is whose (RFC 1413).",
    keys: &[key(
        "listen",
        Kind::Addresses,
        "[]",
        "Addresses to listen on. Networks ask port 113: redirect it to a higher one, or let the\n\
         service listen below 1024 (docs/operations.md).",
    )],
};

const IRC_NETWORK: Section = Section {
    path: "irc.network",
    is_list: true,
    doc: "An existing IRC network that wxgate joins as a client. Which channels it enters is said by\n\
          wxgate link add, for example: wxgate link add wechat:alice/家 irc:libera/#home",
    keys: &[
        key("name", Kind::Text, "\"libera\"", "How this network is called here; its chats are irc:NAME/…"),
        key("address", Kind::Address, "\"irc.libera.chat:6697\"", "HOST:PORT of a server."),
        key("tls", Kind::Flag, "true", "Whether to use TLS."),
        key(
            "tls_fingerprint",
            Kind::Text,
            "\"\"",
            "SHA-256 of the server's certificate, as hex digits: only this one is taken. Empty: what the\n\
             certificate authorities of this machine vouch for.",
        ),
        key(
            "tls_cert",
            Kind::File,
            "\"\"",
            "Own certificate (PEM). Without a password in sasl it signs in (EXTERNAL).",
        ),
        key("tls_key", Kind::SecretFile, "\"\"", "Its key (PEM)."),
        key("nick", Kind::Text, "\"wxgate\"", "The relay's nick."),
        key(
            "password_file",
            Kind::SecretFile,
            "\"\"",
            "File with the password of the server itself (PASS), which few want.",
        ),
        key(
            "sasl",
            Kind::Record(SASL),
            "{ user = \"\", password_file = \"\" }",
            "Signs in at the network's services. A refusal ends it until somebody says\nwxgate network retry.",
        ),
        key(
            "nickserv_password_file",
            Kind::SecretFile,
            "\"\"",
            "File with the password for NickServ, for networks without SASL.",
        ),
        key(
            "charset",
            Kind::Text,
            "\"windows-1252\"",
            "What lines that are not UTF-8 are taken for, such as \"gb18030\". What is sent is UTF-8.",
        ),
        key("colours", Kind::Flag, "true", "Whether the names of people are coloured."),
        key("bots", Kind::Flag, "false", "Whether what bots say is carried on."),
        key("joins", Kind::Flag, "false", "Whether it is told who comes and goes."),
        key(
            "recalls",
            Kind::Flag,
            "false",
            "Whether it is said who recalled something, where the network has no way to take it back.",
        ),
        key(
            "lines_per_minute",
            Kind::Number { min: 0, max: 60_000 },
            "0",
            "Lines that are sent, after a burst of five; 0: what the network says, else 30.",
        ),
        key(
            "puppets",
            Kind::Flag,
            "false",
            "true: one connection per person who speaks, at most max_puppets. Ask the network first:\n\
             most let few connections come from one address, and treat more as an attack.",
        ),
        key("max_puppets", Kind::Number { min: 1, max: 1000 }, "30", "Most connections for puppets."),
        key(
            "puppet_nick",
            Kind::Text,
            "\"{nick}[wx]\"",
            "How they are called; {nick} stands for the person's name, in Latin letters where the network\n\
             does not say that it takes others.",
        ),
        key(
            "puppet_addresses",
            Kind::Text,
            "\"\"",
            "Addresses of this machine, as \"2001:db8:1::/64\": each puppet connects from one of its own, so that the\n\
             network can tell them apart. Linux has all of them after `ip -6 route add local PREFIX dev lo`.",
        ),
    ],
};

const APPSERVICE: Section = Section {
    path: "matrix.appservice",
    is_list: false,
    doc: "Matrix as an application service of a homeserver: every chat a room.",
    keys: &[
        key("enabled", Kind::Flag, "false", "Whether to run it."),
        key("homeserver", Kind::Url, "\"http://127.0.0.1:8008\"", "Client-server address of the homeserver."),
        key("domain", Kind::Text, "\"example.org\"", "The part of its user ids after the colon."),
        key("listen", Kind::Address, "\"127.0.0.1:29320\"", "Where we listen for the homeserver."),
        key(
            "public_url",
            Kind::Url,
            "\"\"",
            "How the homeserver reaches the listener; empty: http:// and the listen address.",
        ),
        key(
            "as_token_file",
            Kind::SecretFile,
            "\"\"",
            "Token with which we show ourselves. Empty: made in data_dir with mode 0600.",
        ),
        key(
            "hs_token_file",
            Kind::SecretFile,
            "\"\"",
            "Token with which the homeserver shows itself. Empty: made in data_dir with mode 0600.",
        ),
        key(
            "double_puppets",
            Kind::Flag,
            "false",
            "Whether what people of this homeserver say on the phone appears as theirs. Needs the second\n\
             registration: wxgate matrix registration --double-puppets",
        ),
        key(
            "puppet_token_file",
            Kind::SecretFile,
            "\"\"",
            "Token of the second registration. Empty: made in data_dir with mode 0600.",
        ),
        key(
            "provisioning_secret_file",
            Kind::SecretFile,
            "\"\"",
            "Secret with which a bridge manager asks in the name of any user. Empty: none may.",
        ),
        key("id", Kind::Text, "\"wechat\"", "Id of the registration, unique on the homeserver."),
        key("bot", Kind::Text, "\"wechatbot\"", "The part before the colon of the bot's user id."),
        key(
            "user_prefix",
            Kind::Text,
            "\"wechat_\"",
            "What the ids of WeChat people and the aliases of rooms begin with. Do not change it later.",
        ),
        key(
            "name_template",
            Kind::Text,
            "\"{name}{mark} (WeChat)\"",
            "How WeChat people are called: {name}, and {mark}, which is empty for human beings.",
        ),
        key(
            "relay_name_template",
            Kind::Text,
            "\"{name}\"",
            "What stands in front of what people say through somebody else's account (set-relay): {name},\n\
             {localpart} of their id, or the whole {user_id}.",
        ),
        key(
            "encryption",
            Kind::Choice(&["off", "allow", "default"]),
            "\"allow\"",
            "End-to-bridge encryption: \"off\", \"allow\" (a room is encrypted once somebody switches it on) or\n\
             \"default\" (from the start). Only builds with the feature \"encryption\" encrypt: others refuse\n\
             \"default\", and with \"allow\" say in an encrypted room that they cannot read it.",
        ),
        key(
            "encryption_required",
            Kind::Flag,
            "false",
            "Whether nothing may be said in clear: rooms are encrypted before the first message, and what people\n\
             say without encryption is not taken.",
        ),
        key(
            "only_signed_devices",
            Kind::Flag,
            "false",
            "Whether an encrypted message counts only if its sender has verified the device that it comes from,\n\
             and only such devices are given the keys to what is said: others can read nothing.\n\
             Against a homeserver that makes words up this and encryption_required are needed together.",
        ),
        key(
            "own_devices_up_to",
            Kind::Number { min: 0, max: 1_000_000 },
            "500",
            "Encrypted rooms with at most so many members hear each WeChat person through a device of their own,\n\
             which every client can check. In larger ones the bot's device encrypts for all of them, which saves\n\
             keys, but clients that insist on checked senders cannot read it.",
        ),
        key(
            "previews",
            Kind::Choice(&["auto", "on", "off"]),
            "\"auto\"",
            "Small copies of pictures and their blurred colours, which clients show first: \"auto\" as far as the\n\
             build can, \"on\" (only in builds with the feature \"previews\"), or \"off\".",
        ),
        key(
            "permissions",
            Kind::Words(&["relay", "user", "admin"]),
            "{ \"example.org\" = \"user\", \"@me:example.org\" = \"admin\" }",
            "Who may use it: domains and user ids, each \"relay\", \"user\" or \"admin\".",
        ),
    ],
};

const BOT: Section = Section {
    path: "matrix.bot",
    is_list: false,
    doc: "Matrix as an ordinary account on somebody's homeserver, for who administers none. Only in builds with\n\
          the feature \"matrix-bot\". Its rooms are encrypted. Give it an account of its own.",
    keys: &[
        key("enabled", Kind::Flag, "false", "Whether to run it."),
        key("homeserver", Kind::Url, "\"\"", "Client-server address of the homeserver."),
        key("user", Kind::Text, "\"\"", "The account, as @name:domain."),
        key("password_file", Kind::SecretFile, "\"\"", "File with its password."),
        key(
            "access_token_file",
            Kind::SecretFile,
            "\"\"",
            "File with an access token of it, where there is no password: one of a device that is used for\n\
             nothing else.",
        ),
        key(
            "oauth",
            Kind::Flag,
            "false",
            "Sign it in on a page of its homeserver's, where that is the way in (OAuth 2.0): an administrator opens\n\
             /matrix/sign-in of this gateway, or see wxgate matrix sign-in. In the place of the two files.",
        ),
        key(
            "recovery_key_file",
            Kind::SecretFile,
            "\"\"",
            "File with its recovery key. Where the account has none yet, one is made and written there.\n\
             Empty: matrix-bot.recovery in data_dir.",
        ),
        key(
            "permissions",
            Kind::Words(&["relay", "user", "admin"]),
            "{ \"@me:example.org\" = \"admin\" }",
            "Who may use it: user ids and domains, each \"relay\", \"user\" or \"admin\".",
        ),
    ],
};

const WEB: Section = Section {
    path: "web",
    is_list: false,
    doc: "HTTP: status page, media links, health, metrics.",
    keys: &[
        key("listen", Kind::Address, "\"127.0.0.1:8480\"", "HOST:PORT to listen on."),
        key(
            "public_url",
            Kind::Url,
            "\"\"",
            "How links to media are written. Empty: http:// (https:// with tls_cert) and the listen address.\n\
             Required when others than this machine can reach the listener.",
        ),
        key(
            "tls_cert",
            Kind::File,
            "\"\"",
            "Certificate chain (PEM), read again when the file changes: the listener speaks HTTPS then. Empty:\n\
             HTTP, for loopback or behind a TLS proxy.",
        ),
        key("tls_key", Kind::SecretFile, "\"\"", "Private key (PEM) for tls_cert."),
        key(
            "proxy_from",
            Kind::Networks,
            "[]",
            "Reverse proxies, as addresses or networks: X-Forwarded-For or Forwarded of requests from there says\n\
             who asks, which bounds attempts to sign in. List only those that set it; without it all people behind\n\
             a proxy are one address.",
        ),
        key(
            "metrics_from",
            Kind::Networks,
            "[\"127.0.0.0/8\", \"::1\", \"10.0.0.0/8\", \"172.16.0.0/12\", \"192.168.0.0/16\", \"fc00::/7\"]",
            "Who reads /metrics, as addresses or networks: this machine and private ones. Not what a proxy sends\n\
             on, unless proxy_from lists it and it says who asks. Tokens of administrators read it from everywhere.",
        ),
    ],
};

/// The section with this path.
pub(crate) fn section(path: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.path == path)
}

/// The key with this dotted path; not for keys inside records.
pub(crate) fn find(path: &str) -> Option<(&'static Section, &'static Key)> {
    let (section_path, name) = path.rsplit_once('.').unwrap_or(("", path));
    let section = section(section_path)?;
    section.keys.iter().find(|key| key.name == name).map(|key| (section, key))
}

/// The key or the list of sections that a dotted path is or leads into.
pub(crate) fn known_part(path: &str) -> Option<String> {
    let list = SECTIONS.iter().find(|section| section.is_list && leads_into(path, section.path));
    list.map(|section| section.path.to_owned()).or_else(|| paths().find(|known| leads_into(path, known)))
}

/// True when `path` is `known` or something inside it: a key, or an entry of a list.
pub(crate) fn leads_into(path: &str, known: &str) -> bool {
    path.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The default of what [`known_part`] gives, as TOML.
pub(crate) fn default_of(path: &str) -> &'static str {
    match find(path) {
        Some((section, key)) if !section.is_list => default_value(key),
        _ => "[]",
    }
}

fn default_value(key: &Key) -> &'static str {
    // Whom to let in is not something to presume.
    if matches!(key.kind, Kind::Words(_)) { "{}" } else { key.default }
}

/// `section.name`, or `name` at the top.
pub(crate) fn join(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

/// Every dotted path, keys and sections.
pub(crate) fn paths() -> impl Iterator<Item = String> {
    SECTIONS.iter().flat_map(|section| section.keys.iter().map(|key| join(section.path, key.name)))
}

/// All defaults as one TOML text. Lists of sections are empty by default.
pub(crate) fn defaults() -> String {
    let mut text = String::new();
    for section in SECTIONS.iter().filter(|section| !section.is_list) {
        if !section.path.is_empty() {
            text.push_str(&format!("[{}]\n", section.path));
        }
        for key in section.keys {
            text.push_str(&format!("{} = {}\n", key.name, default_value(key)));
        }
    }
    text
}
