//! Secrets that functions ask for, from files on the device.
//!
//! A file `*.json` is what `aws secretsmanager get-secret-value` prints, for one version of a
//! secret. A function is told those that a resource of its own names.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::group::{Group, ResourceData};
use crate::{Answer, Call, Callee, Failure, FunctionArn};

/// Address of the secrets for functions.
pub(crate) const ARN: &str = "arn:aws:lambda:::function:GGSecretManager:1";

/// Files that are looked at.
const MOST_FILES: usize = 1000;
/// More than the 64 KiB that a secret may have, as Base64 and with the rest.
const MOST_FILE_BYTES: u64 = 256 << 10;
const CURRENT: &str = "AWSCURRENT";

/// The secrets of a core.
pub(crate) struct Secrets {
    inner: Arc<Inner>,
}

struct Inner {
    directory: PathBuf,
    /// ARNs of the secrets that each function may have.
    allowed: BTreeMap<FunctionArn, Vec<String>>,
}

/// What a function asks for.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    secret_id: String,
    version_stage: Option<String>,
}

/// A version of a secret, as the command line of AWS prints it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Secret {
    #[serde(rename = "ARN")]
    arn: String,
    name: String,
    version_id: Option<String>,
    secret_string: Option<String>,
    secret_binary: Option<String>,
    version_stages: Option<Vec<String>>,
    /// Seconds since 1970, or a time in words.
    created_date: Option<Value>,
}

/// Why there is no secret, as a status of HTTP and a text.
struct Refusal(u16, String);

impl Secrets {
    pub(crate) fn new(directory: &Path, group: &Group) -> Self {
        let of = |id: &str| {
            let found = group.resources.iter().find(|resource| resource.id == id)?;
            match &found.data {
                ResourceData::Secret { arn, .. } => Some(arn.clone()),
                _ => None,
            }
        };
        let allowed = group.functions.iter().map(|function| {
            let arns = function.resources.iter().filter_map(|access| of(&access.resource));
            (function.arn.unqualified(), arns.collect())
        });
        let allowed = allowed.collect();
        Self { inner: Arc::new(Inner { directory: directory.to_owned(), allowed }) }
    }
}

impl Callee for Secrets {
    fn call(&self, call: Call) -> Answer {
        let inner = self.inner.clone();
        Box::pin(async move {
            let answer = tokio::task::spawn_blocking(move || inner.answer(&call)).await;
            answer.map_err(|error| Failure::Unhandled(error.to_string()))
        })
    }
}

impl Inner {
    fn answer(&self, call: &Call) -> Bytes {
        let answer = self.find(call).unwrap_or_else(
            |Refusal(status, message)| json!({ "Status": status, "Message": message }),
        );
        answer.to_string().into()
    }

    fn find(&self, call: &Call) -> Result<Value, Refusal> {
        let request: Request = serde_json::from_slice(&call.payload)
            .map_err(|error| Refusal(400, format!("the request is not understood: {error}")))?;
        let Request { secret_id, version_stage } = request;
        let stage = version_stage.as_deref().unwrap_or(CURRENT);
        let caller = call.caller.as_ref().map(FunctionArn::unqualified);
        let allowed = caller.and_then(|caller| self.allowed.get(&caller));
        let allowed = allowed.map(Vec::as_slice).unwrap_or_default();
        let mut problems = Vec::new();
        for secret in self.read(&mut problems)? {
            let stages = secret.version_stages.as_deref();
            let is_staged = stages.map_or(stage == CURRENT, |all| all.iter().any(|s| s == stage));
            if secret.is_named(&secret_id) && is_staged {
                if !allowed.iter().any(|arn| secret.is_named(arn)) {
                    let text = "no resource of this function names the secret. Hint: add one to its \
                                ResourceAccessPolicies";
                    return Err(Refusal(403, text.into()));
                }
                return Ok(secret.shown());
            }
        }
        let directory = self.directory.display();
        let problems: String = problems.iter().map(|problem| format!("; {problem}")).collect();
        Err(Refusal(
            404,
            format!(
                "there is no secret '{secret_id}' with the label {stage} on this device{problems}. Hint: \
             write what `aws secretsmanager get-secret-value` prints to a file *.json in {directory}"
            ),
        ))
    }

