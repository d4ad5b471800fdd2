//! Variables of the environment, in which others look for keys, too.

use std::path::PathBuf;

/// Reads the environment; tests give another one.
pub(crate) type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// The environment of this process; an empty value is as good as none.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The user's home directory.
pub(super) fn home(environment: &Environment<'_>) -> Option<PathBuf> {
    environment("HOME").map(PathBuf::from)
}
