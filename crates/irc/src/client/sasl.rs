//! Signing in: PLAIN, EXTERNAL, SCRAM-SHA-256. Pure: challenges in, answers out.
//!
//! Source: IRCv3 sasl-3.1 and sasl-3.2; RFC 4616 (PLAIN), RFC 5802 and RFC 7677 (SCRAM).

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};
use unicode_normalization::UnicodeNormalization as _;

/// Bytes of base64 in one AUTHENTICATE. Source: IRCv3 sasl-3.1.
pub(super) const PIECE_BYTES: usize = 400;
/// More rounds than this are no honest server's wish, and would hold the connection up for long.
const MOST_ROUNDS: u32 = 1_000_000;

/// Name and password.
#[derive(Clone)]
pub(super) struct Account {
    pub(super) user: String,
    pub(super) password: String,
}

/// One sign-in on its way.
pub(super) enum Exchange {
    Plain(Account),
    External,
    Scram(Box<Scram>),
}

pub(super) enum Scram {
    First { account: Account, nonce: String },
    Final { account: Account, nonce: String },
    Proof { server_signature: Vec<u8> },
    Over,
}

/// Mechanisms in the order of preference that serve with what we have.
pub(super) fn mechanisms(has_password: bool, offered: Option<&str>) -> Vec<&'static str> {
    let usable: &[&'static str] = if has_password { &["SCRAM-SHA-256", "PLAIN"] } else { &["EXTERNAL"] };
    let is_offered = |name: &str| offered.is_none_or(|list| list.split(',').any(|one| one == name));
    usable.iter().copied().filter(|name| is_offered(name)).collect()
}

impl Exchange {
    pub(super) fn new(mechanism: &str, account: Option<Account>, nonce: String) -> Self {
        match (mechanism, account) {
            ("SCRAM-SHA-256", Some(account)) => Self::Scram(Box::new(Scram::First { account, nonce })),
            (_, Some(account)) => Self::Plain(account),
            (_, None) => Self::External,
        }
    }

    /// What to say to a challenge.
    pub(super) fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, String> {
        match self {
            Self::Plain(Account { user, password }) => Ok(format!("\0{user}\0{password}").into_bytes()),
            Self::External => Ok(Vec::new()),
            Self::Scram(scram) => {
                let text = std::str::from_utf8(challenge).map_err(|_| "a challenge that is no text")?;
                let (next, answer) = std::mem::replace(&mut **scram, Scram::Over).step(text)?;
                **scram = next;
                Ok(answer.into_bytes())
            }
        }
    }

    /// True once the password, a proof of it or our certificate was shown.
    pub(super) fn has_shown(&self) -> bool {
        match self {
            Self::Plain(_) | Self::External => true,
            Self::Scram(scram) => matches!(**scram, Scram::Proof { .. } | Scram::Over),
        }
    }

    /// True when a challenge says instead that the account has nothing for this mechanism; what follows is the
    /// server's refusal. Source: RFC 5802, section 7, `server-error`; Atheme sends it before any proof.
    pub(super) fn is_declined(&self, challenge: &[u8]) -> bool {
        let awaits_salt = matches!(self, Self::Scram(scram) if matches!(**scram, Scram::Final { .. }));
        awaits_salt && challenge.starts_with(b"e=")
    }

    /// True when success may be believed: with SCRAM the server has proved that it knows us.
    pub(super) fn is_proved(&self) -> bool {
        match self {
            Self::Plain(_) | Self::External => true,
            Self::Scram(scram) => matches!(**scram, Scram::Over),
        }
    }
}

impl Scram {
    fn step(self, challenge: &str) -> Result<(Self, String), String> {
        match self {
            Self::First { account, nonce } => {
                let bare = bare(&account, &nonce);
                Ok((Self::Final { account, nonce }, format!("n,,{bare}")))
            }
            Self::Final { account, nonce } => prove(&account, &nonce, challenge),
            Self::Proof { server_signature } => {
                let told = field(challenge, "v=").and_then(|v| STANDARD.decode(v).ok());
                match told == Some(server_signature) {
                    true => Ok((Self::Over, String::new())),
                    false => Err("the server could not prove that it knows the password".to_owned()),
                }
            }
            Self::Over => Err("one challenge too many".to_owned()),
        }
    }
}

fn bare(account: &Account, nonce: &str) -> String {
    let user: String = account.user.nfkc().collect();
    format!("n={},r={nonce}", user.replace('=', "=3D").replace(',', "=2C"))
}

fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.split(',').find_map(|part| part.strip_prefix(key))
}