    /// All secrets, and what is wrong with files that are none.
    fn read(&self, problems: &mut Vec<String>) -> Result<Vec<Secret>, Refusal> {
        let Ok(entries) = fs::read_dir(&self.directory) else { return Ok(Vec::new()) };
        let mut paths: Vec<PathBuf> = entries
            .take(MOST_FILES)
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .collect();
        paths.sort();
        let read =
            |path: &PathBuf| Secret::read(path).map_err(|why| format!("{}: {why}", path.display()));
        let (good, bad): (Vec<_>, Vec<_>) = paths.iter().map(read).partition(Result::is_ok);
        problems.extend(bad.into_iter().filter_map(Result::err));
        Ok(good.into_iter().filter_map(Result::ok).collect())
    }
}

impl Secret {
    fn read(path: &Path) -> Result<Self, String> {
        // A link could lead to a file that others write.
        let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path);
        let file = file.map_err(|error| error.to_string())?;
        let metadata = file.metadata().map_err(|error| error.to_string())?;
        if metadata.mode() & 0o077 != 0 {
            return Err("others may read it. Hint: chmod 600".into());
        }
        let mut text = String::new();
        let read = file.take(MOST_FILE_BYTES).read_to_string(&mut text);
        read.map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| format!("not what the command prints: {error}"))
    }

    /// Whether it is the one of that name or ARN. AWS adds six characters to the name in an ARN,
    /// which callers may leave out.
    fn is_named(&self, id: &str) -> bool {
        let short = self.arn.len().checked_sub(7).and_then(|at| self.arn.split_at_checked(at));
        let short = short.filter(|(_, rest)| rest.starts_with('-')).map(|(arn, _)| arn);
        [Some(self.name.as_str()), Some(self.arn.as_str()), short].contains(&Some(id))
    }

    fn shown(self) -> Value {
        let mut shown = json!({
            "ARN": self.arn,
            "Name": self.name,
            "VersionId": self.version_id,
            "VersionStages": self.version_stages.unwrap_or_else(|| vec![CURRENT.to_owned()]),
            "CreatedDate": milliseconds(self.created_date.as_ref()),
        });
        if let Some(text) = self.secret_string {
            shown["SecretString"] = text.into();
        }
        if let Some(binary) = self.secret_binary {
            shown["SecretBinary"] = binary.into();
        }
        shown
    }
}

/// A time of the command line in milliseconds: `1523477145.713`, or
/// `2018-04-11T13:05:45.713000-07:00`, of which the hours between here and there are taken into
/// account.
fn milliseconds(time: Option<&Value>) -> u64 {
    match time {
        Some(Value::Number(seconds)) => (seconds.as_f64().unwrap_or(0.0) * 1000.0) as u64,
        Some(Value::String(text)) => parse_time(text).unwrap_or(0),
        _ => 0,
    }
}

fn parse_time(text: &str) -> Option<u64> {
    let (time, zone) = match text.strip_suffix('Z') {
        Some(time) => (time, ""),
        None => text.split_at_checked(text.len().checked_sub(6)?)?,
    };
    let parsed = humantime::parse_rfc3339(&format!("{time}Z")).ok()?;
    let ms = parsed.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_millis();
    let ms = i64::try_from(ms).ok()?;
    if zone.is_empty() {
        return ms.try_into().ok();
    }
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let ahead: i64 = (hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?) * 60_000;
    let ms = if zone.starts_with('-') { ms + ahead } else { ms - ahead };
    ms.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_command_line_are_read() {
        for (time, wanted) in [
            (json!(1523477145.713), 1_523_477_145_713),
            (json!("2018-04-11T13:05:45.713000-07:00"), 1_523_477_145_713),
            (json!("2018-04-11T22:05:45.713000+02:00"), 1_523_477_145_713),
            (json!("2018-04-11T20:05:45.713Z"), 1_523_477_145_713),
            (json!("yesterday"), 0),
            (json!("ä"), 0),
            (json!(null), 0),
        ] {
            assert_eq!(milliseconds(Some(&time)), wanted, "{time}");
        }
    }
}
