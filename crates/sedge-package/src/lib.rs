//! The model package: a directory (or archive) with `model.toml` beside the model's own files, or
//! a bare model file.
//!
//! For: finding out everything that is known about a model's use and who said it, so that no pixel
//! is ever guessed silently. Not for: running models or fetching packages.
//!
//! Read [`Package`] first, then [`Settings`].

mod archive;
mod check;
mod choose;
mod convert;
mod directory;
mod draft;
mod error;
mod files;
mod identity;
mod init;
mod keys;
mod labels;
mod locate;
mod manifest;
mod names;
mod neo;
mod npz;
mod open;
mod pack;
mod pipeline;
mod settings;
mod signature;
mod specialise;

pub use archive::{is_archive, unpack_into};
pub use convert::{ConvertOptions, Converted};
pub use draft::{Draft, WriteError};
pub use error::{Incomplete, Missing, PackageError};
pub use identity::{files_below, hex, identity_of};
pub use init::manifest_template;
pub use keys::{KEYS, Key, known_key, nearest_key};
pub use manifest::{Golden, Manifest, ModelSection, Task, Tolerance};
pub use names::{NameError, service_name, validate_service_name};
pub use neo::{Backend, Neo, NeoFile, NeoTensor};
pub use npz::{read_npz, write_npz};
pub use open::Package;
pub use pack::{Packing, sign_package, verify_package};
pub use pipeline::InputSpec;
pub use sedge_import::npz::parse_npy;
pub use settings::{Origin, Setting, Settings};
pub use signature::{
    Policy, PublicKey, SIGNATURE_FILE, SecretKey, SignatureError, Signed, Signer, TrustList,
    Verified, sign, verify,
};
