//! With what people come in.

use std::fmt;

use crate::ids::PersonRef;

/// With what somebody came in. It names that and does not hold it: nobody comes in with this. Whoever is inside goes
/// when it opens nothing any more; see `Command::StillOpens`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Credential {
    /// Their password, by a mark that every other password has not.
    Password(String),
    /// A token, by its hash.
    Token(String),
    /// A client certificate, by its fingerprint.
    Certificate(String),
    /// Who they are on a network that knows who somebody is.
    Identity(PersonRef),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password(_) => f.write_str("Password(..)"),
            Self::Token(_) => f.write_str("Token(..)"),
            Self::Certificate(fingerprint) => write!(f, "Certificate({fingerprint:?})"),
            Self::Identity(person) => write!(f, "Identity({person:?})"),
        }
    }
}

/// What a server keeps to check SCRAM-SHA-256. Source: RFC 5802, section 3.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramVerifier {
    /// Rounds of PBKDF2.
    pub rounds: u32,
    /// Its salt.
    pub salt: Vec<u8>,
    /// SHA-256 of the client's key.
    pub stored_key: Vec<u8>,
    /// With what the server proves that it knows the password.
    pub server_key: Vec<u8>,
    /// What whoever proves it came in with.
    pub credential: Credential,
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramVerifier(..)")
    }
}

/// An address that opens a door; no log shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretLink(pub String);

impl fmt::Debug for SecretLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretLink(..)")
    }
}
