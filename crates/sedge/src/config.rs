//! The configuration file of `sedge serve --config`.
//!
//! `keys.rs` has every key with what it takes and means; the structs here only hold the values.

mod check;
pub(crate) mod key;
pub(crate) mod keys;
mod outward;
#[cfg(test)]
mod pages;
mod service;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sedge_package::{Policy, TrustList};
use serde::Deserialize;

pub(crate) use check::{Problem, parse};
pub(crate) use outward::{Chosen, Cloud, Feedback, Mqtt, Protocol, Publish, Spool};
pub(crate) use service::{Isolation, Preset, ServiceConfig, Start};

/// Largest configuration file.
const MAX_BYTES: u64 = 1 << 20;

/// `sedge.toml`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    /// Address of the HTTP server.
    pub(crate) listen: Option<String>,
    /// Largest request body in MiB.
    pub(crate) max_body_mib: Option<u64>,
    /// Largest picture that is decoded, in megapixels.
    pub(crate) max_megapixels: Option<u64>,
    /// Whether there is a page at `/`, and `/api/v1`; there is by default.
    pub(crate) page: Option<bool>,
    /// Public host names under which browsers may open the page.
    pub(crate) page_hosts: Vec<String>,
    /// Directory of everything that is kept.
    pub(crate) root: Option<PathBuf>,
    /// Installed models.
    pub(crate) store: Store,
    /// How models are fetched.
    pub(crate) download: Download,
    /// Models at `s3://` addresses.
    pub(crate) s3: S3,
    /// Whose models are installed.
    pub(crate) trust: Trust,
    /// Functions of a Greengrass V1 group.
    pub(crate) greengrass: Greengrass,
    /// What waits until it has left.
    pub(crate) spool: Spool,
    /// The broker.
    pub(crate) mqtt: Mqtt,
    /// Who the device is in the cloud.
    pub(crate) cloud: Cloud,
    /// Samples for training.
    pub(crate) feedback: Vec<Feedback>,
    /// The services.
    pub(crate) service: Vec<ServiceConfig>,
}

/// `[store]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Store {
    /// Versions of a model that stay, the one in use among them.
    pub(crate) keep_versions: usize,
    /// Most that all may take, in MiB.
    pub(crate) max_mib: Option<u64>,
}

impl Default for Store {
    fn default() -> Self {
        Self { keep_versions: 3, max_mib: None }
    }
}

/// `[download]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Download {
    /// Proxy, `http://` or `https://`.
    pub(crate) proxy: Option<String>,
    /// Most of the line, in KiB per second.
    pub(crate) max_kib_per_s: Option<u64>,
    /// Most seconds that a server may stay silent.
    pub(crate) timeout_s: u64,
    /// Certificates (PEM) of the authorities that servers are trusted by.
    pub(crate) ca_file: Option<PathBuf>,
    /// Largest download in MiB.
    pub(crate) max_mib: u64,
}

impl Default for Download {
    fn default() -> Self {
        Self { proxy: None, max_kib_per_s: None, timeout_s: 30, ca_file: None, max_mib: 4096 }
    }
}

/// `[s3]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct S3 {
    /// Server, if not Amazon's.
    pub(crate) endpoint: Option<String>,
    /// Region that requests are signed for.
    pub(crate) region: Option<String>,
    /// Whether the bucket stands in the path; by default with an endpoint of one's own.
    pub(crate) path_style: Option<bool>,
    /// Where the credentials come from.
    pub(crate) credentials: Credentials,
    /// Profile in `~/.aws`.
    pub(crate) profile: Option<String>,
    /// Id of a static key.
    pub(crate) access_key_id: Option<String>,
    /// File with its secret.
    pub(crate) secret_access_key_file: Option<PathBuf>,
}

/// Where credentials come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Credentials {
    /// The first of environment, profile and container that there is.
    #[default]
    Auto,
    /// None.
    Anonymous,
    /// `access_key_id` and `secret_access_key_file`.
    Static,
    /// `~/.aws`.
    Profile,
    /// The endpoint that a container runtime or Greengrass names.
    Container,
    /// The role of the device's certificate.
    Device,
}

