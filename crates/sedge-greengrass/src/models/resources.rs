//! Models as functions see them: a directory for each resource, kept in the store.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, chown};
use sedge_deploy::{DeployError, Hooks, InstallRequest, Store};
use sedge_package::identity_of;

use super::source_of;
use crate::group::{Function, Group, Permission, Resource, ResourceData};

/// Why a resource is not there.
#[derive(Debug, thiserror::Error)]
pub enum ResourceError {
    /// It could not be fetched, and was not here before.
    #[error("the resource '{resource}' cannot be brought")]
    Fetch {
        /// Its id.
        resource: String,
        /// Why.
        source: Box<DeployError>,
    },
    /// The directory that functions see could not be made.
    #[error("cannot make {path} for the resource '{resource}'")]
    Place {
        /// Its id.
        resource: String,
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The models that functions see, each at `<root>/greengrass/models/<id>`.
#[derive(Clone, Copy, Debug)]
pub struct Resources<'a> {
    store: &'a Store,
}

impl<'a> Resources<'a> {
    /// The resources of a store.
    pub fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// The directory at which a resource is, once it was brought. It names another one after an
    /// update, so that it is opened by this name each time.
    pub fn directory(&self, resource: &str) -> PathBuf {
        // Ids may have colons, and names of files may.
        self.store.root().join("greengrass/models").join(resource)
    }

    /// Brings a resource that functions use, if its source has another one than the last time, and
    /// makes it the one at [`Self::directory`]. It blocks. A source that cannot be asked is no
    /// error where the resource is here already; that is the note.
    ///
    /// Files are read-only and the store's own, unless a function may write: then they are a copy,
    /// which an update replaces, of the resource's owner.
    ///
    /// # Errors
    /// See [`ResourceError`]; what was there before stays.
    pub fn bring(
        &self,
        resource: &Resource,
        group: &Group,
        request: impl FnOnce(&str) -> Result<InstallRequest, DeployError>,
        hooks: &Hooks<'_>,
    ) -> Result<Option<String>, ResourceError> {
        let Some(source) = source_of(resource) else { return Ok(None) };
        let name = name(&resource.id);
        let brought = request(source).and_then(|request| self.store.bring(&name, &request, hooks));
        let (version, note) = match brought {
            Ok(version) => (version, None),
            Err(source) => {
                let here = self.store.history(&name).ok();
                let here = here.and_then(|history| history.current().cloned());
                match here.filter(|version| version.kept) {
                    Some(version) => (version, Some(source.to_string())),
                    None => {
                        let resource = resource.id.clone();
                        return Err(ResourceError::Fetch { resource, source: source.into() });
                    }
                }
            }
        };
        let at = self.directory(&resource.id);
        self.place(&at, &self.store.path(&version), &version.identity, resource, group).map_err(
            |source| ResourceError::Place { resource: resource.id.clone(), path: at, source },
        )?;
        Ok(note)
    }

    fn place(
        &self,
        at: &Path,
        files: &Path,
        identity: &str,
        resource: &Resource,
        group: &Group,
    ) -> io::Result<()> {
        let directory = at.parent().unwrap_or(at);
        fs::create_dir_all(directory)?;
        let mut target = files.to_owned();
        if writable(resource, group) {
            target = directory.join(format!(".{}-{}", resource.id, &identity[..12]));
            if !target.is_dir() {
                let staging = tempfile::tempdir_in(directory)?;
                copy(files, staging.path())?;
                let group = match resource.data {
                    ResourceData::Model { owner: Some((group, _)), .. } => Some(group),
                    _ => None,
                };
                give(staging.path(), group)?;
                fs::rename(staging.keep(), &target)?;
            }
        }
        if fs::read_link(at).is_ok_and(|now| now == target) {
            return Ok(());
        }
        // A link is exchanged by renaming another over it.
        let link = directory.join(format!(".{}.new", resource.id));
        let _ = fs::remove_file(&link);
        symlink(&target, &link)?;
        let before = fs::read_link(at).ok();
        fs::rename(&link, at)?;
        // A copy that is no longer used; the store's own directories are the store's to remove.
        match before.filter(|before| before.parent() == Some(directory) && *before != target) {
            Some(copy) => fs::remove_dir_all(copy),
            None => Ok(()),
        }
    }
}

/// Whether a function of the group uses a resource.
pub fn is_used(resource: &Resource, group: &Group) -> bool {
    let uses = |function: &Function| {
        function.resources.iter().any(|access| access.resource == resource.id)
    };
    group.functions.iter().any(uses)
}

/// Whether any function may write to it.
fn writable(resource: &Resource, group: &Group) -> bool {
    let ResourceData::Model { owner, .. } = &resource.data else { return false };
    let inherited = owner.map_or(Permission::ReadOnly, |(_, permission)| permission);
    let accesses = group.functions.iter().flat_map(|function| &function.resources);
    accesses
        .filter(|access| access.resource == resource.id)
        .any(|access| access.permission.unwrap_or(inherited) == Permission::ReadWrite)
}

/// The name of a resource in the store, where names are those of services.
fn name(id: &str) -> String {
    let digest = identity_of([(id.to_owned(), 0, String::new())]);
    format!("greengrass-resource-{}", &digest[..24])
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let (entry, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
        let target = to.join(entry.file_name().unwrap_or_default());
        if kind.is_dir() {
            fs::create_dir(&target)?;
            copy(&entry, &target)?;
        } else {
            fs::copy(&entry, &target)?;
        }
    }
    Ok(())
}

/// Makes files their group's to write, and gives them to a group where one is named.
fn give(path: &Path, group: Option<u32>) -> io::Result<()> {
    let metadata = path.symlink_metadata()?;
    if let Some(group) = group.filter(|group| *group != metadata.gid()) {
        chown(path, None, Some(Gid::from_raw(group)))?;
    }
    let mode = if metadata.is_dir() { 0o775 } else { 0o664 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), group)?;
        }
    }
    Ok(())
}
