//! Profiles of the AWS command line: `~/.aws/credentials` and `~/.aws/config`.
//!
//! Source: "Configuration and credential file settings", AWS CLI User Guide.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::environment::{Environment, home};
use super::{Issued, Origin};
use crate::{ClientError, Keys};

const MOST_BYTES: u64 = 1 << 20;

/// Settings that tell of credentials which need another program or service.
const FOREIGN: [(&str, &str); 5] = [
    ("sso_session", "single sign-on"),
    ("sso_start_url", "single sign-on"),
    ("credential_process", "a program"),
    ("role_arn", "a role that is assumed"),
    ("web_identity_token_file", "a web identity"),
];

/// The profile that is meant: the given one, else `AWS_PROFILE`, else `default`.
pub(crate) fn name(given: Option<&str>, environment: &Environment<'_>) -> String {
    let named = given.map(str::to_owned).or_else(|| environment("AWS_PROFILE"));
    named.unwrap_or_else(|| "default".to_owned())
}

/// Where profiles are: credentials, then configuration.
pub(crate) fn files(environment: &Environment<'_>) -> [PathBuf; 2] {
    let place = |variable: &str, name: &str| {
        let own = home(environment).unwrap_or_else(|| PathBuf::from("/root")).join(".aws");
        environment(variable).map_or_else(|| own.join(name), PathBuf::from)
    };
    [place("AWS_SHARED_CREDENTIALS_FILE", "credentials"), place("AWS_CONFIG_FILE", "config")]
}

/// The keys of a profile, if it has any.
pub(crate) fn keys(
    profile: &str,
    environment: &Environment<'_>,
) -> Result<Option<Issued>, ClientError> {
    for path in files(environment) {
        let settings = settings(&path, profile)?;
        let get = |key: &str| {
            settings.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
        };
        if let (Some(access_key_id), Some(secret_access_key)) =
            (get("aws_access_key_id"), get("aws_secret_access_key"))
        {
            let session_token = get("aws_session_token");
            let keys = Keys { access_key_id, secret_access_key, session_token };
            let origin = Origin::Profile { name: profile.to_owned(), file: path };
            return Ok(Some(Issued::lasting(keys, origin)));
        }
        if let Some((_, what)) = FOREIGN.iter().find(|(key, _)| get(key).is_some()) {
            return Err(ClientError::Credentials(format!(
                "the profile '{profile}' in {} gets its credentials from {what}, which a device \
                 cannot ask. Hint: keys for the device, or a container endpoint",
                path.display()
            )));
        }
    }
    Ok(None)
}

/// The region of a profile, if it has one.
pub(crate) fn region(
    profile: &str,
    environment: &Environment<'_>,
) -> Result<Option<String>, ClientError> {
    for path in files(environment) {
        let found = settings(&path, profile)?.into_iter().find(|(name, _)| name == "region");
        if let Some((_, region)) = found {
            return Ok(Some(region));
        }
    }
    Ok(None)
}

/// The settings of one profile in a file: lines `key = value` below `[name]` or, in the
/// configuration, `[profile name]`. Lines that begin with space belong to a setting before them.
fn settings(path: &PathBuf, profile: &str) -> Result<Vec<(String, String)>, ClientError> {
    let refuse = |problem: String| {
        ClientError::Credentials(format!("cannot read {}: {problem}", path.display()))
    };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Ok(metadata) if metadata.len() > MOST_BYTES => {
            return Err(refuse(format!("it is larger than {} MiB", MOST_BYTES >> 20)));
        }
        found => found.map_err(|error| refuse(error.to_string()))?,
    };
    let text = fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    let (mut inside, mut found) = (false, Vec::new());
    for line in text.lines() {
        let comment = line.starts_with(['#', ';']);
        if comment || line.starts_with(char::is_whitespace) {
            continue;
        }
        if let Some(header) = line.strip_prefix('[') {
            let header = header.split(']').next().unwrap_or_default().trim();
            inside = header.strip_prefix("profile ").unwrap_or(header).trim() == profile;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| inside) {
            found.push((key.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    Ok(found)
}
