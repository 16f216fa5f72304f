//! One client's connection: requests in their order, answers, and the rules of either query protocol.
//!
//! # Invariants
//! 1. Every request is answered in order; after an error in the extended protocol nothing is done before a Sync.
//! 2. A statement in progress hears of cancellation, of its timeout and of a client that went away.
//! # Limits   what is read ahead while a statement runs (`AHEAD_BYTES_MAX`); what waits to be written (`FLUSH_BYTES`)

use std::{collections::BTreeMap, future::poll_fn, io, sync::Arc, task::Poll};

use arrow::datatypes::SchemaRef;
use datafusion_common::ScalarValue;

use super::{
    Guard, Peer,
    copy::{CopyReader, CopyWriter},
    encoding::{Columns, Encoder, described},
    message::{
        Bind, DecodeError, Plain, Replies, Request, Severity, Status, Target, request_frame,
    },
    parameter,
};
use crate::{
    backend::SqlError,
    session::{Answer, CopyTarget, Prepared, Rows, SETTINGS, Session, Tag, parse},
    statement::{CopyFormat, CopyKind},
};

/// While a statement runs no more than this is read of what follows.
pub(super) const AHEAD_BYTES_MAX: usize = 64 << 10;
/// Written to the socket from here on.
const FLUSH_BYTES: usize = 64 << 10;
/// Encoded between two looks at whether to stop.
const STEP_ROWS: usize = 256;
const PORTALS_MAX: usize = 256;

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The client is gone, or says what cannot be understood.
    #[error(transparent)]
    Gone(#[from] io::Error),
}

impl Failure {
    fn map_sql(self, change: impl FnOnce(SqlError) -> SqlError) -> Self {
        match self {
            Self::Sql(error) => Self::Sql(change(error)),
            gone @ Self::Gone(_) => gone,
        }
    }
}

/// A statement with its values, and how far its rows were taken.
struct Portal {
    prepared: Arc<Prepared>,
    values: Vec<ScalarValue>,
    formats: Vec<i16>,
    progress: Progress,
}

enum Progress {
    NotRun,
    /// So many were told.
    Rows(Rows, u64),
    Ended(Tag),
}

/// See the module head.
pub(super) struct Connection {
    pub wire: Wire,
    pub session: Session,
    pub cancellation: Arc<super::Cancellation>,
    pub process: u32,
    pub secret: Vec<u8>,
    pub portals: Portals,
    /// Until a Sync nothing is done.
    pub is_skipping: bool,
}

#[derive(Default)]
pub(super) struct Portals {
    /// Which most clients use for all they ask.
    unnamed: Option<Portal>,
    named: BTreeMap<String, Portal>,
}

impl Portals {
    fn get(&self, name: &str) -> Option<&Portal> {
        match name.is_empty() {
            true => self.unnamed.as_ref(),
            false => self.named.get(name),
        }
    }

    fn insert(&mut self, name: &str, portal: Portal) {
        match name.is_empty() {
            true => self.unnamed = Some(portal),
            false => _ = self.named.insert(name.to_owned(), portal),
        }
    }

    fn remove(&mut self, name: &str) -> Option<Portal> {
        match name.is_empty() {
            true => self.unnamed.take(),
            false => self.named.remove(name),
        }
    }

    fn clear(&mut self) {
        self.unnamed = None;
        self.named.clear();
    }
}

/// The bytes from and to a client.
pub(super) struct Wire {
    pub peer: Box<dyn Peer>,
    input: Vec<u8>,
    /// Of the input, what is done with.
    consumed: usize,
    pub replies: Replies,
}

impl Wire {
    pub fn new(peer: Box<dyn Peer>) -> Self {
        Self {
            peer,
            input: Vec::new(),
            consumed: 0,
            replies: Replies::default(),
        }
    }

