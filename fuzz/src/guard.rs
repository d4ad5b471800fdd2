//! Which panics count. The program contains panics at the JPEG decoder, at the engine and at the
//! service's thread, so that none of them ends it; a panic in Sedge's own code is a mistake all the
//! same, wherever it is caught.

use std::panic::{self, PanicHookInfo};
use std::sync::{Mutex, Once, PoisonError};

/// Crates behind such a wall, by the beginning of their directory's name. What they panic about
/// becomes an error of the picture or of the model.
const CONTAINED: [&str; 2] = ["libjpeg-turbo-rs-", "rten-"];

static ESCAPED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Panics since the process began that were none of a contained crate.
pub fn escaped_panics() -> Vec<String> {
    ESCAPED.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Goes before the hook that is there, which under libFuzzer reports the input and ends the process.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !is_contained(panic) {
                ESCAPED.lock().unwrap_or_else(PoisonError::into_inner).push(panic.to_string());
                report(panic);
            }
        }));
    });
}

fn is_contained(panic: &PanicHookInfo<'_>) -> bool {
    panic.location().is_some_and(|location| {
        let of_contained = |part: &str| CONTAINED.iter().any(|name| part.starts_with(name));
        location.file().split('/').any(of_contained)
    })
}
