use rustix::thread::{
    CapabilitySet, CapabilitySets, UnshareFlags, set_capabilities, unshare_unsafe,
};
use sedge_service::Guard;

const NAME: &str = "namespaces";

/// Leaves the network, message queues and host name of the machine: with the right to, else in a
/// user namespace of its own.
#[allow(unsafe_code)]
pub(super) fn leave() -> Guard {
    let apart = UnshareFlags::NEWNET | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    for flags in [apart, apart | UnshareFlags::NEWUSER] {
        // SAFETY: descriptors stay shared; nothing that this process holds depends on its network,
        // message queues, host name or user numbers.
        if unsafe { unshare_unsafe(flags) }.is_ok() {
            let detail = "no network, no message queues of others".to_owned();
            return Guard { name: NAME.into(), holds: true, detail };
        }
    }
    let detail = "this user may not have namespaces".to_owned();
    Guard { name: NAME.into(), holds: false, detail }
}

/// Gives up every capability, of this thread and of those it starts.
pub(super) fn drop_capabilities() -> Result<(), String> {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, sets).map_err(|error| error.to_string())
}
