use std::any::Any;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::SpoolError;
use crate::consumer::Consumer;
use crate::kinds::{Entry, Id, Options, Status, Sync};
use crate::record::{self, HEAD_BYTES, Head, MAX_BODY_BYTES, MAX_HEADERS_BYTES};
use crate::state::State;
use crate::system::{Disk, System};

/// Most destinations of a spool.
pub const MAX_DESTINATIONS: usize = 64;

/// Bytes by which [`Spool::append_owed`] may exceed a spool's bound.
pub const OWED_BYTES: u64 = 1 << 20;

/// Held by the process that has the spool open. No destination has the name.
pub(crate) const LOCK: &str = ".lock";

/// A queue on disk. Clones are the same one; the last closes it.
#[derive(Clone)]
pub struct Spool {
    handle: Arc<Handle>,
}

/// What clones share. Closes the spool when it is dropped.
struct Handle {
    shared: Arc<Shared>,
    ticker: Option<(SyncSender<()>, JoinHandle<()>)>,
    _lock: Box<dyn Any + Send + std::marker::Sync>,
}

pub(crate) struct Shared {
    pub(crate) system: Arc<dyn System>,
    pub(crate) directory: PathBuf,
    pub(crate) options: Options,
    state: Mutex<State>,
    /// A record may be there for a consumer.
    pub(crate) arrived: Condvar,
    /// A sync ended.
    pub(crate) synced: Condvar,
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spool {
    /// Opens a spool, or makes one; its directory and those above it are made. What a process that
    /// was killed, or a loss of power, left half written is cut off; what is damaged is passed over
    /// and counted.
    pub fn open(directory: &Path, options: Options) -> Result<Self, SpoolError> {
        Self::on(Arc::new(Disk::new()), directory, options)
    }

    pub(crate) fn on(
        system: Arc<dyn System>,
        directory: &Path,
        options: Options,
    ) -> Result<Self, SpoolError> {
        system.make_dir(directory).map_err(SpoolError::io("make", directory))?;
        if let Some(above) = directory.parent().filter(|_| options.sync != Sync::Never) {
            // Whoever may not read the directory above did not make this one.
            match system.sync_dir(above) {
                Err(error)
                    if error.kind() != io::ErrorKind::PermissionDenied
                        && !above.as_os_str().is_empty() =>
                {
                    return Err(SpoolError::io("sync", above)(error));
                }
                _ => {}
            }
        }
        let lock = directory.join(LOCK);
        let Some(held) = system.lock(&lock).map_err(SpoolError::io("lock", &lock))? else {
            let written = std::fs::read_to_string(&lock).unwrap_or_default();
            let pid = written.trim().parse::<u32>();
            let holder = pid.map_or("another process".into(), |pid| format!("the process {pid}"));
            return Err(SpoolError::InUse { directory: directory.to_owned(), holder });
        };
        let state = State::open(Arc::clone(&system), directory, &options)?;
        let shared = Arc::new(Shared {
            system,
            directory: directory.to_owned(),
            options,
            state: Mutex::new(state),
            arrived: Condvar::new(),
            synced: Condvar::new(),
        });
        let ticker = match shared.options.sync {
            Sync::Every(pause) => Some(tick(&shared, pause)?),
            Sync::Always | Sync::Never => None,
        };
        Ok(Self { handle: Arc::new(Handle { shared, ticker, _lock: held }) })
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    /// Takes a record. When this returns it survives the end of the process, and a loss of power as
    /// [`Options::sync`] says. After an error nothing of it is there.
    pub fn append(&self, entry: &Entry<'_>) -> Result<Id, SpoolError> {
        self.append_within(self.shared().options.max_bytes, entry)
    }

    /// The same for what follows from a record that is handed out and cannot be settled before: such
    /// records may exceed the bound by [`OWED_BYTES`]. In a spool full of what waits for them, there
    /// would be no room for ever.
    pub fn append_owed(&self, entry: &Entry<'_>) -> Result<Id, SpoolError> {
        self.append_within(self.shared().options.max_bytes.saturating_add(OWED_BYTES), entry)
    }

    fn append_within(&self, max: u64, entry: &Entry<'_>) -> Result<Id, SpoolError> {
        let &Entry { destination, priority, headers, body } = entry;
        if !is_name(destination) {
            let name = destination.chars().take(80).collect();
            return Err(SpoolError::Destination { name });
        }
        let shared = self.shared();
        let bytes = (HEAD_BYTES + headers.len() + body.len()) as u64;
        if headers.len() > MAX_HEADERS_BYTES || body.len() > MAX_BODY_BYTES || bytes > max {
            return Err(SpoolError::TooLarge { bytes, max });
        }
        let checksum = record::checksum(headers, body);
        let mut state = shared.state();
        state.expire().map_err(SpoolError::io("read", &shared.directory))?;
        state.make_room(bytes, priority, max)?;
        let (order, now) = (state.next_order, state.now());
        let head = Head {
            headers_bytes: headers.len() as u32,
            body_bytes: body.len() as u32,
            checksum,
            number: 0,
            order,
            wall_ms: now.wall_ms,
            clock_ms: state.clock.ms(now),
        };
        let number = state.write(destination, priority, head, (headers, body))?;
        state.next_order += 1;
        state.flush_or_say();
        if shared.options.sync == Sync::Always {
            shared.commit(state, order)?;
        } else {
            drop(state);
        }
        self.wake(destination);
        Ok(Id { priority, number })
    }

    fn wake(&self, destination: &str) {
        let shared = self.shared();
        let wake = shared.state().consumers.get(destination).cloned().flatten();
        shared.arrived.notify_all();
        if let Some(wake) = wake {
            wake();
        }
    }

    /// The consumer of a destination, of which there is one at a time.
    pub fn consumer(&self, destination: &str) -> Result<Consumer, SpoolError> {
        if !is_name(destination) {
            let name = destination.chars().take(80).collect();
            return Err(SpoolError::Destination { name });
        }
        Consumer::new(self, destination)
    }

    /// What waits, and what came and went. What is too old is dropped before.
    pub fn status(&self) -> Status {
        let mut state = self.shared().state();
        if let Err(error) = state.expire() {
            state.commit.error = Some(error.to_string());
        }
        state.flush_or_say();
        Status {
            lanes: state.status(),
            bytes: state.bytes(),
            max_bytes: self.shared().options.max_bytes,
            sync_error: state.commit.error.clone(),
        }
    }

    /// Forces all that was appended and settled to the disk, whatever the policy.
    pub fn sync(&self) -> Result<(), SpoolError> {
        let shared = self.shared();
        shared.sync_now();
        let state = shared.state();
        match &state.commit.error {
            None => Ok(()),
            Some(error) => {
                Err(SpoolError::io("sync", &shared.directory)(io::Error::other(error.clone())))
            }
        }
    }
}

/// Syncs every so often until the sender is dropped.
fn tick(
    shared: &Arc<Shared>,
    pause: Duration,
) -> Result<(SyncSender<()>, JoinHandle<()>), SpoolError> {
    let (sender, receiver) = sync_channel(1);
    let (ticking, directory) = (Arc::clone(shared), shared.directory.clone());
    let run = move || {
        while receiver.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            ticking.sync_now();
        }
    };
    let thread = std::thread::Builder::new().name("spool".into()).spawn(run);
    Ok((sender, thread.map_err(SpoolError::io("start the thread of", &directory))?))
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.ticker.take() {
            drop(sender);
            let _ = thread.join();
        }
        match self.shared.options.sync {
            Sync::Never => self.shared.state().flush_or_say(),
            _ => self.shared.sync_now(),
        }
    }
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").field("directory", &self.shared().directory).finish_non_exhaustive()
    }
}

/// Whether a destination can have the name, of which a directory is made.
pub(crate) fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.len() <= 64
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && name.bytes().all(inner)
}
