//! Hosts in URLs.

use std::net::IpAddr;

/// The host in what follows `://` of a URL, without user, port and brackets.
pub(crate) fn host(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match host.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

/// Whether a URL leads to this machine.
#[must_use]
pub fn is_loopback(url: &str) -> bool {
    let host = host(url.split_once("://").map_or(url, |(_, rest)| rest));
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}
