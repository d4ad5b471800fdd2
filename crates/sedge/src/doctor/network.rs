//! Whether the server's address can be listened on.

use std::io::ErrorKind;
use std::net::TcpListener;

use serde_json::json;

use super::{Context, Finding, State};
use crate::commands::serve::{DEFAULT_LISTEN, addresses};
use crate::config::Config;

const AREA: &str = "network";

pub(super) fn probe(context: &Context) -> Vec<Finding> {
    let config = context.config.as_deref().and_then(|path| Config::read(path).ok());
    let listen = config.and_then(|config| config.listen);
    vec![listens(listen.as_deref().unwrap_or(DEFAULT_LISTEN))]
}

/// Listens for a moment.
fn listens(address: &str) -> Finding {
    const NAME: &str = "listen";
    let addresses = match addresses(address) {
        Ok(addresses) => addresses,
        Err(error) => {
            let (error, hint) = (format!("{error:#}"), "give an address and a port");
            return Finding::of_error(State::Problem, AREA, NAME, &error, hint);
        }
    };
    let data = json!({"address": address});
    let error = match TcpListener::bind(addresses.as_slice()) {
        Ok(_) => return Finding::ok(AREA, NAME, format!("{address} is free")).with(data),
        Err(error) => error,
    };
    let (state, hint) = match error.kind() {
        ErrorKind::AddrInUse => (
            State::Warning,
            "another server has it, perhaps sedge itself: choose another with sedge serve --listen",
        ),
        ErrorKind::PermissionDenied => (
            State::Problem,
            "ports below 1024 need a right: choose a higher one with sedge serve --listen, or \
             grant it with systemd's AmbientCapabilities=CAP_NET_BIND_SERVICE",
        ),
        _ => (State::Problem, "no interface has this address: ip address lists those there are"),
    };
    Finding::bad(state, AREA, NAME, format!("{address}: {error}"), hint).with(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_a_warning_and_a_wrong_address_a_problem() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        assert_eq!(listens(&address).state, State::Warning);
        drop(taken);
        assert_eq!(listens("127.0.0.1:0").state, State::Ok);
        // 192.0.2.0/24 is for documentation and nobody's address.
        assert_eq!(listens("192.0.2.1:8080").state, State::Problem);
        assert_eq!(listens("localhost").state, State::Problem);
    }
}
