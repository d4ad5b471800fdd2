//! The functions of `libdlr.so`, each looked up: releases have different ones.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::Path;

use libloading::os::unix::{Library as Loaded, RTLD_LOCAL, RTLD_NOW};

/// What the library knows a model by.
pub(super) type Handle = *mut c_void;

type Create = unsafe extern "C" fn(*mut Handle, *const c_char, c_int, c_int) -> c_int;
type OfHandle = unsafe extern "C" fn(*mut Handle) -> c_int;
type Count = unsafe extern "C" fn(*mut Handle, *mut c_int) -> c_int;
type Text = unsafe extern "C" fn(*mut Handle, c_int, *mut *const c_char) -> c_int;
type Set =
    unsafe extern "C" fn(*mut Handle, *const c_char, *const i64, *const c_void, c_int) -> c_int;
pub(super) type SizeDim = unsafe extern "C" fn(*mut Handle, c_int, *mut i64, *mut c_int) -> c_int;
pub(super) type Shape = unsafe extern "C" fn(*mut Handle, c_int, *mut i64) -> c_int;
type Output = unsafe extern "C" fn(*mut Handle, c_int, *mut c_void) -> c_int;
type LastError = unsafe extern "C" fn() -> *const c_char;
type Version = unsafe extern "C" fn(*mut *const c_char) -> c_int;

/// The library, which stays loaded as long as this lives.
pub(super) struct Library {
    pub(super) create: Create,
    pub(super) delete: OfHandle,
    pub(super) run: OfHandle,
    pub(super) num_inputs: Count,
    pub(super) num_outputs: Count,
    pub(super) input_name: Text,
    pub(super) set_input: Set,
    pub(super) output_size_dim: SizeDim,
    pub(super) output_shape: Shape,
    pub(super) output: Output,
    /// Since 1.1; before, everything is `float32`.
    pub(super) output_type: Option<Text>,
    /// Since 1.4.
    pub(super) input_size_dim: Option<SizeDim>,
    pub(super) input_shape: Option<Shape>,
    last_error: LastError,
    version: Option<Version>,
    /// Since 1.4, as is the list of files in place of a directory.
    pub(super) takes_files: bool,
    _loaded: Loaded,
}

impl Library {
    /// Loads it, for this process alone to see.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        // SAFETY: what the library does when it is loaded is the wish of whoever installed it; this
        // process has nothing but one model to lose.
        let loaded = unsafe { Loaded::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
        let loaded = loaded.map_err(|error| format!("{}: {}", path.display(), reason(&error)))?;
        macro_rules! find {
            ($name:literal, $kind:ty) => {
                // SAFETY: the type is that of the function of this name in `dlr.h`.
                unsafe { loaded.get::<$kind>($name.as_bytes()) }.ok().map(|symbol| *symbol)
            };
        }
        let lacks = |name: &str| format!("{} is not DLR: it has no {name}", path.display());
        macro_rules! need {
            ($name:literal, $kind:ty) => {
                find!($name, $kind).ok_or_else(|| lacks($name))?
            };
        }
        Ok(Self {
            create: need!("CreateDLRModel", Create),
            delete: need!("DeleteDLRModel", OfHandle),
            run: need!("RunDLRModel", OfHandle),
            num_inputs: need!("GetDLRNumInputs", Count),
            num_outputs: need!("GetDLRNumOutputs", Count),
            input_name: need!("GetDLRInputName", Text),
            set_input: need!("SetDLRInput", Set),
            output_size_dim: need!("GetDLROutputSizeDim", SizeDim),
            output_shape: need!("GetDLROutputShape", Shape),
            output: need!("GetDLROutput", Output),
            output_type: find!("GetDLROutputType", Text),
            input_size_dim: find!("GetDLRInputSizeDim", SizeDim),
            input_shape: find!("GetDLRInputShape", Shape),
            last_error: need!("DLRGetLastError", LastError),
            version: find!("GetDLRVersion", Version),
            takes_files: find!("CreateDLRModelFromModelElem", OfHandle).is_some(),
            _loaded: loaded,
        })
    }

    /// Why the last call on this thread failed; empty where it does not say.
    pub(super) fn last_error(&self) -> String {
        // SAFETY: no arguments; the text belongs to the library and lives until this thread's next
        // call.
        let text = unsafe { text((self.last_error)()) };
        shortened(&text.unwrap_or_default())
    }

    /// Its version, such as `1.6.0`.
    pub(super) fn version(&self) -> String {
        let version = self.version.and_then(|version| {
            let mut words = std::ptr::null();
            // SAFETY: the pointer is written to and read while it lives. Some releases give a text
            // that is gone by then, on a stack that is not: what is read is checked.
            unsafe { (version(&mut words) == 0).then(|| digits(words)).flatten() }
        });
        version.unwrap_or_else(|| "unknown version".into())
    }
}

/// The loader's words where it has some.
fn reason(error: &libloading::Error) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), ToString::to_string)
}

/// Copies a text of the library; `None` for no text.
///
/// # Safety
/// The pointer is null, or to bytes that end in NUL.
pub(super) unsafe fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: as the caller promises.
    let text = unsafe { CStr::from_ptr(pointer) };
    Some(text.to_string_lossy().into_owned())
}

/// Numbers with points between them, of some bytes at most.
///
/// # Safety
/// The pointer is null or can be read from as far as it holds digits and points.
unsafe fn digits(pointer: *const c_char) -> Option<String> {
    let mut text = String::new();
    while !pointer.is_null() && text.len() < 16 {
        // SAFETY: all bytes before were digits or points.
        let byte = unsafe { pointer.add(text.len()).read() } as u8;
        match byte {
            b'0'..=b'9' | b'.' => text.push(char::from(byte)),
            0 if !text.is_empty() => return Some(text),
            _ => return None,
        }
    }
    None
}

/// An error in the library's words, without what only its authors can use: kind, time and place in
/// its source, addresses.
pub(super) fn shortened(text: &str) -> String {
    let text = text.split("\nStack trace").next().unwrap_or_default();
    let mut lines = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut line = line.strip_prefix("TVMError: ").unwrap_or(line);
        // `[hh:mm:ss] /path/dlr.cc:189: text`
        if line.starts_with('[') {
            let place = line.find(".cc:").or_else(|| line.find(".h:"));
            let rest = place.and_then(|at| line[at..].split_once(": "));
            line = rest.map_or(line, |(_, rest)| rest);
        }
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.join("; ").chars().take(600).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_and_addresses_are_not() {
        for (said, kept) in [
            (
                "TVMError: Check failed: a == b (1 vs. 2) : sizes\nStack trace:\n  [bt] 0x7f",
                "Check failed: a == b (1 vs. 2) : sizes",
            ),
            (
                "[12:00:01] /root/src/dlr.cc:191: Invalid parameters file format\n",
                "Invalid parameters file format",
            ),
            ("plain", "plain"),
            ("", ""),
        ] {
            assert_eq!(shortened(said), kept);
        }
    }

    #[test]
    fn what_is_no_library_says_so() {
        let missing = Library::open(Path::new("/nowhere/libdlr.so")).err().unwrap();
        assert!(missing.contains("/nowhere/libdlr.so"), "{missing}");
    }
}
