//! Helper threads for operations that block: metadata, memory, names of hosts, work of the program's, and with epoll all file I/O.
//!
//! # Place       one set per process, started at first use, never ended
//! # Limits      jobs are operations in flight, which the shards' slabs bound
//! # Instead of  blocking the shard: a directory listing or an unlink of a large file takes milliseconds

use crate::{
    fs::{DirEntry, Open, Space},
    ops::{Completion, Errno, Fd, Op, OpKey, Outcome, Value},
    remote::{Message, Remote},
    socket::last_errno,
};
use iobuf::IoBuf;
use std::{
    ffi::CString,
    fs, io,
    mem::MaybeUninit,
    net::ToSocketAddrs,
    os::{
        fd::IntoRawFd,
        unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    },
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError, mpsc},
    thread,
};

struct Job {
    key: OpKey,
    op: Op,
    from: Arc<Remote>,
}

/// Which threads an operation goes to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Names, directories, locks, memory: one thread, so that they happen in the order they were asked for.
    Metadata,
    /// Reads, writes and syncs where io_uring is refused.
    Data,
    /// Names of hosts: a resolver may take its time, and nothing of the disk waits for it.
    Names,
    /// Work of the program's: one thread, so that it is done in the order it was asked for.
    Work,
}

/// Threads for `Lane::Data`: the depth at which the disk of a small machine is busy.
const DATA_THREADS: usize = 4;

/// Threads for `Lane::Names`: so many names of which no server answers hold up no other.
const NAMES_THREADS: usize = 4;

struct Lanes {
    metadata: mpsc::Sender<Job>,
    data: OnceLock<mpsc::Sender<Job>>,
    names: OnceLock<mpsc::Sender<Job>>,
    work: OnceLock<mpsc::Sender<Job>>,
}

static LANES: OnceLock<Lanes> = OnceLock::new();

fn start_threads(name: &str, count: usize) -> mpsc::Sender<Job> {
    let (sender, receiver) = mpsc::channel::<Job>();
    let receiver = Arc::new(Mutex::new(receiver));
    for _ in 0..count {
        let receiver = receiver.clone();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                loop {
                    let job = {
                        let receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
                        receiver.recv()
                    };
                    let Ok(Job { key, mut op, from }) = job else {
                        return;
                    };
                    let outcome = perform(&mut op);
                    from.push(Message::Completed(Box::new(Completion {
                        key,
                        op,
                        outcome,
                    })));
                }
            })
            .expect("the system gives a few threads");
    }
    sender
}

/// Has `op` done on a helper thread; its completion goes to `from`.
pub(crate) fn submit(lane: Lane, key: OpKey, op: Op, from: &Arc<Remote>) {
    let lanes = LANES.get_or_init(|| Lanes {
        metadata: start_threads("metadata", 1),
        data: OnceLock::new(),
        names: OnceLock::new(),
        work: OnceLock::new(),
    });
    let sender = match lane {
        Lane::Metadata => &lanes.metadata,
        Lane::Data => lanes
            .data
            .get_or_init(|| start_threads("file-io", DATA_THREADS)),
        Lane::Names => lanes
            .names
            .get_or_init(|| start_threads("names", NAMES_THREADS)),
        Lane::Work => lanes.work.get_or_init(|| start_threads("work", 1)),
    };
    let job = Job {
        key,
        op,
        from: from.clone(),
    };
    assert!(sender.send(job).is_ok(), "helper threads never end");
}

/// Flags of open(2) for a file.
pub(crate) fn open_flags(open: Open) -> libc::c_int {
    let mut flags = libc::O_CLOEXEC;
    flags |= match (open.read, open.write) {
        (true, true) => libc::O_RDWR,
        (false, true) => libc::O_WRONLY,
        _ => libc::O_RDONLY,
    };
    for (is_set, flag) in [
        (open.create, libc::O_CREAT),
        (open.create_new, libc::O_CREAT | libc::O_EXCL),
        (open.truncate, libc::O_TRUNC),
        (open.direct, libc::O_DIRECT),
    ] {
        if is_set {
            flags |= flag;
        }
    }
    flags
}

pub(crate) const FILE_MODE: libc::mode_t = 0o644;

pub(crate) fn c_path(path: &Path) -> Result<CString, Errno> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno(libc::EINVAL))
}

/// Slices of a chain in kernel form: as many as one call takes.
pub(crate) fn to_slices(data: &IoBuf, slices: &mut Vec<libc::iovec>) {
    slices.clear();
    let most = libc::UIO_MAXIOV as usize;
    slices.extend(data.chunks().take(most).map(|chunk| libc::iovec {
        iov_base: chunk.as_ptr().cast_mut().cast(),
        iov_len: chunk.len(),
    }));
}

fn done(result: io::Result<()>) -> Outcome {
    match result {
        Ok(()) => Ok(Value::Done),
        Err(error) => Err(Errno::from(&error)),
    }
}

fn check(result: libc::c_int) -> Outcome {
    if result < 0 {
        return Err(last_errno());
    }
    Ok(Value::Done)
}

fn count(result: isize) -> Outcome {
    if result < 0 {
        return Err(last_errno());
    }
    Ok(Value::Bytes(result as usize))
}

/// Does the operation on this thread, which may block.
fn perform(op: &mut Op) -> Outcome {
    loop {
        let outcome = perform_once(op);
        if !matches!(outcome, Err(Errno(libc::EINTR))) {
            return outcome;
        }
    }
}

