//! A system in memory that can be killed, lose power, run full and fail to sync.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use fastrand::Rng;

use crate::system::{File, Now, System};

/// What a disk writes as a whole or not at all.
const SECTOR: usize = 512;

/// A handle; clones are the same system.
#[derive(Clone, Debug)]
pub(super) struct Simulated {
    world: Arc<Mutex<World>>,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    files: Vec<Contents>,
    directories: BTreeMap<PathBuf, Directory>,
    locked: bool,
    /// Every operation fails.
    dead: bool,
    /// Operations that change something, until now.
    pub(super) operations: u64,
    /// The operation in which everything ends.
    pub(super) ends_at: Option<u64>,
    /// Bytes that may still be written; those of removed files come back.
    pub(super) free: Option<u64>,
    /// Syncs that fail from now on.
    pub(super) failing_syncs: u32,
    pub(super) now: Now,
}

#[derive(Clone, Debug, Default)]
struct Directory {
    /// What is there after a loss of power.
    durable: BTreeMap<String, Option<usize>>,
    current: BTreeMap<String, Option<usize>>,
}

#[derive(Clone, Debug, Default)]
struct Contents {
    durable: Vec<u8>,
    current: Vec<u8>,
    /// Since the last sync: writes, and truncations without bytes.
    pending: Vec<(usize, Option<Vec<u8>>)>,
}

fn dead() -> io::Error {
    io::Error::other("the power is off")
}

impl World {
    /// Counts an operation that changes something.
    fn change(&mut self) -> io::Result<()> {
        self.operations += 1;
        self.dead |= self.ends_at.is_some_and(|at| self.operations >= at);
        if self.dead { Err(dead()) } else { Ok(()) }
    }