/// `[greengrass]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Greengrass {
    /// Definitions of a group, where the command line names none.
    pub(crate) group: Vec<PathBuf>,
    /// Directory with the code of its functions, where the command line names none.
    pub(crate) lambda_dir: Option<PathBuf>,
    /// Values for templates of the group, as `NAME=VALUE`.
    pub(crate) parameters: Vec<String>,
    /// Port on 127.0.0.1 at which functions find their core.
    pub(crate) port: u16,
    /// Interpreter of the functions.
    pub(crate) python: Option<PathBuf>,
    /// Account in the ARN of the core's thing.
    pub(crate) account: Option<String>,
    /// `config.json` of a V1 core.
    pub(crate) core_config: Option<PathBuf>,
    /// Whether functions may run as root.
    pub(crate) allow_root: bool,
}

impl Default for Greengrass {
    fn default() -> Self {
        Self {
            group: Vec::new(),
            lambda_dir: None,
            parameters: Vec::new(),
            port: 8000,
            python: None,
            account: None,
            core_config: None,
            allow_root: false,
        }
    }
}

/// `[trust]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Trust {
    /// Files (PEM), or `ed25519:BASE64`.
    pub(crate) keys: Vec<String>,
    /// Whether only what one of them signed is installed.
    pub(crate) require_signature: bool,
}

impl Trust {
    /// Reads the keys of a configuration that [`Config::read`] gave.
    pub(crate) fn read(&self) -> Result<(TrustList, Policy)> {
        let keys = TrustList::read(&self.keys, Path::new("")).context("trust.keys")?;
        Ok((keys, Policy { require_signature: self.require_signature }))
    }
}

impl Config {
    /// Reads a configuration file; paths in it are relative to it.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        match Self::checked(path)? {
            Ok(config) => Ok(config),
            Err(problems) => {
                let shown = path.display();
                match problems.as_slice() {
                    [one] => bail!("{shown}, {one}"),
                    [first, rest @ ..] => bail!(
                        "{} mistakes, the first: {shown}, {first} Hint: `sedge config check \
                         {shown}` tells them all",
                        rest.len() + 1
                    ),
                    [] => bail!("{shown} cannot be understood"),
                }
            }
        }
    }

    /// Reads a configuration file, or tells everything that is wrong in it.
    pub(crate) fn checked(path: &Path) -> Result<Result<Self, Vec<Problem>>> {
        let text = read_text(path).with_context(|| format!("cannot read {}", path.display()))?;
        // What is read again from elsewhere has to be the same.
        let path = std::path::absolute(path).with_context(|| path.display().to_string())?;
        Ok(parse(&text, path.parent().unwrap_or(Path::new(""))))
    }

    /// The same with relative paths made to start at a directory.
    fn based(mut self, base: &Path) -> Self {
        let at = |path: Option<PathBuf>| path.map(|path| base.join(path));
        self.root = at(self.root);
        self.download.ca_file = at(self.download.ca_file);
        self.greengrass.python = at(self.greengrass.python);
        self.greengrass.lambda_dir = at(self.greengrass.lambda_dir);
        self.greengrass.core_config = at(self.greengrass.core_config);
        self.mqtt.based(base);
        self.greengrass.group.iter_mut().for_each(|path| *path = base.join(&*path));
        self.s3.secret_access_key_file = at(self.s3.secret_access_key_file);
        for key in self.trust.keys.iter_mut().filter(|key| !TrustList::is_inline(key)) {
            *key = base.join(&*key).to_string_lossy().into_owned();
        }
        self.service = self.service.into_iter().map(|service| service.based(base)).collect();
        self
    }
}

fn read_text(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    // One byte more than allowed tells a file that ends from one that does not.
    std::fs::File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        let problem = format!("it is larger than {} MiB", MAX_BYTES >> 20);
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, problem));
    }
    Ok(text)
}
