//! Colour is decoration: only on a terminal, and never when `NO_COLOR` or `CLICOLOR=0` is set.

use anstream::AutoStream;
use anstream::stream::{AsLockedWrite, RawStream};
use anstyle::{AnsiColor, Style};

pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const NOTE: Style = AnsiColor::Cyan.on_default();
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

/// Whether a stream shows colour; `CLICOLOR_FORCE=1` says so for one that is no terminal.
pub(crate) fn shown<S: RawStream + AsLockedWrite>(stream: &S) -> bool {
    AutoStream::choice(stream) != anstream::ColorChoice::Never
}

/// Text in a style, or plain.
pub(crate) fn painted(text: &str, style: Style, shown: bool) -> String {
    if shown { format!("{style}{text}{style:#}") } else { text.to_owned() }
}
