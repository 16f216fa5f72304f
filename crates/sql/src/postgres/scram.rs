//! SCRAM-SHA-256 (RFC 5802, RFC 7677) as Postgres speaks it, the server's half: messages in, messages out.
//!
//! # Invariants
//! 1. A user that is not known goes the same way with a secret made up, and hears at its end what a wrong password hears.
//! 2. No password is hashed for a client: what its proof costs to check does not depend on how often a secret was hashed.
//! # Limits       a message is at most as long as `message::AUTHENTICATION_BYTES_MAX`
//! # Instead of   the server's half in the crate `pgwire`: it knows no mock secrets, and its messages are not Postgres's

#[cfg(test)]
mod tests;

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::same_bytes;
use crate::backend::SqlError;

/// The mechanisms; the second one binds the exchange to the server's certificate.
pub const SHA_256: &str = "SCRAM-SHA-256";
pub const SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";
/// What Postgres takes of the server's own part.
pub const NONCE_BYTES: usize = 18;
const KEY_BYTES: usize = 32;
/// The only channel binding that Postgres has.
const END_POINT: &str = "tls-server-end-point";

type Key = [u8; KEY_BYTES];

/// What a password is checked against, as Postgres keeps it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: Key,
    server_key: Key,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Why an exchange ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    #[error("client selected an invalid SASL authentication mechanism")]
    Mechanism,
    /// With the detail.
    #[error("malformed SCRAM message")]
    Malformed(&'static str),
    #[error("SCRAM channel binding negotiation error")]
    Negotiation,
    #[error("unsupported SCRAM channel-binding type \"{0}\"")]
    BindingKind(String),
    #[error("client uses authorization identity, but it is not supported")]
    AuthorizationIdentity,
    #[error("client requires an unsupported SCRAM extension")]
    Extension,
    #[error("non-printable characters in SCRAM nonce")]
    Nonce,
    #[error("invalid SCRAM response")]
    Response,
    #[error("SCRAM channel binding check failed")]
    Binding,
    #[error("unexpected SCRAM channel-binding attribute in client-final-message")]
    BindingAttribute,
    /// A wrong password, or no such user.
    #[error("password authentication failed")]
    Refused,
}

impl ScramError {
    /// As Postgres tells it.
    #[must_use]
    pub fn told_to(&self, user: &str) -> SqlError {
        let (sqlstate, detail) = match self {
            Self::Malformed(detail) => (*b"08P01", Some(*detail)),
            Self::Response => (*b"08P01", Some("Nonce does not match.")),
            Self::Mechanism | Self::BindingKind(_) | Self::Nonce | Self::BindingAttribute => {
                (*b"08P01", None)
            }
            Self::Negotiation => (
                *b"28000",
                Some(
                    "The client supports SCRAM channel binding but thinks the server does not.  \
                     However, this server does support channel binding.",
                ),
            ),
            Self::Binding => (*b"28000", None),
            Self::AuthorizationIdentity | Self::Extension => (*b"0A000", None),
            Self::Refused => {
                let message = format!("password authentication failed for user \"{user}\"");
                return SqlError::new(*b"28P01", message);
            }
        };
        let mut error = SqlError::new(sqlstate, self.to_string());
        error.detail = detail.map(Into::into);
        error
    }
}

impl Secret {
    /// Hashes a password, which takes as long as `iterations` say.
    #[must_use]
    pub fn of_password(password: &str, salt: &[u8], iterations: u32) -> Self {
        // What cannot be prepared is taken as it is: Postgres's own rule.
        let prepared = stringprep::saslprep(password).unwrap_or(password.into());
        let salted: Key =
            pbkdf2::pbkdf2_hmac_array::<Sha256, KEY_BYTES>(prepared.as_bytes(), salt, iterations);
        Self {
            iterations,
            salt: salt.to_vec(),
            stored_key: Sha256::digest(keyed(&salted, &[b"Client Key"])).into(),
            server_key: keyed(&salted, &[b"Server Key"]),
        }
    }

    /// That of nobody: no password is known that fits it.
    pub(super) fn of_nobody(key: &Key, salt: &[u8], iterations: u32) -> Self {
        Self {
            iterations,
            salt: salt.to_vec(),
            stored_key: keyed(key, &[b"stored", salt]),
            server_key: keyed(key, &[b"server", salt]),
        }
    }

    /// `SCRAM-SHA-256$4096:salt$StoredKey:ServerKey`, all three in base64.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(SHA_256)?.strip_prefix('$')?;
        let (hashing, keys) = rest.split_once('$')?;
        let (iterations, salt) = hashing.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let iterations = iterations.parse().ok().filter(|count| *count > 0)?;
        let salt = STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?;
        let key = |text| Key::try_from(STANDARD.decode(text).ok()?).ok();
        Some(Self {
            iterations,
            salt,
            stored_key: key(stored_key)?,
            server_key: key(server_key)?,
        })
    }

    #[must_use]
    pub fn iterations(&self) -> u32 {
        self.iterations
    }
}