    /// The next message, cut by `frame`, in the place of `message`; false: the client closed between two messages.
    pub async fn next(
        &mut self,
        frame: fn(&[u8]) -> Result<Option<usize>, DecodeError>,
        message: &mut Vec<u8>,
    ) -> Result<bool, Failure> {
        while !self.cut(frame, message)? {
            self.flush().await?;
            let read = self.peer.read(&mut self.input).await?;
            if read == 0 {
                return self.closed();
            }
        }
        Ok(true)
    }

    /// The same for a statement that waits for its client.
    async fn next_of(&mut self, guard: &mut Guard, message: &mut Vec<u8>) -> Result<bool, Failure> {
        while !self.cut(request_frame, message)? {
            self.flush().await?;
            let read = guard.read(self.peer.as_mut(), &mut self.input).await?;
            if read == 0 {
                return self.closed();
            }
        }
        Ok(true)
    }

    /// Moves a message out of the input; false: it is not all there yet.
    fn cut(
        &mut self,
        frame: fn(&[u8]) -> Result<Option<usize>, DecodeError>,
        message: &mut Vec<u8>,
    ) -> Result<bool, Failure> {
        message.clear();
        message.shrink_to(AHEAD_BYTES_MAX);
        let found = frame(&self.input[self.consumed..]).map_err(protocol_violation)?;
        let Some(bytes) = found else {
            self.input.drain(..self.consumed);
            self.consumed = 0;
            return Ok(false);
        };
        let end = self.consumed + bytes;
        message.extend_from_slice(&self.input[self.consumed..end]);
        self.consumed = end;
        if self.consumed == self.input.len() {
            self.input.clear();
            self.consumed = 0;
            // A single large message does not keep its memory for the connection's life.
            self.input.shrink_to(AHEAD_BYTES_MAX);
        }
        Ok(true)
    }

    /// The client has closed: false, or an error where it did so within a message.
    fn closed(&self) -> Result<bool, Failure> {
        match self.input.is_empty() {
            true => Ok(false),
            false => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }

    /// Whether more has come than was cut into messages.
    pub fn is_ahead(&self) -> bool {
        self.consumed < self.input.len()
    }

    pub async fn flush(&mut self) -> io::Result<()> {
        if !self.replies.bytes.is_empty() {
            self.peer.write(&self.replies.bytes).await?;
            self.replies.bytes.clear();
            self.replies.bytes.shrink_to(4 * FLUSH_BYTES);
        }
        Ok(())
    }

    /// Does `work` unless something ends it first.
    pub async fn attend<T>(
        &mut self,
        guard: &mut Guard,
        work: impl Future<Output = Result<T, SqlError>>,
    ) -> Result<T, Failure> {
        let (peer, input) = (&mut self.peer, &mut self.input);
        guard.race(peer.as_mut(), input, work).await
    }
}

/// The client is told and the connection ends.
pub(super) fn protocol_violation(error: DecodeError) -> Failure {
    let sqlstate = match error {
        DecodeError::Text => *b"22021",
        DecodeError::Version(..) => *b"0A000",
        _ => *b"08P01",
    };
    Failure::Gone(io::Error::new(
        io::ErrorKind::InvalidData,
        SqlError::new(sqlstate, error.to_string()),
    ))
}

impl Connection {
    /// What a client is told that may go on.
    pub fn welcome(&mut self) {
        self.wire.replies.authentication_ok();
        for setting in SETTINGS.iter().filter(|setting| setting.is_reported) {
            let value = self
                .session
                .settings
                .get(setting.name)
                .unwrap_or(setting.default);
            self.wire.replies.parameter_status(setting.name, value);
        }
        self.wire.replies.backend_key(self.process, &self.secret);
        self.ready();
    }

