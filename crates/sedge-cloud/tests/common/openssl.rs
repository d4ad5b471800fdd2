//! What only openssl makes.

use std::process::Command;

/// Whether a command that needs openssl did its work; without it, what needs it is skipped with a
/// word, and fails in CI.
pub(crate) fn made(command: &mut Command) -> bool {
    let made = command.output().is_ok_and(|output| output.status.success());
    if !made {
        let reason = "there is no openssl that makes certificates";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
        #[allow(clippy::print_stderr)]
        {
            eprintln!("skipped: {reason}");
        }
    }
    made
}
