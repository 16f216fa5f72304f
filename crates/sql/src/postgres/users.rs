//! Who may connect: a list of names and secrets, in the form of pgbouncer's `userlist.txt`.
//!
//! # Invariants   what a name is answered with before it has proven anything is a function of the name and of a key that
//!   the node keeps, whether it is in the list with a plain password or not at all
//! # Limits       `USERS_MAX`; of those, `PASSWORDS_MAX` with a password that must be hashed at the start

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::scram::{Secret, keyed};

const USERS_MAX: usize = 10_000;
/// Hashing one takes milliseconds.
const PASSWORDS_MAX: usize = 1_000;
/// What Postgres hashes with unless it is told otherwise.
const ITERATIONS: u32 = 4096;
/// As Postgres's are.
const SALT_BYTES: usize = 16;
pub const KEY_BYTES: usize = 32;

/// Lines of the file, not hashed yet.
#[derive(Clone, Debug, Default)]
pub struct UserList(BTreeMap<String, Entry>);

#[derive(Clone)]
enum Entry {
    Password(String),
    Secret(Secret),
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entry")
    }
}

/// What is wrong with a list. Never says a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserListError {
    #[error("line {0} is not \"name\" \"secret\"")]
    Syntax(usize),
    #[error("line {line}: \"{name}\" stands there twice")]
    Twice { line: usize, name: String },
    #[error("line {line}: \"{name}\" has no password")]
    NoPassword { line: usize, name: String },
    #[error("line {line}: the password of \"{name}\" is an MD5 hash: write a SCRAM secret")]
    Md5 { line: usize, name: String },
    #[error("line {line}: the SCRAM secret of \"{name}\" is damaged")]
    Secret { line: usize, name: String },
    #[error("it names nobody, so nobody could connect")]
    Nobody,
    #[error("it names more than {USERS_MAX} users")]
    TooMany,
    #[error(
        "more than {PASSWORDS_MAX} passwords are plain, and would have to be hashed at each start: write SCRAM secrets"
    )]
    TooManyPasswords,
}

impl UserList {
    /// A line is `"name" "password"` or `"name" "SCRAM-SHA-256$…"`; within quotes a quote is doubled. What follows is
    /// passed over, as pgbouncer does, and so are empty lines and those that begin with `;` or `#`.
    pub fn parse(text: &str) -> Result<Self, UserListError> {
        let mut entries = BTreeMap::new();
        let mut passwords = 0;
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim_start();
            if text.is_empty() || text.starts_with([';', '#']) {
                continue;
            }
            let parts = quoted(text).and_then(|(name, rest)| {
                let (secret, _) = quoted(rest.trim_start())?;
                Some((name, secret)).filter(|(name, _)| !name.is_empty())
            });
            let (name, secret) = parts.ok_or(UserListError::Syntax(line))?;
            let entry = match Entry::of(secret) {
                Ok(entry) => entry,
                Err(error) => return Err(error(line, name)),
            };
            passwords += usize::from(matches!(entry, Entry::Password(_)));
            if entries.insert(name.clone(), entry).is_some() {
                return Err(UserListError::Twice { line, name });
            }
        }
        match entries.len() {
            0 => Err(UserListError::Nobody),
            users if users > USERS_MAX => Err(UserListError::TooMany),
            _ if passwords > PASSWORDS_MAX => Err(UserListError::TooManyPasswords),
            _ => Ok(Self(entries)),
        }
    }
}

impl Entry {
    fn of(secret: String) -> Result<Self, fn(usize, String) -> UserListError> {
        if secret.is_empty() {
            return Err(|line, name| UserListError::NoPassword { line, name });
        }
        let digest = secret.strip_prefix("md5");
        if digest.is_some_and(|rest| {
            rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit())
        }) {
            return Err(|line, name| UserListError::Md5 { line, name });
        }
        if !secret.starts_with("SCRAM-SHA-256$") {
            return Ok(Self::Password(secret));
        }
        match Secret::parse(&secret) {
            Some(secret) => Ok(Self::Secret(secret)),
            None => Err(|line, name| UserListError::Secret { line, name }),
        }
    }
}

/// A quoted word at the front of `text`, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('"')?;
    let mut word = String::new();
    loop {
        let (part, after) = rest.split_once('"')?;
        word.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                word.push('"');
                rest = more;
            }
            None => return Some((word, after)),
        }
    }
}

/// Who may connect.
#[derive(Clone, Debug)]
pub struct Users {
    secrets: BTreeMap<String, Secret>,
    key: [u8; KEY_BYTES],
    iterations: u32,
}

impl Users {
    /// Hashes the plain passwords, some milliseconds each. `key` is random, secret, and the same at each start of a node:
    /// salts that change would tell names that are made up from those that are known.
    #[must_use]
    pub fn new(list: UserList, key: [u8; KEY_BYTES]) -> Self {
        let mut users = Self {
            secrets: BTreeMap::new(),
            key,
            // A made-up name is to look like most of the list.
            iterations: usual_iterations(&list),
        };
        for (name, entry) in list.0 {
            let secret = match entry {
                Entry::Secret(secret) => secret,
                Entry::Password(password) => {
                    Secret::of_password(&password, &users.salt(&name), users.iterations)
                }
            };
            users.secrets.insert(name, secret);
        }
        users
    }

    /// With whether there is such a user: if not, the secret fits no password.
    #[must_use]
    pub fn secret(&self, name: &str) -> (Secret, bool) {
        let nobody = Secret::of_nobody(&self.key, &self.salt(name), self.iterations);
        match self.secrets.get(name) {
            Some(secret) => (secret.clone(), true),
            None => (nobody, false),
        }
    }

    fn salt(&self, name: &str) -> [u8; SALT_BYTES] {
        let salt = keyed(&self.key, &[b"salt", name.as_bytes()]);
        *salt.first_chunk().expect("a hash is longer")
    }
}

/// What most secrets were hashed with.
fn usual_iterations(list: &UserList) -> u32 {
    let mut counts = BTreeMap::<u32, usize>::new();
    for entry in list.0.values() {
        if let Entry::Secret(secret) = entry {
            *counts.entry(secret.iterations()).or_default() += 1;
        }
    }
    let usual = counts.into_iter().max_by_key(|(_, count)| *count);
    usual.map_or(ITERATIONS, |(iterations, _)| iterations)
}
