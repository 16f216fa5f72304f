//! What a client must show before it is let in: an encrypted stream, and that it knows a password.

use super::{
    Credentials, Encryption, Failure,
    connection::{Wire, protocol_violation},
    message::{Sasl, Startup, authentication_frame},
    scram::{Exchange, ScramError},
    users::Users,
};
use crate::backend::SqlError;

/// What is asked of clients.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// `None`: whoever connects is whom it says it is.
    pub users: Option<Users>,
    pub is_encryption_required: bool,
}

impl Admission {
    /// Of a client that has said what it wants; gives its name.
    pub(super) async fn check<'a>(
        &self,
        wire: &mut Wire,
        startup: &'a Startup,
        credentials: &Credentials,
    ) -> Result<&'a str, Failure> {
        let Some(user) = startup.get("user").filter(|user| !user.is_empty()) else {
            let message = "no PostgreSQL user name specified in startup packet";
            return Err(SqlError::new(*b"28000", message).into());
        };
        let is_encrypted = matches!(wire.peer.encryption(), Encryption::Taken { .. });
        if self.is_encryption_required && !is_encrypted {
            let host = credentials.address.map(|address| address.ip().to_string());
            let message = format!(
                "no pg_hba.conf entry for host \"{}\", user \"{user}\", database \"{}\", no encryption",
                host.unwrap_or_default(),
                startup.get("database").unwrap_or(user),
            );
            let error = SqlError::new(*b"28000", message);
            return Err(error
                .with_hint("Connect with TLS, such as sslmode=require.")
                .into());
        }
        if let Some(users) = &self.users {
            let proven = prove(wire, users, user, credentials).await;
            if let Err(Failure::Sql(error)) = &proven {
                let address = credentials.address.map(tracing::field::display);
                tracing::info!(?user, address, %error, "a Postgres client is not let in");
            }
            proven?;
        }
        Ok(user)
    }
}

/// The SASL exchange, up to the server's last word.
async fn prove(
    wire: &mut Wire,
    users: &Users,
    user: &str,
    credentials: &Credentials,
) -> Result<(), Failure> {
    let end_point = match wire.peer.encryption() {
        Encryption::Taken { end_point } => end_point.map(<[u8]>::to_vec),
        Encryption::Absent | Encryption::Offered => None,
    };
    let (secret, is_known) = users.secret(user);
    let exchange = Exchange::new(secret, is_known, end_point, credentials.nonce);
    let failed = |error: ScramError| error.told_to(user);
    wire.replies.authentication_sasl(exchange.mechanisms());
    let frame = answered(wire).await?;
    let initial = Sasl::initial(&frame).map_err(protocol_violation)?;
    let message = match initial.message {
        Some(message) => message.to_vec(),
        // It wants to be asked once more.
        None => {
            wire.replies.authentication_continue("");
            let frame = answered(wire).await?;
            Sasl::further(&frame).map_err(protocol_violation)?.to_vec()
        }
    };
    let (challenged, challenge) = exchange
        .first(initial.mechanism, &message)
        .map_err(failed)?;
    wire.replies.authentication_continue(&challenge);
    let frame = answered(wire).await?;
    let last = Sasl::further(&frame).map_err(protocol_violation)?;
    let signature = challenged.last(last).map_err(failed)?;
    wire.replies.authentication_final(&signature);
    Ok(())
}

/// Who must ask somebody for the password first goes here, and comes again with it.
async fn answered(wire: &mut Wire) -> Result<Vec<u8>, Failure> {
    let mut frame = Vec::new();
    match wire.next(authentication_frame, &mut frame).await? {
        true => Ok(frame),
        false => Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
    }
}
