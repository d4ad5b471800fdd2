//! Limits on this process that are neither memory nor processors.

use rustix::process::{Resource, getrlimit};
use serde_json::json;

use super::{Context, Finding, State};

const AREA: &str = "system";

/// Every connection is an open file; a server needs some hundreds.
const ENOUGH_FILES: u64 = 1024;

pub(super) fn probe(_context: &Context) -> Vec<Finding> {
    let limit = getrlimit(Resource::Nofile);
    vec![open_files(limit.current, limit.maximum)]
}

fn open_files(current: Option<u64>, maximum: Option<u64>) -> Finding {
    let text = |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |n| n.to_string());
    let value = format!("{}, at most {}", text(current), text(maximum));
    let data = json!({"current": current, "maximum": maximum});
    if current.is_some_and(|files| files < ENOUGH_FILES) {
        let hint = format!(
            "a server needs one per connection: ulimit -n {ENOUGH_FILES} (systemd: LimitNOFILE=)"
        );
        return Finding::bad(State::Warning, AREA, "open files", value, hint).with(data);
    }
    Finding::ok(AREA, "open files", value).with(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_open_files_are_a_warning() {
        assert_eq!(open_files(Some(256), Some(4096)).state, State::Warning);
        assert_eq!(open_files(Some(1024), None).value, "1024, at most unlimited");
        assert_eq!(open_files(None, None).state, State::Ok);
    }
}
