//! What the tests share: models, archives, and an open store.
#![allow(clippy::unwrap_used, dead_code)]

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use sedge_deploy::{DeployError, Hooks, InstallRequest, Installed, Store, Version};
use sedge_package::Package;
use tempfile::TempDir;

pub(crate) const SERVICE: &str = "pets";

pub(crate) fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name)
}

/// A small model; another one for every name of an operator.
pub(crate) fn model(operator: &str) -> Vec<u8> {
    std::fs::read(testdata(&format!("tflite_ops/{operator}.tflite"))).unwrap()
}

/// A tar archive in gzip.
pub(crate) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, *bytes).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

pub(crate) fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::File::create(path).unwrap().write_all(bytes).unwrap();
}

/// A store in a directory of its own.
pub(crate) struct Device {
    pub(crate) place: TempDir,
    pub(crate) store: Store,
}

impl Device {
    pub(crate) fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let store = Store::open(&place.path().join("root")).unwrap();
        Self { place, store }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// A request for a file or directory beside the store.
    pub(crate) fn local(&self, name: &str) -> InstallRequest {
        request(&self.path(name).display().to_string())
    }

    pub(crate) fn install(&self, request: &InstallRequest) -> Result<Installed, DeployError> {
        self.store.install(SERVICE, request, &Hooks::default())
    }

    /// Installs and commits what has to be a new version.
    pub(crate) fn deploy(&self, request: &InstallRequest) -> Version {
        match self.install(request).unwrap() {
            Installed::Candidate(candidate) => self.store.commit(&candidate).unwrap(),
            Installed::Unchanged(version) => panic!("unchanged: {version:?}"),
        }
    }

    pub(crate) fn refused(&self, request: &InstallRequest) -> String {
        match self.install(request) {
            Err(error) => {
                error.to_string().replace(&format!("{}", self.place.path().display()), "PLACE")
            }
            Ok(installed) => panic!("not refused: {installed:?}"),
        }
    }

    /// The current version opens, the store is sound, and nothing is being made.
    pub(crate) fn is_sound(&self) {
        sound(&self.store);
    }
}

pub(crate) fn request(source: &str) -> InstallRequest {
    let mut request = InstallRequest::new(source.parse().unwrap());
    // Whatever proxy this machine has, the tests' servers are on it.
    request.remote.proxy = Some(String::new());
    request
}

pub(crate) fn sound(store: &Store) {
    assert_eq!(store.verify().unwrap(), []);
    assert_eq!(names(&store.root().join("store/tmp")), [""; 0]);
    for service in store.services().unwrap() {
        if let Some(current) = store.history(&service).unwrap().current() {
            let package = Package::open(&store.path(current), &[]).unwrap();
            assert_eq!(package.identity, current.identity);
        }
    }
}

pub(crate) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
