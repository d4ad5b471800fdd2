//! The models that functions use, brought to where they look for them.

use std::fs;
use std::sync::Arc;

use sedge_deploy::{Hooks, InstallRequest, Remote, Store};
use sedge_greengrass::group::{Group, Resource};
use sedge_greengrass::models::{self, Resources};

/// What it takes to bring them.
pub(super) struct Bringing {
    store: Arc<Store>,
    group: Group,
    remote: Remote,
    most_bytes: u64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Brought {
    /// One is another than before.
    pub(super) changed: bool,
    /// One is not there.
    pub(super) missing: bool,
}

impl Bringing {
    pub(super) fn new(store: &Arc<Store>, group: &Group, remote: &Remote, most_bytes: u64) -> Self {
        let (store, group, remote) = (store.clone(), group.clone(), remote.clone());
        Self { store, group, remote, most_bytes }
    }

    /// Asks each model's source whether it has another one, brings it, and logs what comes of it.
    /// They may be large, and it blocks.
    pub(super) fn bring(&self) -> Brought {
        let mut all = Brought::default();
        let used = |resource: &&Resource| models::is_used(resource, &self.group);
        for resource in self.group.resources.iter().filter(used) {
            let one = self.bring_one(resource);
            all.changed |= one.changed;
            all.missing |= one.missing;
        }
        all
    }

    fn bring_one(&self, resource: &Resource) -> Brought {
        let resources = Resources::new(&self.store);
        let request = |source: &str| {
            let mut request = InstallRequest::new(source.parse()?);
            request.remote = self.remote.clone();
            request.limits.download_bytes = self.most_bytes;
            Ok(request)
        };
        let id = &resource.id;
        let directory = resources.directory(id);
        let before = fs::read_link(&directory).ok();
        let mut missing = false;
        match resources.bring(resource, &self.group, request, &Hooks::default()) {
            Ok(None) => {}
            Ok(Some(note)) => tracing::warn!(resource = id, "goes on as it is: {note}"),
            Err(error) => {
                missing = true;
                tracing::error!(resource = id, "{:#}", anyhow::Error::from(error));
            }
        }
        let changed = fs::read_link(&directory).ok() != before;
        if changed {
            tracing::info!(resource = id, directory = %directory.display(), "brought");
        }
        Brought { changed, missing }
    }
}
