//! What the Postgres listener asks of its clients: certificate, key and users, from the files that the settings name.
//!
//! # Place   read once, before the node starts, so that a wrong file is known at once; hashed when it serves
//! # Limits  `FILE_BYTES_MAX`

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::NoServerSessionStorage,
    sign::{CertifiedKey, SingleCertAndKey},
};
use sql::postgres::{
    Admission,
    certificate::end_point,
    users::{KEY_BYTES, UserList, UserListError, Users},
};
use tokio_rustls::TlsAcceptor;

use super::random;
use crate::config::{Settings, TlsUse};

/// Far more than ten thousand users, or a chain of certificates, take.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Of the data directory; see `docs/formats/home.md`.
const SALT_KEY: &str = "pg-salt-key";
/// What clients of Postgres 17 name the protocol inside TLS; those who begin with TLS at once must.
pub(super) const ALPN: &[u8] = b"postgresql";

/// As it is set.
pub struct Security {
    pub(super) tls: Option<Tls>,
    is_tls_required: bool,
    users: Option<UserList>,
    data_dir: PathBuf,
}

/// How streams are encrypted.
#[derive(Clone)]
pub(super) struct Tls {
    pub acceptor: TlsAcceptor,
    /// What a client can bind its proof to.
    pub end_point: Option<Arc<[u8]>>,
}

/// Why it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    #[error("{setting}: cannot read {path}: {error}")]
    Read {
        setting: &'static str,
        path: PathBuf,
        error: io::Error,
    },
    #[error("pg_tls_cert: {path} holds no certificate in PEM")]
    NoCertificate { path: PathBuf },
    #[error("pg_tls_key: {path} holds no private key in PEM that needs no pass phrase")]
    NoKey { path: PathBuf },
    #[error("pg_tls_key: the key in {path} cannot be used: {error}")]
    Key { path: PathBuf, error: rustls::Error },
    #[error("pg_tls_key: the key in {path} is not the one of the certificate in pg_tls_cert")]
    OtherKey { path: PathBuf },
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
    #[error("pg_users: {path}: {error}")]
    Users { path: PathBuf, error: UserListError },
}

impl Security {
    pub fn read(settings: &Settings) -> Result<Self, SecurityError> {
        let tls = match (&settings.pg_tls_cert, &settings.pg_tls_key) {
            (Some(certificate), Some(key)) => Some(Tls::read(certificate, key)?),
            // Both or neither: `config` has checked it.
            _ => None,
        };
        let users = settings.pg_users.as_ref().map(|path| {
            let text = read_secret("pg_users", path)?;
            let text = String::from_utf8(text).map_err(|_| SecurityError::Read {
                setting: "pg_users",
                path: path.clone(),
                error: io::Error::new(io::ErrorKind::InvalidData, "it is not in UTF-8"),
            })?;
            UserList::parse(&text).map_err(|error| SecurityError::Users {
                path: path.clone(),
                error,
            })
        });
        Ok(Self {
            tls,
            is_tls_required: settings.pg_tls == TlsUse::Required,
            users: users.transpose()?,
            data_dir: settings.data_dir.clone(),
        })
    }

    /// Once the data directory is the node's own. Hashes passwords that are plain.
    pub(in crate::front) fn admission(&mut self) -> io::Result<Admission> {
        let users = match self.users.take() {
            Some(list) => Some(Users::new(list, salt_key(&self.data_dir)?)),
            None => None,
        };
        Ok(Admission {
            users,
            is_encryption_required: self.is_tls_required,
        })
    }
}

impl Tls {
    fn read(certificate: &Path, key: &Path) -> Result<Self, SecurityError> {
        let text = read_file("pg_tls_cert", certificate)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let chain = chain.unwrap_or_default();
        let Some(end_point) = chain.first().map(|own| end_point(own)) else {
            return Err(SecurityError::NoCertificate {
                path: certificate.to_owned(),
            });
        };
        let path = key.to_owned();
        let text = read_secret("pg_tls_key", key)?;
        let Ok(key) = PrivateKeyDer::from_pem_slice(&text) else {
            return Err(SecurityError::NoKey { path });
        };
        let provider = ring::default_provider();
        let key = match provider.key_provider.load_private_key(key) {
            Ok(key) => key,
            Err(error) => return Err(SecurityError::Key { path, error }),
        };
        let own = CertifiedKey::new(chain, key);
        // Only this one: certificates of the first version, as `openssl x509` makes them, cannot be compared, but serve.
        let is_of_another = |error: rustls::Error| {
            let mismatch = rustls::InconsistentKeys::KeyMismatch;
            error == rustls::Error::InconsistentKeys(mismatch)
        };
        if own.keys_match().is_err_and(is_of_another) {
            return Err(SecurityError::OtherKey { path });
        }
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(SecurityError::Tls)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
        config.alpn_protocols = vec![ALPN.to_vec()];
        // Sessions are long: nothing is kept to take them up again, as Postgres has it.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            end_point: end_point.map(Arc::from),
        })
    }
}

fn read_file(setting: &'static str, path: &Path) -> Result<Vec<u8>, SecurityError> {
    let read = || {
        let mut bytes = Vec::new();
        let file = File::open(path)?;
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        Ok(bytes)
    };
    read().map_err(|error| SecurityError::Read {
        setting,
        path: path.to_owned(),
        error,
    })
}

fn read_secret(setting: &'static str, path: &Path) -> Result<Vec<u8>, SecurityError> {
    let bytes = read_file(setting, path)?;
    let mode = fs::metadata(path).map(|found| found.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o004 != 0) {
        let path = path.display();
        tracing::warn!(%path, "{setting}: every user of this machine can read this file; chmod 600 it");
    }
    Ok(bytes)
}

/// Made at the first start with users, and kept: see `Users::new`.
fn salt_key(data_dir: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let path = data_dir.join(SALT_KEY);
    match fs::read(&path) {
        Ok(bytes) => {
            if let Ok(key) = bytes.try_into() {
                return Ok(key);
            }
            tracing::warn!(path = %path.display(), "this file is damaged, and is made anew");
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let key = random()?;
    let beside = data_dir.join(format!("{SALT_KEY}.tmp"));
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(&beside, &path)?;
    File::open(data_dir)?.sync_all()?;
    Ok(key)
}