    fn directory(&mut self, path: &Path) -> io::Result<&mut Directory> {
        self.directories.get_mut(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Simulated {
    pub(super) fn new() -> Self {
        let now = Now { wall_ms: 1_800_000_000_000, steady_ms: 0 };
        let directories = BTreeMap::from([(PathBuf::from("/"), Directory::default())]);
        let world = World {
            files: Vec::new(),
            directories,
            locked: false,
            dead: false,
            operations: 0,
            ends_at: None,
            free: None,
            failing_syncs: 0,
            now,
        };
        Self { world: Arc::new(Mutex::new(world)) }
    }

    pub(super) fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Another system with the same on its disk.
    pub(super) fn copy(&self) -> Self {
        Self { world: Arc::new(Mutex::new(self.world().clone())) }
    }

    /// Ends the process: nothing that it does from now on has an effect. What is dropped meanwhile
    /// is the process's.
    pub(super) fn kill(&self, process: impl Sized) {
        self.world().dead = true;
        drop(process);
        let mut world = self.world();
        (world.dead, world.locked, world.ends_at) = (false, false, None);
    }

    /// Ends the process by a loss of power: of what was not synced, any part may be there.
    pub(super) fn lose_power(&self, process: impl Sized, random: &mut Rng) {
        self.kill(process);
        let mut world = self.world();
        for file in &mut world.files {
            let mut found = std::mem::take(&mut file.durable);
            for (at, write) in std::mem::take(&mut file.pending) {
                match write {
                    None if random.bool() => found.resize(at, 0),
                    Some(bytes) if random.bool() => {
                        let whole = random.bool();
                        for (index, sector) in bytes.chunks(SECTOR).enumerate() {
                            let start = at + index * SECTOR;
                            if whole || random.bool() {
                                let end = start + sector.len();
                                found.resize(found.len().max(end), 0);
                                found[start..end].copy_from_slice(sector);
                            }
                        }
                    }
                    _ => {}
                }
            }
            file.current.clone_from(&found);
            file.durable = found;
        }
        let names: Vec<PathBuf> = world.directories.keys().cloned().collect();
        for name in names {
            let above = name.parent().map(|above| world.directories.get(above).cloned());
            let own = name.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let kept = match above {
                None => true,
                Some(above) => above.is_some_and(|above| above.current.contains_key(own)),
            };
            if !kept {
                world.directories.remove(&name);
                continue;
            }
            let Some(directory) = world.directories.get_mut(&name) else { continue };
            let mut found = directory.durable.clone();
            for (name, entry) in &directory.current {
                if !directory.durable.contains_key(name) && random.bool() {
                    found.insert(name.clone(), *entry);
                }
            }
            for name in directory.durable.keys() {
                if !directory.current.contains_key(name) && random.bool() {
                    found.remove(name);
                }
            }
            directory.current.clone_from(&found);
            directory.durable = found;
        }
    }

    /// Every file there is, to be looked at or changed.
    pub(super) fn each_file(&self, mut each: impl FnMut(&Path, &mut Vec<u8>)) {
        let mut world = self.world();
        let found: Vec<(PathBuf, usize)> = (world.directories.iter())
            .flat_map(|(path, directory)| {
                let file = |(name, entry): (&String, &Option<usize>)| {
                    entry.map(|index| (path.join(name), index))
                };
                directory.current.iter().filter_map(file).collect::<Vec<_>>()
            })
            .collect();
        for (path, index) in found {
            each(&path, &mut world.files[index].current);
        }
    }

    fn file(&self, path: &Path, create: bool) -> io::Result<Arc<dyn File>> {
        let mut world = self.world();
        if world.dead {
            return Err(dead());
        }
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let above = path.parent().unwrap().to_owned();
        if let Some(entry) = world.directory(&above)?.current.get(&name) {
            let index = entry.ok_or(io::ErrorKind::IsADirectory)?;
            return Ok(Arc::new(Open { system: self.clone(), index }));
        }
        if !create {
            return Err(io::ErrorKind::NotFound.into());
        }
        world.change()?;
        world.files.push(Contents::default());
        let index = world.files.len() - 1;
        world.directory(&above)?.current.insert(name, Some(index));
        Ok(Arc::new(Open { system: self.clone(), index }))
    }
}

#[derive(Debug)]
struct Open {
    system: Simulated,
    index: usize,
}

impl File for Open {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let world = self.system.world();
        if world.dead {
            return Err(dead());
        }
        let rest = world.files[self.index].current.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut world = self.system.world();
        world.change()?;
        let (start, before) = (offset as usize, world.files[self.index].current.len());
        let mut fits = bytes.len();
        if let Some(free) = world.free {
            fits = fits.min((before + free as usize).saturating_sub(start));
            let grown = (start + fits).saturating_sub(before) as u64;
            world.free = Some(free - grown);
        }
        let file = &mut world.files[self.index];
        file.current.resize(before.max(start + fits), 0);
        file.current[start..start + fits].copy_from_slice(&bytes[..fits]);
        file.pending.push((start, Some(bytes[..fits].to_vec())));
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.system.world().files[self.index].current.len() as u64)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut world = self.system.world();
        world.change()?;
        let file = &mut world.files[self.index];
        let before = file.current.len() as u64;
        file.current.resize(len as usize, 0);
        file.pending.push((len as usize, None));
        world.free = world.free.map(|free| (free + before).saturating_sub(len));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.system.world();
        world.change()?;
        if world.failing_syncs > 0 {
            world.failing_syncs -= 1;
            // As Linux has it: what could not be written is not tried again.
            world.files[self.index].pending.clear();
            return Err(io::Error::other("the disk is broken"));
        }
        let file = &mut world.files[self.index];
        file.durable.clone_from(&file.current);
        file.pending.clear();
        Ok(())
    }
}

impl System for Simulated {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        for path in path.ancestors().collect::<Vec<_>>().into_iter().rev().skip(1) {
            if !world.directories.contains_key(path) {
                world.change()?;
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                world.directory(path.parent().unwrap())?.current.insert(name, None);
                world.directories.insert(path.to_owned(), Directory::default());
            }
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut world = self.world();
        if world.dead {
            return Err(dead());
        }
        if path.file_name().is_some_and(|name| name == ".lock") {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(world.directory(path)?.current.keys().cloned().collect())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.file(path, false)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.file(path, true)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.change()?;
        let name = path.file_name().unwrap().to_str().unwrap();
        let entry = world.directory(path.parent().unwrap())?.current.remove(name);
        let index = entry.flatten().ok_or(io::ErrorKind::NotFound)?;
        let freed = world.files[index].current.len() as u64;
        world.free = world.free.map(|free| free + freed);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.change()?;
        let directory = world.directory(path)?;
        directory.durable.clone_from(&directory.current);
        Ok(())
    }

    fn lock(&self, _path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let mut world = self.world();
        if std::mem::replace(&mut world.locked, true) {
            return Ok(None);
        }
        Ok(Some(Box::new(Held { system: self.clone() })))
    }

    fn now(&self) -> Now {
        self.world().now
    }
}

#[derive(Debug)]
struct Held {
    system: Simulated,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.system.world().locked = false;
    }
}
