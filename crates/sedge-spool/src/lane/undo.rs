//! What a sync has to reach, and taking back what it did not.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::Lane;
use crate::ledger::End;
use crate::system::{File, System};

/// How far a lane was written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark {
    next_number: u64,
    /// First number and end of the last segment.
    last: Option<(u64, u64)>,
}

/// Files and directories that a sync reaches, without the lane.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    pub(crate) files: Vec<Arc<dyn File>>,
    pub(crate) directories: Vec<PathBuf>,
}

impl Lane {
    pub(super) fn mark(&self) -> Mark {
        let last = self.segments.back().map(|segment| (segment.first, segment.end));
        Mark { next_number: self.next_number, last }
    }

    /// Adds what was written since the last time, and says how far that goes.
    pub(crate) fn collect(&mut self, dirty: &mut Dirty) -> Mark {
        dirty.files.extend(self.unsynced.sealed.drain(..).map(|(_, file)| file));
        if std::mem::take(&mut self.unsynced.tail) {
            dirty.files.extend(self.tail.clone());
        }
        dirty.files.extend(self.cursor.take_dirty());
        if std::mem::take(&mut self.unsynced.names) {
            dirty.directories.push(self.directory.clone());
        }
        self.mark()
    }

    /// What was written up to here survives a loss of power.
    pub(crate) fn reached(&mut self, mark: Mark) {
        self.unsynced.mark = mark;
    }

    /// Takes back what was appended since the last mark that was reached: nobody has seen it.
    pub(crate) fn take_back(&mut self, system: &dyn System) {
        let Mark { next_number, last } = self.unsynced.mark;
        if self.next_number == next_number {
            self.seal();
            return;
        }
        self.front = None;
        let burnt = self.next_number;
        let cut = self.cut(system, next_number, last);
        // What a failed sync left in memory may never reach the disk: go on in another file.
        self.seal();
        match cut {
            Ok(()) => self.next_number = next_number,
            Err(_) => self.note(End::Lost, next_number, burnt - 1),
        }
        // Only what was synced counts; it is few enough to be counted again.
        let _ = self.recount(system);
    }

    fn cut(
        &mut self,
        system: &dyn System,
        next_number: u64,
        last: Option<(u64, u64)>,
    ) -> io::Result<()> {
        while let Some(segment) = self.segments.back() {
            match last {
                Some((first, end))
                    if first == segment.first && (end > 0 || first < next_number) =>
                {
                    let path = segment.path(&self.directory);
                    system.create(&path)?.truncate(end)?;
                    if let Some(segment) = self.segments.back_mut() {
                        segment.end = end;
                    }
                    break;
                }
                _ if segment.first < next_number => break,
                _ => {
                    system.remove(&segment.path(&self.directory))?;
                    let first = segment.first;
                    self.segments.pop_back();
                    self.tail = None;
                    self.unsynced.tail = false;
                    self.reading.take_if(|(reading, _)| *reading == first);
                }
            }
        }
        Ok(())
    }
}