pub(super) fn keyed(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length is taken");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// An exchange with a client that has said its name, and nothing yet to prove it.
#[derive(Debug)]
pub struct Exchange {
    secret: Secret,
    is_known: bool,
    end_point: Option<Vec<u8>>,
    nonce: String,
}

impl Exchange {
    /// `end_point`: the hash of the server's certificate where the stream is encrypted with one. `nonce`: random.
    #[must_use]
    pub fn new(
        secret: Secret,
        is_known: bool,
        end_point: Option<Vec<u8>>,
        nonce: [u8; NONCE_BYTES],
    ) -> Self {
        Self {
            secret,
            is_known,
            end_point,
            nonce: STANDARD.encode(nonce),
        }
    }

    /// What is offered, the best one first.
    #[must_use]
    pub fn mechanisms(&self) -> &'static [&'static str] {
        match self.end_point {
            Some(_) => &[SHA_256_PLUS, SHA_256],
            None => &[SHA_256],
        }
    }

    /// The client's first message; what it is answered.
    pub fn first(
        self,
        mechanism: &str,
        message: &[u8],
    ) -> Result<(Challenged, String), ScramError> {
        if !self.mechanisms().contains(&mechanism) {
            return Err(ScramError::Mechanism);
        }
        let message = readable(message)?;
        let (header, bare) = self.header(mechanism == SHA_256_PLUS, message)?;
        if bare.starts_with('m') {
            return Err(ScramError::Extension);
        }
        let mut attributes = bare.split(',');
        // The name is the one that the startup packet says: Postgres's own rule.
        let _ = attribute(&mut attributes, "n=")?;
        let theirs = attribute(&mut attributes, "r=")?;
        if !theirs.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ScramError::Nonce);
        }
        let nonce = format!("{theirs}{}", self.nonce);
        let salt = STANDARD.encode(&self.secret.salt);
        let answer = format!("r={nonce},s={salt},i={}", self.secret.iterations);
        let mut bound = header.as_bytes().to_vec();
        if header.starts_with('p') {
            bound.extend(self.end_point.unwrap_or_default());
        }
        let challenged = Challenged {
            secret: self.secret,
            is_known: self.is_known,
            is_bound: header.starts_with('p'),
            binding: STANDARD.encode(bound),
            nonce,
            said: format!("{bare},{answer}"),
        };
        Ok((challenged, answer))
    }

    /// Cuts the header, which says what the client knows of channel binding, from what stands behind it.
    fn header<'a>(
        &self,
        is_plus: bool,
        message: &'a str,
    ) -> Result<(&'a str, &'a str), ScramError> {
        let malformed = |detail| Err(ScramError::Malformed(detail));
        let Some((flag, rest)) = message.split_once(',') else {
            return malformed("Comma expected, but found the end of the message.");
        };
        match flag {
            "n" | "y" if is_plus => {
                return malformed(
                    "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data.",
                );
            }
            "n" => {}
            // Somebody between the two has cut the better mechanism out.
            "y" if self.end_point.is_some() => return Err(ScramError::Negotiation),
            "y" => {}
            _ => match flag.strip_prefix("p=") {
                None => return malformed("Unexpected channel-binding flag."),
                Some(_) if !is_plus => {
                    return malformed(
                        "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel binding data.",
                    );
                }
                Some(END_POINT) => {}
                Some(kind) => {
                    return Err(ScramError::BindingKind(kind.escape_default().to_string()));
                }
            },
        }
        if rest.starts_with('a') {
            return Err(ScramError::AuthorizationIdentity);
        }
        let Some(bare) = rest.strip_prefix(',') else {
            return malformed("Unexpected attribute in client-first-message.");
        };
        Ok((&message[..message.len() - bare.len()], bare))
    }
}

/// An exchange whose client has yet to prove that it knows the password.
#[derive(Debug)]
pub struct Challenged {
    secret: Secret,
    is_known: bool,
    is_bound: bool,
    /// What it must say of the channel.
    binding: String,
    nonce: String,
    /// What either side has said, as it is signed.
    said: String,
}

impl Challenged {
    /// The client's last message; the proof that the server knows the secret, too.
    pub fn last(self, message: &[u8]) -> Result<String, ScramError> {
        let message = readable(message)?;
        let Some((signed, proof)) = message.rsplit_once(",p=") else {
            return Err(ScramError::Malformed("The proof is missing."));
        };
        let mut attributes = signed.split(',');
        let binding = attribute(&mut attributes, "c=")?;
        let nonce = attribute(&mut attributes, "r=")?;
        let proof = STANDARD.decode(proof).ok();
        let Some(proof) = proof.and_then(|proof| Key::try_from(proof).ok()) else {
            return Err(ScramError::Malformed(
                "Malformed proof in client-final-message.",
            ));
        };
        if nonce != self.nonce {
            return Err(ScramError::Response);
        }
        if binding != self.binding {
            return Err(if self.is_bound {
                ScramError::Binding
            } else {
                ScramError::BindingAttribute
            });
        }
        let said = [self.said.as_bytes(), b",", signed.as_bytes()];
        let mut client_key = keyed(&self.secret.stored_key, &said);
        client_key
            .iter_mut()
            .zip(proof)
            .for_each(|(byte, proof)| *byte ^= proof);
        let is_proven = same_bytes(&Sha256::digest(client_key), &self.secret.stored_key);
        let signature = keyed(&self.secret.server_key, &said);
        if !is_proven || !self.is_known {
            return Err(ScramError::Refused);
        }
        Ok(format!("v={}", STANDARD.encode(signature)))
    }
}

fn readable(message: &[u8]) -> Result<&str, ScramError> {
    std::str::from_utf8(message)
        .ok()
        .filter(|text| !text.contains('\0'))
        .ok_or(ScramError::Malformed("The message is no text."))
}

fn attribute<'a>(
    attributes: &mut impl Iterator<Item = &'a str>,
    name: &str,
) -> Result<&'a str, ScramError> {
    attributes
        .next()
        .and_then(|attribute| attribute.strip_prefix(name))
        .ok_or(ScramError::Malformed("An expected attribute is missing."))
}
