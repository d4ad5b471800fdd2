//! Signed packages: who vouches for every byte of one.
//!
//! `model.sig` at the top of a package lists all its other files with their sizes and checksums,
//! and carries signatures (ed25519) over that list. `docs/signing.md` is its specification.

mod error;
mod keys;
mod list;
mod tree;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::files;
use crate::locate::MANIFEST;

pub use error::SignatureError;
pub use keys::{PublicKey, SecretKey, TrustList};
pub use list::SIGNATURE_FILE;
use list::SignedList;

/// What is asked of a package.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Refuse what no trusted key has signed.
    pub require_signature: bool,
}

/// Who signed a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// Id of the key: see [`PublicKey::id`].
    pub key: String,
    /// What the trust list calls it.
    pub name: String,
}

/// A package that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The directory that was looked at: the one given, or the only one in it.
    pub root: PathBuf,
    /// Whose trusted keys signed every byte; empty when none did, which the policy allowed.
    pub signers: Vec<Signer>,
    /// Ids of keys that say they signed it, and that nobody trusts.
    pub unknown: Vec<String>,
    /// Number of signed files; 0 of a package without `model.sig`.
    pub files: usize,
    /// Their size.
    pub bytes: u64,
}

impl Verified {
    /// Whether it has a `model.sig`, whoever made it.
    pub fn is_signed(&self) -> bool {
        !(self.signers.is_empty() && self.unknown.is_empty())
    }
}

/// Checks the package in a directory, in memory that its size does not change. Nobody else may write
/// to the directory meanwhile, nor between this and its use.
///
/// A package without `model.sig`, and one signed only by keys nobody trusts, is accepted unless the
/// policy says otherwise. One whose `model.sig` is not true is refused always: somebody changed it.
///
/// # Errors
/// Packages that are refused, and files that cannot be read.
pub fn verify(
    directory: &Path,
    trusted: &TrustList,
    policy: Policy,
) -> Result<Verified, SignatureError> {
    let root = tree::root_of(directory)?;
    let mut verified =
        Verified { root, signers: Vec::new(), unknown: Vec::new(), files: 0, bytes: 0 };
    let Some(list) = read_list(&verified.root)? else {
        return if policy.require_signature { Err(SignatureError::Unsigned) } else { Ok(verified) };
    };
    let message = list.message();
    for signature in &list.signatures {
        let key = signature.key.clone();
        match trusted.maker(message.as_bytes(), signature) {
            Ok(Some(name)) => verified.signers.push(Signer { name: name.to_owned(), key }),
            Ok(None) => verified.unknown.push(key),
            Err(name) => return Err(SignatureError::Broken { key, name: name.to_owned() }),
        }
    }
    if policy.require_signature && verified.signers.is_empty() {
        return Err(SignatureError::UnknownSigner(verified.unknown.join(", ")));
    }
    tree::check(&verified.root, &list.entries)?;
    verified.files = list.entries.len();
    verified.bytes = list.entries.iter().fold(0, |sum, entry| sum.saturating_add(entry.bytes));
    Ok(verified)
}

/// A signature that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Id of the key.
    pub key: String,
    /// Number of signed files.
    pub files: usize,
    /// Their size.
    pub bytes: u64,
    /// Ids of keys whose signatures over the same files were kept.
    pub kept: Vec<String>,
    /// Ids of keys whose signatures were over other files, and are gone.
    pub dropped: Vec<String>,
}

/// Signs every file of the package in a directory, beside those who signed it as it is now.
///
/// # Errors
/// Directories without a manifest, files that no signed package may have, and what cannot be read
/// or written.
pub fn sign(directory: &Path, key: &SecretKey) -> Result<Signed, SignatureError> {
    let root = tree::root_of(directory)?;
    if !root.join(MANIFEST).is_file() {
        return Err(SignatureError::NotAPackage(directory.to_owned()));
    }
    let mut list = SignedList::new(tree::entries(&root)?)?;
    let id = key.public().id();
    let (mut kept, mut dropped) = (Vec::new(), Vec::new());
    // One that cannot be read signs nothing.
    if let Some(before) = read_list(&root).ok().flatten() {
        let same = before.entries == list.entries;
        for signature in before.signatures.into_iter().filter(|signature| signature.key != id) {
            if same {
                kept.push(signature.key.clone());
                list.add(signature);
            } else {
                dropped.push(signature.key);
            }
        }
    }
    list.add(key.sign(list.message().as_bytes()));
    write(&root.join(SIGNATURE_FILE), &list.text())?;
    let bytes = list.entries.iter().map(|entry| entry.bytes).sum();
    Ok(Signed { key: id, files: list.entries.len(), bytes, kept, dropped })
}

/// The `model.sig` of a package, if it has one.
fn read_list(root: &Path) -> Result<Option<SignedList>, SignatureError> {
    let path = root.join(SIGNATURE_FILE);
    match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(SignatureError::reading(path)(error)),
        Ok(metadata) if !metadata.is_file() => {
            return Err(SignatureError::List("it is not a file".into()));
        }
        Ok(_) => {}
    }
    SignedList::parse(&files::read_text(&path, list::MAX_BYTES)?).map(Some)
}

/// Writes a file as a whole.
fn write(path: &Path, text: &str) -> Result<(), SignatureError> {
    if text.len() as u64 > list::MAX_BYTES {
        let problem = format!("it would be larger than {} MiB", list::MAX_BYTES >> 20);
        return Err(SignatureError::List(problem));
    }
    let write = || {
        let directory = path.parent().unwrap_or(Path::new(""));
        let mut file = NamedTempFile::new_in(files::here(directory))?;
        file.write_all(text.as_bytes())?;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        file.persist(path).map_err(|error| error.error)
    };
    write().map(drop).map_err(SignatureError::writing(path))
}

#[cfg(test)]
mod tests;