    /// Until the client goes. The error is told by the caller.
    pub async fn run(&mut self) -> Result<(), Failure> {
        let mut frame = Vec::new();
        loop {
            if !self.wire.next(request_frame, &mut frame).await? {
                return Ok(());
            }
            let request = Request::decode(&frame).map_err(protocol_violation)?;
            if request == Request::Terminate {
                return Ok(());
            }
            if self.is_skipping && request != Request::Sync {
                continue;
            }
            let is_simple = matches!(request, Request::Query(_));
            match self.answer(request).await {
                Ok(()) => {}
                Err(Failure::Gone(error)) => return Err(error.into()),
                Err(Failure::Sql(error)) => {
                    self.session.fail();
                    self.tell_notices();
                    self.wire.replies.error(Severity::Error, &error);
                    if is_simple {
                        self.ready();
                    } else {
                        self.is_skipping = true;
                    }
                }
            }
        }
    }

    async fn answer(&mut self, request: Request<'_>) -> Result<(), Failure> {
        match request {
            Request::Query(text) => self.simple(text).await,
            Request::Parse { name, sql, types } => self.parse(name, sql, &types).await,
            Request::Bind(bind) => Ok(self.bind(bind)?),
            Request::Describe(target) => Ok(self.describe(target)?),
            Request::Execute { portal, rows_max } => self.execute(portal, rows_max).await,
            Request::Close(target) => {
                match target {
                    Target::Statement(name) => _ = self.session.forget(name),
                    Target::Portal(name) => _ = self.portals.remove(name),
                }
                self.wire.replies.plain(Plain::CloseComplete);
                Ok(())
            }
            Request::Flush => Ok(self.wire.flush().await?),
            Request::Sync => {
                self.is_skipping = false;
                if !self.session.transaction().is_open() {
                    self.portals.clear();
                }
                self.ready();
                Ok(())
            }
            // What is left of a COPY that failed.
            Request::CopyData(_) | Request::CopyDone | Request::CopyFail(_) => Ok(()),
            Request::FunctionCall => {
                self.ready_after_function_call();
                Ok(())
            }
            Request::Password(_) | Request::Terminate => {
                Err(protocol_violation(DecodeError::Kind(b'p')))
            }
        }
    }

    fn ready_after_function_call(&mut self) {
        let error = SqlError::new(*b"0A000", "function calls are not supported: use SELECT");
        self.session.fail();
        self.wire.replies.error(Severity::Error, &error);
        self.ready();
    }

    /// The client may go on.
    pub fn ready(&mut self) {
        self.tell_notices();
        let status = match self.session.transaction() {
            transaction if transaction.is_failed() => Status::Failed,
            transaction if transaction.is_open() => Status::InTransaction,
            _ => Status::Idle,
        };
        self.wire.replies.ready(status);
    }

    fn tell_notices(&mut self) {
        for notice in self.session.take_notices() {
            self.wire.replies.error(Severity::Warning, &notice);
        }
        for name in self.session.settings.take_reports() {
            if let Ok(value) = self.session.settings.get(name) {
                self.wire.replies.parameter_status(name, value);
            }
        }
    }

    async fn simple(&mut self, text: &str) -> Result<(), Failure> {
        self.portals.remove("");
        let statements = parse(text)?;
        if statements.is_empty() {
            self.wire.replies.plain(Plain::EmptyQuery);
            self.ready();
            return Ok(());
        }
        if statements.len() > 1 {
            self.session.begin_implicit();
        }
        let mut done = Ok(());
        for statement in statements {
            let mut guard = self.guard();
            done = self.simple_statement(&statement, &mut guard).await;
            if done.is_err() {
                break;
            }
        }
        let ended = self.session.end_implicit(done.is_err()).await;
        done?;
        ended?;
        self.ready();
        Ok(())
    }

    async fn simple_statement(
        &mut self,
        statement: &crate::statement::Statement,
        guard: &mut Guard,
    ) -> Result<(), Failure> {
        let work = self.session.run_statement(statement);
        let answer = self.wire.attend(guard, work).await?;
        let tag = match answer {
            Answer::Done(tag) => tag,
            Answer::Rows(mut rows) => {
                let described = described(rows.schema(), &[])?;
                self.wire.replies.row_description(described.into_iter());
                let mut sent = 0;
                self.send(&mut rows, &[], u64::MAX, &mut sent, guard)
                    .await?;
                rows.tag(sent)
            }
            Answer::Copy { rows, format } => self.copy_out(rows, &format, guard).await?,
            Answer::CopyFrom(target) => self.copy_in(target, guard).await?,
        };
        self.tell_notices();
        self.wire.replies.command_complete(&tag.to_string());
        Ok(())
    }

