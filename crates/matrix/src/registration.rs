//! The file that makes a homeserver know this application service.

use crate::config::MatrixConfig;

/// What goes into the registration.
#[derive(Clone, Debug)]
pub struct Registration<'a> {
    config: &'a MatrixConfig,
    /// How the homeserver reaches the listener.
    address: &'a str,
}

impl<'a> Registration<'a> {
    /// For this configuration; `address` is how the homeserver reaches `listen`.
    #[must_use]
    pub fn new(config: &'a MatrixConfig, address: &'a str) -> Self {
        Self { config, address }
    }

    /// The application service itself, as YAML.
    ///
    /// Source: <https://spec.matrix.org/v1.16/application-service-api/#registration>
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let MatrixConfig { id, domain, as_token, hs_token, prefix, bot_localpart, .. } = self.config;
        let domain = escape(domain);
        let users =
            [format!("^@{}.*:{domain}$", escape(prefix)), format!("^@{}:{domain}$", escape(bot_localpart))];
        let alias = format!("^#{}.*:{domain}$", escape(prefix));
        let mut yaml = format!("id: {}\nurl: {}\n", quote(id), quote(self.address));
        yaml += &format!("as_token: {}\nhs_token: {}\n", quote(as_token.reveal()), quote(hs_token.reveal()));
        // Not the bot: Synapse refuses to sync the sender of an application service, which
        // encryption needs. Source: the Matrix notes, section 4, item 6.
        yaml += &format!("sender_localpart: {}\n", quote(&format!("_{id}_unused")));
        yaml += "rate_limited: false\nreceive_ephemeral: true\n";
        // The name of the same switch before it became a part of the specification.
        yaml += "de.sorunome.msc2409.push_ephemeral: true\nnamespaces:\n  users:\n";
        for regex in users {
            yaml += &format!("    - exclusive: true\n      regex: {}\n", quote(&regex));
        }
        yaml += &format!("  aliases:\n    - exclusive: true\n      regex: {}\n  rooms: []\n", quote(&alias));
        yaml
    }

    /// The second registration, with which this gateway speaks as local users (double puppeting).
    #[must_use]
    pub fn double_puppet_yaml(&self) -> String {
        let MatrixConfig { id, domain, puppet_token, hs_token, .. } = self.config;
        let mut yaml = format!("id: {}\nurl: null\n", quote(&format!("{id}_doublepuppet")));
        // Nothing is ever delivered to it, so its other token is only there for the form.
        let unused = crate::names::hex(format!("unused {}", hs_token.reveal()).as_bytes());
        yaml += &format!("as_token: {}\nhs_token: {}\n", quote(puppet_token.reveal()), quote(&unused));
        yaml += &format!(
            "sender_localpart: {}\nrate_limited: false\n",
            quote(&format!("_{id}_doublepuppet_unused"))
        );
        let everybody = quote(&format!("^@.*:{}$", escape(domain)));
        yaml += &format!("namespaces:\n  users:\n    - exclusive: false\n      regex: {everybody}\n");
        yaml
    }
}

/// A YAML string in double quotes.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The text as a regular expression that matches it.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn a_registration_reserves_what_the_bridge_makes_and_nothing_else() {
        let config = MatrixConfig {
            as_token: Secret::new("as"),
            hs_token: Secret::new("hs"),
            ..MatrixConfig::new(
                "matrix".into(),
                "http://127.0.0.1:8008".parse().unwrap(),
                "example.org",
                "127.0.0.1:1".parse().unwrap(),
            )
        };
        let yaml = Registration::new(&config, "http://127.0.0.1:29320").to_yaml();
        let wanted = r##"id: "wechat"
url: "http://127.0.0.1:29320"
as_token: "as"
hs_token: "hs"
sender_localpart: "_wechat_unused"
rate_limited: false
receive_ephemeral: true
de.sorunome.msc2409.push_ephemeral: true
namespaces:
  users:
    - exclusive: true
      regex: "^@wechat_.*:example\\.org$"
    - exclusive: true
      regex: "^@wechatbot:example\\.org$"
  aliases:
    - exclusive: true
      regex: "^#wechat_.*:example\\.org$"
  rooms: []
"##;
        assert_eq!(yaml, wanted);
    }
}