fn perform_once(op: &mut Op) -> Outcome {
    match op {
        Op::Open { path, open } => open_file(path, open_flags(*open)),
        Op::OpenDir { path } => {
            open_file(path, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC)
        }
        Op::Close { fd } => {
            crate::socket::close(*fd);
            Ok(Value::Done)
        }
        Op::Read {
            fd,
            pos,
            buf,
            from,
            bytes,
        } => {
            let len = buf.len();
            buf.set_len(*from + *bytes);
            let target = &mut buf[*from..];
            let (at, bytes) = (target.as_mut_ptr().cast(), target.len());
            // SAFETY: `target` is writable memory of this length.
            let outcome = count(unsafe { libc::pread(fd.0, at, bytes, *pos as libc::off_t) });
            buf.set_len(len);
            outcome
        }
        Op::Write {
            fd,
            pos,
            data,
            is_durable,
        } => write(*fd, *pos, data, *is_durable),
        // SAFETY: the calls below touch no memory of ours.
        Op::Sync { fd, data_only } => check(unsafe {
            if *data_only {
                libc::fdatasync(fd.0)
            } else {
                libc::fsync(fd.0)
            }
        }),
        // SAFETY: touches no memory.
        Op::Truncate { fd, len } => check(unsafe { libc::ftruncate(fd.0, *len as libc::off_t) }),
        Op::Allocate { fd, pos, bytes } => {
            let (pos, bytes) = (*pos as libc::off_t, *bytes as libc::off_t);
            // SAFETY: touches no memory.
            check(unsafe { libc::fallocate(fd.0, 0, pos, bytes) })
        }
        Op::Length { fd } => length(*fd),
        Op::Rename { from, to } => done(fs::rename(from, to)),
        Op::RemoveFile { path } => done(fs::remove_file(path)),
        Op::RemoveDirAll { path } => match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Value::Done),
            result => done(result),
        },
        Op::CreateDirAll { path } => done(fs::create_dir_all(path)),
        Op::ReadDir { path } => read_dir(path).map_err(|error| Errno::from(&error)),
        Op::Exists { path } => match fs::symlink_metadata(path) {
            Ok(_) => Ok(Value::Exists(true)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Value::Exists(false)),
            Err(error) => Err(Errno::from(&error)),
        },
        Op::Space { path } => space(path),
        Op::LookUp { host, port } => {
            let found = (host.as_str(), *port).to_socket_addrs();
            // A resolver's errors have no numbers of the system's.
            let found = found.map(Iterator::collect);
            Ok(Value::Addresses(found.map_err(|error| error.to_string())))
        }
        Op::Lock { path } => lock(path),
        Op::Call { work } => {
            work.perform();
            Ok(Value::Done)
        }
        Op::Touch { buf } => {
            buf.touch();
            Ok(Value::Done)
        }
        Op::Listen { .. }
        | Op::Accept { .. }
        | Op::Connect { .. }
        | Op::Receive { .. }
        | Op::Send { .. }
        | Op::Shutdown { .. } => unreachable!("sockets never block a driver"),
    }
}

fn open_file(path: &Path, flags: libc::c_int) -> Outcome {
    let path = c_path(path)?;
    // SAFETY: a valid C string.
    let fd = unsafe { libc::open(path.as_ptr(), flags, FILE_MODE) };
    check(fd)?;
    Ok(Value::Fd(Fd(fd)))
}

fn write(fd: Fd, pos: u64, data: &IoBuf, is_durable: bool) -> Outcome {
    let mut slices = Vec::new();
    to_slices(data, &mut slices);
    let flags = if is_durable { libc::RWF_DSYNC } else { 0 };
    let (at, len) = (slices.as_ptr(), slices.len() as libc::c_int);
    // SAFETY: every slice is readable memory that `data` keeps alive.
    count(unsafe { libc::pwritev2(fd.0, at, len, pos as libc::off_t, flags) })
}

fn length(fd: Fd) -> Outcome {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `stat` is a valid place for the result.
    check(unsafe { libc::fstat(fd.0, stat.as_mut_ptr()) })?;
    // SAFETY: fstat succeeded and filled it.
    let stat = unsafe { stat.assume_init() };
    Ok(Value::Length(stat.st_size as u64))
}

fn read_dir(path: &Path) -> io::Result<Value> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let is_dir = entry.file_type()?.is_dir();
        let name = entry
            .file_name()
            .into_string()
            .map_err(|_| io::Error::from_raw_os_error(libc::EILSEQ))?;
        entries.push(DirEntry { name, is_dir });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Value::Entries(entries))
}

fn space(path: &Path) -> Outcome {
    let path = c_path(path)?;
    let mut stat = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: a valid C string and a valid place for the result.
    check(unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) })?;
    // SAFETY: statvfs succeeded and filled it.
    let stat = unsafe { stat.assume_init() };
    Ok(Value::Space(Space {
        total_bytes: stat.f_blocks * stat.f_frsize,
        available_bytes: stat.f_bavail * stat.f_frsize,
    }))
}

fn lock(path: &Path) -> Outcome {
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(path)
        .map_err(|error| Errno::from(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(Value::Fd(Fd(file.into_raw_fd()))),
        Err(fs::TryLockError::WouldBlock) => Err(Errno(libc::EWOULDBLOCK)),
        Err(fs::TryLockError::Error(error)) => Err(Errno::from(&error)),
    }
}
