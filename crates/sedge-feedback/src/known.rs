use std::collections::{HashMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

/// Samples that are remembered, over all configurations: 10,000 pictures of a camera.
const MOST_KNOWN: usize = 10_000;
/// Samples after which they are written down. Who forgets one puts it there once more, no worse.
const WRITE_EVERY: usize = 32;

/// A sample by its bytes.
pub(crate) type Print = [u8; 32];

/// Samples that are in buckets, and under which key, kept over restarts.
#[derive(Debug)]
pub(crate) struct Known {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    keys: HashMap<Print, String>,
    /// The oldest first.
    order: VecDeque<Print>,
    unwritten: usize,
}

/// What a sample is known by: its bytes, and the configuration that took it.
pub(crate) fn print(configuration: &str, bucket: &str, sample: &[u8]) -> Print {
    let mut hash = Sha256::new();
    for text in [configuration, bucket] {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.update(sample);
    hash.finalize().into()
}

impl Known {
    pub(crate) fn open(directory: &Path) -> Self {
        let path = directory.join("uploaded");
        let mut state = State::default();
        for line in fs::read_to_string(&path).unwrap_or_default().lines() {
            if let Some((print, key)) = line.split_once(' ')
                && let Some(print) = parse(print)
            {
                state.insert(print, key);
            }
        }
        state.unwritten = 0;
        Self { path, state: Mutex::new(state) }
    }

    /// Key of a sample that is in its bucket.
    pub(crate) fn key(&self, print: &Print) -> Option<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).keys.get(print).cloned()
    }

    /// Remembers that a sample is there.
    pub(crate) fn insert(&self, print: Print, key: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.insert(print, key);
        if state.unwritten >= WRITE_EVERY {
            state.write(&self.path);
        }
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if state.unwritten > 0 {
            state.write(&self.path);
        }
    }
}

impl State {
    fn insert(&mut self, print: Print, key: &str) {
        // A line each: no key of ours has an end of line in it, but a prefix may be anything.
        if key.contains('\n') || self.keys.insert(print, key.to_owned()).is_some() {
            return;
        }
        self.order.push_back(print);
        self.unwritten += 1;
        if self.order.len() > MOST_KNOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
    }

    fn write(&mut self, path: &Path) {
        let mut text = String::new();
        for print in &self.order {
            if let Some(key) = self.keys.get(print) {
                let hex = hex(print);
                text.push_str(&format!("{hex} {key}\n"));
            }
        }
        let new = path.with_extension("new");
        match fs::write(&new, text).and_then(|()| fs::rename(new, path)) {
            Ok(()) => self.unwritten = 0,
            Err(error) => tracing::debug!("uploaded samples cannot be written down: {error}"),
        }
    }
}

pub(crate) fn hex(print: &Print) -> String {
    print.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn parse(hex: &str) -> Option<Print> {
    let mut print = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (byte, at) in print.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&hex[at..at + 2], 16).ok()?;
    }
    Some(print)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_uploaded_is_known_after_a_restart() {
        let place = tempfile::tempdir().unwrap();
        let (one, other) = (print("a", "bucket", b"x"), print("b", "bucket", b"x"));
        assert_ne!(one, other);
        assert_ne!(print("ab", "c", b""), print("a", "bc", b""));
        let known = Known::open(place.path());
        known.insert(one, "a/key with spaces.jpg");
        drop(known);
        let known = Known::open(place.path());
        assert_eq!(known.key(&one).as_deref(), Some("a/key with spaces.jpg"));
        assert_eq!(known.key(&other), None);
        fs::write(place.path().join("uploaded"), "nonsense\n\u{e4}\u{e4} x\n").unwrap();
        assert_eq!(Known::open(place.path()).key(&one), None);
    }

    #[test]
    fn as_many_as_there_is_room_for_are_known() {
        let place = tempfile::tempdir().unwrap();
        let known = Known::open(place.path());
        let print = |n: usize| print("a", "b", &n.to_le_bytes());
        for n in 0..=MOST_KNOWN {
            known.state.lock().unwrap().insert(print(n), "key");
        }
        assert_eq!((known.key(&print(0)), known.key(&print(1)).is_some()), (None, true));
    }
}