fn prove(account: &Account, nonce: &str, challenge: &str) -> Result<(Scram, String), String> {
    let odd = || "a challenge that is not understood".to_owned();
    let whole = field(challenge, "r=").filter(|r| r.len() > nonce.len() && r.starts_with(nonce));
    let whole = whole.ok_or_else(odd)?;
    let salt = field(challenge, "s=").and_then(|s| STANDARD.decode(s).ok()).ok_or_else(odd)?;
    let rounds: u32 = field(challenge, "i=").and_then(|i| i.parse().ok()).ok_or_else(odd)?;
    let rounds = NonZeroU32::new(rounds).filter(|n| n.get() <= MOST_ROUNDS).ok_or_else(odd)?;
    let password: String = account.password.nfkc().collect();
    let mut salted = [0; digest::SHA256_OUTPUT_LEN];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, password.as_bytes(), &mut salted);
    let signed =
        |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec();
    let client_key = signed(&salted, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, &client_key);
    let without_proof = format!("c=biws,r={whole}");
    let message = format!("{},{challenge},{without_proof}", bare(account, nonce));
    let signature = signed(stored_key.as_ref(), message.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    let server_signature = signed(&signed(&salted, b"Server Key"), message.as_bytes());
    Ok((Scram::Proof { server_signature }, format!("{without_proof},p={}", STANDARD.encode(proof))))
}

/// An answer as AUTHENTICATE lines carry it.
pub(super) fn pieces(answer: &[u8]) -> Vec<String> {
    if answer.is_empty() {
        return vec!["+".to_owned()];
    }
    let text = STANDARD.encode(answer);
    let mut pieces: Vec<String> = Vec::new();
    let mut rest = text.as_str();
    while let Some((piece, tail)) = rest.split_at_checked(PIECE_BYTES) {
        pieces.push(piece.to_owned());
        rest = tail;
    }
    // A whole last piece needs an empty one behind it.
    pieces.push(if rest.is_empty() { "+".to_owned() } else { rest.to_owned() });
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Option<Account> {
        Some(Account { user: "user".to_owned(), password: "pencil".to_owned() })
    }

    /// Source: RFC 7677, section 3.
    #[test]
    fn scram_follows_the_example_of_the_rfc() {
        let mut exchange = Exchange::new("SCRAM-SHA-256", account(), "rOprNGfwEbeRWgbNEkqO".to_owned());
        assert_eq!(exchange.answer(b"").unwrap(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge =
            b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let answer = String::from_utf8(exchange.answer(challenge).unwrap()).unwrap();
        assert_eq!(
            answer,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert!(!exchange.is_proved());
        assert!(exchange.answer(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").unwrap().is_empty());
        assert!(exchange.is_proved());
    }

    #[test]
    fn a_server_that_does_not_know_us_is_not_believed() {
        let mut exchange = Exchange::new("SCRAM-SHA-256", account(), "abc".to_owned());
        exchange.answer(b"").unwrap();
        assert!(exchange.answer(b"r=xyz,s=AAAA,i=1").is_err(), "a nonce that is not ours");
        let mut exchange = Exchange::new("SCRAM-SHA-256", account(), "abc".to_owned());
        exchange.answer(b"").unwrap();
        assert!(exchange.answer(b"r=abcd,s=AAAA,i=4000000000").is_err(), "endless rounds");
        let mut exchange = Exchange::new("SCRAM-SHA-256", account(), "abc".to_owned());
        exchange.answer(b"").unwrap();
        exchange.answer(b"r=abcd,s=AAAA,i=10").unwrap();
        assert!(exchange.answer(b"v=AAAA").is_err());
    }

    #[test]
    fn what_an_account_has_nothing_for_is_told_before_anything_was_shown() {
        let mut exchange = Exchange::new("SCRAM-SHA-256", account(), "abc".to_owned());
        exchange.answer(b"").unwrap();
        assert!(!exchange.has_shown());
        assert!(exchange.is_declined(b"e=other-error") && !exchange.is_declined(b"r=abcd,s=AAAA,i=10"));
        exchange.answer(b"r=abcd,s=AAAA,i=10").unwrap();
        assert!(exchange.has_shown() && !exchange.is_declined(b"e=invalid-proof"));
        let mut plain = Exchange::new("PLAIN", account(), String::new());
        plain.answer(b"").unwrap();
        assert!(plain.has_shown());
    }

    #[test]
    fn answers_are_cut_at_four_hundred() {
        assert_eq!(pieces(b""), ["+"]);
        assert_eq!(pieces(&[7; 300]).iter().map(String::len).collect::<Vec<_>>(), [400, 1]);
        assert_eq!(pieces(&[7; 301]).iter().map(String::len).collect::<Vec<_>>(), [400, 4]);
    }

    #[test]
    fn a_mechanism_must_be_offered() {
        assert_eq!(mechanisms(true, Some("PLAIN,EXTERNAL")), ["PLAIN"]);
        assert_eq!(mechanisms(true, None), ["SCRAM-SHA-256", "PLAIN"]);
        assert_eq!(mechanisms(false, Some("PLAIN,EXTERNAL")), ["EXTERNAL"]);
        assert!(mechanisms(false, Some("PLAIN")).is_empty());
    }
}
