//! The server's side of SCRAM-SHA-256. Pure: messages in, messages out.
//!
//! Source: RFC 5802 and RFC 7677. Without channel binding: what the client proves is the password, what
//! binds it to this connection is TLS.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac};
use wxgate_contract::ScramVerifier;

/// What the client said first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct First {
    /// The login.
    pub(super) user: String,
    header: String,
    bare: String,
    nonce: String,
}

/// An exchange after the server's first message.
pub(super) struct Exchange {
    verifier: ScramVerifier,
    header: String,
    nonce: String,
    /// The client's first message without its header, a comma, and the server's.
    spoken: String,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exchange(..)")
    }
}

impl First {
    /// `n,,n=user,r=nonce`; the error is for people.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut parts = text.splitn(3, ',');
        let (Some(binding), Some(authzid), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("the first message is not that of SCRAM");
        };
        if !matches!(binding, "n" | "y") {
            return Err("channel binding is not supported");
        }
        let mut fields = bare.split(',');
        let user = fields.next().and_then(|field| field.strip_prefix("n="));
        let nonce = fields.next().and_then(|field| field.strip_prefix("r="));
        let (Some(user), Some(nonce)) = (user, nonce) else {
            return Err("the first message is not that of SCRAM");
        };
        let user = plain_name(user).ok_or("the name is not written as SCRAM has it")?;
        let is_same =
            authzid.strip_prefix("a=").is_none_or(|authzid| plain_name(authzid) == Some(user.clone()));
        if !is_same {
            return Err("acting for somebody else is not possible");
        }
        if nonce.is_empty() || !nonce.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("the nonce is not that of SCRAM");
        }
        let header = format!("{binding},{authzid},");
        Ok(Self { user, header, bare: bare.to_owned(), nonce: nonce.to_owned() })
    }

    /// The challenge, and what checks the answer to it.
    pub(super) fn challenge(self, verifier: ScramVerifier, our_nonce: &str) -> (String, Exchange) {
        let nonce = format!("{}{our_nonce}", self.nonce);
        let salt = STANDARD.encode(&verifier.salt);
        let challenge = format!("r={nonce},s={salt},i={}", verifier.rounds);
        let spoken = format!("{},{challenge}", self.bare);
        (challenge, Exchange { verifier, header: self.header, nonce, spoken })
    }
}

impl Exchange {
    /// What proves that the server knows the password; `None` when the client has not proved it.
    pub(super) fn answer(&self, text: &str) -> Option<String> {
        let (without_proof, proof) = text.rsplit_once(",p=")?;
        let mut fields = without_proof.split(',');
        let header = fields.next()?.strip_prefix("c=").and_then(|c| STANDARD.decode(c).ok())?;
        let nonce = fields.next()?.strip_prefix("r=")?;
        if header != self.header.as_bytes() || nonce != self.nonce {
            return None;
        }
        let proof = STANDARD.decode(proof).ok()?;
        let message = format!("{},{without_proof}", self.spoken);
        let signed = |key: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message.as_bytes());
        let signature = signed(&self.verifier.stored_key);
        if proof.len() != signature.as_ref().len() {
            return None;
        }
        let client_key: Vec<u8> = proof.iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        // Both are digests: the time says nothing about how much of the proof was right.
        let is_right = digest::digest(&digest::SHA256, &client_key).as_ref() == self.verifier.stored_key;
        is_right.then(|| format!("v={}", STANDARD.encode(signed(&self.verifier.server_key))))
    }
}

/// A name with its two escapes taken out. Source: RFC 5802, section 5.1.
fn plain_name(name: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = name;
    while let Some((before, escape)) = rest.split_once('=') {
        out.push_str(before);
        out.push(match escape.get(..2)? {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        rest = escape.get(2..)?;
    }
    out.push_str(rest);
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;
    use wxgate_contract::Credential;

    /// Source: RFC 7677, section 3.
    fn example() -> (String, Exchange) {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let mut salted = [0; 32];
        let rounds = NonZeroU32::new(4096).unwrap();
        ring::pbkdf2::derive(ring::pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, b"pencil", &mut salted);
        let signed = |text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &salted), text);
        let verifier = ScramVerifier {
            rounds: 4096,
            salt,
            stored_key: digest::digest(&digest::SHA256, signed(b"Client Key").as_ref()).as_ref().to_vec(),
            server_key: signed(b"Server Key").as_ref().to_vec(),
            credential: Credential::Password(String::new()),
        };
        let first = First::parse("n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
        assert_eq!(first.user, "user");
        first.challenge(verifier, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
    }

    #[test]
    fn the_example_of_the_rfc_is_answered() {
        let (challenge, exchange) = example();
        assert_eq!(
            challenge,
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(exchange.answer(last).as_deref(), Some("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        for wrong in [
            last.replace("p=dH", "p=aH"),
            last.replace("c=biws", "c=eSws"),
            last.replace("r=rO", "r=xO"),
            "c=biws".to_owned(),
            String::new(),
        ] {
            assert_eq!(exchange.answer(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn first_messages_that_are_none_are_refused() {
        for text in [
            "",
            "n,,",
            "n,,n=user",
            "p=tls-unique,,n=a,r=b",
            "n,a=bob,n=ann,r=x",
            "n,,n=a=20,r=x",
            "n,,n=,r=x",
            "n,,n=a,r=",
        ] {
            assert!(First::parse(text).is_err(), "{text}");
        }
        assert_eq!(First::parse("y,a=a=2Cb,n=a=2Cb,r=x").unwrap().user, "a,b");
    }
}