    fn guard(&self) -> Guard {
        let timeout = self.session.settings.statement_timeout();
        Guard::new(
            self.cancellation.clone(),
            timeout.map(|span| self.wire.peer.sleep(span)),
        )
    }

    /// Tells at most `max` rows, counted in `sent`; whether there may be more.
    async fn send(
        &mut self,
        rows: &mut Rows,
        formats: &[i16],
        max: u64,
        sent: &mut u64,
        guard: &mut Guard,
    ) -> Result<bool, Failure> {
        let encoder = Encoder::new(rows.schema(), formats, self.session.settings.style());
        let mut left = max;
        while left > 0 {
            let step = usize::try_from(left).unwrap_or(usize::MAX).min(STEP_ROWS);
            if rows.is_endless() || self.wire.replies.bytes.len() >= FLUSH_BYTES {
                self.wire.flush().await?;
            }
            let Some(batch) = self.wire.attend(guard, rows.next(step)).await? else {
                return Ok(false);
            };
            let columns = Columns::new(&batch)?;
            for row in 0..batch.num_rows() {
                let replies = &mut self.wire.replies;
                replies.data_row(columns.len(), |column, out| {
                    encoder.encode(&columns, column, row, out)
                })?;
            }
            let count = batch.num_rows() as u64;
            *sent += count;
            left -= count;
        }
        Ok(true)
    }

    async fn copy_out(
        &mut self,
        mut rows: Rows,
        format: &CopyFormat,
        guard: &mut Guard,
    ) -> Result<Tag, Failure> {
        let schema = rows.schema().clone();
        let writer = CopyWriter(format);
        let is_binary = writer.is_binary();
        let style = self.session.settings.style();
        let encoder = Encoder::new(&schema, &[is_binary.into()], style);
        self.wire.replies.copy_out(schema.fields().len(), is_binary);
        if let Some(header) = writer.header(&schema) {
            self.wire.replies.copy_data(&header);
        }
        let mut count = 0;
        loop {
            if rows.is_endless() || self.wire.replies.bytes.len() >= FLUSH_BYTES {
                self.wire.flush().await?;
            }
            let Some(batch) = self.wire.attend(guard, rows.next(STEP_ROWS)).await? else {
                break;
            };
            let columns = Columns::new(&batch)?;
            for row in 0..batch.num_rows() {
                let line = writer.row(&encoder, &columns, row)?;
                self.wire.replies.copy_data(&line);
            }
            count += batch.num_rows() as u64;
        }
        if let Some(trailer) = writer.trailer() {
            self.wire.replies.copy_data(&trailer);
        }
        self.wire.replies.plain(Plain::CopyDone);
        Ok(rows.tag(count))
    }

    async fn copy_in(
        &mut self,
        target: Arc<CopyTarget>,
        guard: &mut Guard,
    ) -> Result<Tag, Failure> {
        let is_binary = target.format.kind == CopyKind::Binary;
        let columns = target.schema.fields().len();
        self.wire.replies.copy_in(columns, is_binary);
        let mut reader = CopyReader::new(target.clone());
        let mut held = Vec::new();
        let mut frame = Vec::new();
        loop {
            let next = self.wire.next_of(guard, &mut frame).await;
            if !next.map_err(|failure| failure.map_sql(|error| reader.here(error)))? {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            match Request::decode(&frame).map_err(protocol_violation)? {
                Request::CopyData(data) => {
                    for (at, piece) in data.chunks(AHEAD_BYTES_MAX).enumerate() {
                        if at > 0 {
                            others_go_first().await;
                        }
                        let bytes = reader.take(piece)?;
                        held.extend(self.session.hold(bytes)?);
                    }
                }
                Request::CopyDone => break,
                Request::CopyFail(why) => {
                    let message = format!("COPY from stdin failed: {why}");
                    return Err(reader.here(SqlError::new(*b"57014", message)).into());
                }
                // Drivers send it with what begins a COPY, and again behind its end.
                Request::Flush | Request::Sync => {}
                _ => {
                    let message = format!(
                        "unexpected message type 0x{:02X} during COPY from stdin",
                        frame.first().copied().unwrap_or_default()
                    );
                    return Err(reader.here(SqlError::new(*b"08P01", message)).into());
                }
            }
        }
        let rows = reader.finish()?;
        let work = self.session.copied(&target, rows);
        self.wire.attend(guard, work).await
    }

    async fn parse(&mut self, name: &str, sql: &str, types: &[u32]) -> Result<(), Failure> {
        let mut statements = parse(sql)?;
        if statements.len() > 1 {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(SqlError::new(*b"42601", message).into());
        }
        if name.is_empty() {
            self.session.forget("");
        }
        let mut guard = self.guard();
        let work = self.session.prepare(statements.pop(), types);
        let prepared = self.wire.attend(&mut guard, work).await?;
        self.session.keep(name, prepared)?;
        self.wire.replies.plain(Plain::ParseComplete);
        Ok(())
    }

    fn bind(&mut self, bind: Bind<'_>) -> Result<(), SqlError> {
        let prepared = self.session.prepared(bind.statement)?;
        if bind.values.len() != prepared.parameters.len() {
            let message = format!(
                "bind message supplies {} parameters, but prepared statement \"{}\" requires {}",
                bind.values.len(),
                bind.statement,
                prepared.parameters.len()
            );
            return Err(SqlError::new(*b"08P01", message));
        }
        let format = formats(&bind.formats, bind.values.len(), "parameter")?;
        let columns = prepared
            .columns
            .as_ref()
            .map_or(0, |schema| schema.fields().len());
        drop(formats(&bind.result_formats, columns, "result")?);
        let values = bind.values.iter().zip(&prepared.parameters).enumerate();
        let values = values.map(|(at, (value, oid))| parameter::decode(*oid, format(at), *value));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        if !bind.portal.is_empty() && self.portals.get(bind.portal).is_some() {
            let message = format!("cursor \"{}\" already exists", bind.portal);
            return Err(SqlError::new(*b"42P03", message));
        }
        if self.portals.named.len() >= PORTALS_MAX {
            return Err(SqlError::new(*b"53400", "too many portals"));
        }
        let portal = Portal {
            prepared,
            values,
            formats: bind.result_formats,
            progress: Progress::NotRun,
        };
        self.portals.insert(bind.portal, portal);
        self.wire.replies.plain(Plain::BindComplete);
        Ok(())
    }

    fn describe(&mut self, target: Target<'_>) -> Result<(), SqlError> {
        let (prepared, formats) = match target {
            Target::Statement(name) => {
                let prepared = self.session.prepared(name)?;
                self.wire
                    .replies
                    .parameter_description(&prepared.parameters);
                (prepared, &[][..])
            }
            // Cursors of DECLARE are portals too.
            Target::Portal(name) if self.portals.get(name).is_none() => {
                let columns = self
                    .session
                    .cursor_columns(name)
                    .ok_or_else(|| no_portal(name))?;
                let described = described(columns, &[])?;
                self.wire.replies.row_description(described.into_iter());
                return Ok(());
            }
            Target::Portal(name) => {
                let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
                (portal.prepared.clone(), &portal.formats[..])
            }
        };
        match &prepared.columns {
            Some(schema) => {
                let described = described(schema, formats)?;
                self.wire.replies.row_description(described.into_iter());
            }
            None => self.wire.replies.plain(Plain::NoData),
        }
        Ok(())
    }

    async fn execute(&mut self, name: &str, rows_max: u32) -> Result<(), Failure> {
        // Out of the map while it is worked with: whatever fails, it is gone.
        let mut portal = self.portals.remove(name).ok_or_else(|| no_portal(name))?;
        // Not once rows are found: what they lie in is kept as long.
        if self.wire.replies.bytes.len() >= FLUSH_BYTES {
            self.wire.flush().await?;
        }
        let mut guard = self.guard();
        if matches!(portal.progress, Progress::NotRun) {
            let Some(progress) = self.begin(&portal, &mut guard).await? else {
                return Ok(());
            };
            portal.progress = progress;
        }
        let max = if rows_max == 0 {
            u64::MAX
        } else {
            rows_max.into()
        };
        let tag = match &mut portal.progress {
            Progress::Rows(rows, total) => {
                check_same(&portal.prepared.columns, rows.schema())?;
                let mut sent = 0;
                let more = self
                    .send(rows, &portal.formats, max, &mut sent, &mut guard)
                    .await?;
                *total += sent;
                if more {
                    self.wire.replies.plain(Plain::PortalSuspended);
                    self.portals.insert(name, portal);
                    return Ok(());
                }
                rows.tag(*total)
            }
            Progress::Ended(tag) => *tag,
            Progress::NotRun => Tag::Fixed(""),
        };
        self.tell_notices();
        self.wire.replies.command_complete(&tag.to_string());
        portal.progress = Progress::Ended(match tag {
            Tag::Counted(words, _) => Tag::Counted(words, 0),
            Tag::Fixed(_) => tag,
        });
        self.portals.insert(name, portal);
        Ok(())
    }

    /// Runs the statement of a portal; `None`: all is told.
    async fn begin(
        &mut self,
        portal: &Portal,
        guard: &mut Guard,
    ) -> Result<Option<Progress>, Failure> {
        if portal.prepared.statement.is_none() {
            self.wire.replies.plain(Plain::EmptyQuery);
            return Ok(None);
        }
        let work = self.session.run(&portal.prepared, &portal.values);
        let answer = self.wire.attend(guard, work).await?;
        Ok(Some(match answer {
            Answer::Done(tag) => Progress::Ended(tag),
            Answer::Rows(rows) => Progress::Rows(rows, 0),
            Answer::Copy { rows, format } => {
                Progress::Ended(self.copy_out(rows, &format, guard).await?)
            }
            Answer::CopyFrom(target) => Progress::Ended(self.copy_in(target, guard).await?),
        }))
    }
}

/// To read a piece takes about as long as to answer a question.
async fn others_go_first() {
    let mut is_later = false;
    poll_fn(|context| {
        if std::mem::replace(&mut is_later, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn no_portal(name: &str) -> SqlError {
    SqlError::new(*b"34000", format!("portal \"{name}\" does not exist"))
}

/// One format for each of `count`, one for all, or none: text.
fn formats<'a>(
    given: &'a [i16],
    count: usize,
    what: &str,
) -> Result<impl Fn(usize) -> i16 + use<'a>, SqlError> {
    if given.len() > 1 && given.len() != count {
        let message = format!(
            "bind message has {} {what} formats but {count} {what}s",
            given.len()
        );
        return Err(SqlError::new(*b"08P01", message));
    }
    if let Some(unknown) = given.iter().find(|format| !(0..=1).contains(*format)) {
        let message = format!("unsupported format code: {unknown}");
        return Err(SqlError::new(*b"22023", message));
    }
    Ok(move |at| match given {
        [] => 0,
        [all] => *all,
        each => each.get(at).copied().unwrap_or(0),
    })
}

/// What was described is what is told, also when a relation was replaced between the two.
fn check_same(described: &Option<SchemaRef>, now: &SchemaRef) -> Result<(), SqlError> {
    let types = |schema: &SchemaRef| -> Vec<_> {
        schema
            .fields()
            .iter()
            .map(|field| field.data_type().clone())
            .collect()
    };
    if described
        .as_ref()
        .is_some_and(|was| types(was) != types(now))
    {
        return Err(SqlError::new(
            *b"0A000",
            "cached plan must not change result type",
        ));
    }
    Ok(())
}
