//! The `config.json` of a Greengrass V1 core: who the device is to the cloud, and where that is.
//!
//! Read as the core reads it ("Configure the AWS IoT Greengrass core" in its developer guide): what
//! stands in `crypto` comes first; before version 1.7 there was none, and the files of `coreThing`
//! are relative to the core's `certs`. Numbers and yes or no may also be written as texts, which
//! installers do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::arn::{is_partition, is_region};

/// Most bytes of a `config.json`; they have about one thousand.
pub const MOST_BYTES: usize = 1 << 20;
/// Where the core is installed when nobody chose another place.
pub const ROOT: &str = "/greengrass";

/// What a core knows of the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreConfig {
    /// Name of the core's thing, which is its MQTT client id.
    pub thing: String,
    /// Region of the thing: `eu-west-1`.
    pub region: String,
    /// Account of the thing: twelve digits.
    pub account: String,
    /// Endpoint of AWS IoT.
    pub iot_host: String,
    /// Endpoint of the Greengrass service, where it is given.
    pub greengrass_host: Option<String>,
    /// Authorities that the endpoints are believed by, in PEM.
    pub ca: PathBuf,
    /// The device's certificate, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
    /// Port of MQTT: 8883 or 443.
    pub mqtt_port: u16,
    /// Port of HTTPS: 8443 or 443.
    pub https_port: u16,
    /// Longest silence on the MQTT connection: 600 s where nothing is said.
    pub keep_alive: Duration,
    /// Longest wait for the answer to a publish: 5 s where nothing is said.
    pub operation_timeout: Duration,
    /// Longest wait between attempts to connect: 60 s where nothing is said.
    pub reconnect_max: Duration,
    /// A proxy that connections are to go through, where one is set.
    pub proxy: Option<String>,
}

/// Why a `config.json` cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoreConfigError {
    /// No JSON.
    #[error(
        "the core's configuration is no JSON object: {0}. Hint: it is config/config.json below the core's directory"
    )]
    Json(String),
    /// Too large.
    #[error(
        "the core's configuration has {0} bytes, more than the {MOST_BYTES} that are read. Hint: it is config/config.json below the core's directory"
    )]
    TooLarge(usize),
    /// A value that is missing or cannot be used.
    #[error("{path} of the core's configuration {problem}. Hint: {hint}")]
    Value {
        /// Where it stands: `coreThing.thingArn`.
        path: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: &'static str,
    },
}

impl CoreConfig {
    /// Reads the text of a `config.json` of a core that is installed in `root` (usually [`ROOT`];
    /// the file is `config/config.json` in it). Looks at no other file.
    pub fn parse(text: &str, root: &Path) -> Result<Self, CoreConfigError> {
        if text.len() > MOST_BYTES {
            return Err(CoreConfigError::TooLarge(text.len()));
        }
        let document: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|error| CoreConfigError::Json(error.to_string()))?;
        if !document.is_object() {
            return Err(CoreConfigError::Json("it is something else".to_owned()));
        }
        let document = Document(&document);
        let arn = document.text("/coreThing/thingArn", ARN_HINT)?;
        let (region, account, thing) = parse_arn(arn)
            .ok_or_else(|| wrong("/coreThing/thingArn", is(arn, "no ARN of a thing"), ARN_HINT))?;
        let iot_host = document.host("/coreThing/iotHost")?;
        let iot_host = iot_host.ok_or_else(|| missing("/coreThing/iotHost", HOST_HINT))?;
        let file = |crypto, plain| document.file(crypto, plain, root);
        Ok(Self {
            thing: thing.to_owned(),
            region: region.to_owned(),
            account: account.to_owned(),
            iot_host,
            greengrass_host: document.host("/coreThing/ggHost")?,
            ca: file("/crypto/caPath", "/coreThing/caPath")?,
            certificate: file(
                "/crypto/principals/IoTCertificate/certificatePath",
                "/coreThing/certPath",
            )?,
            key: file("/crypto/principals/IoTCertificate/privateKeyPath", "/coreThing/keyPath")?,
            mqtt_port: document.number("/coreThing/iotMqttPort", 8883, 1, 65_535)? as u16,
            https_port: document.number("/coreThing/iotHttpPort", 8443, 1, 65_535)? as u16,
            // 30 s is the least that the core takes; AWS IoT takes 1200 s at most.
            keep_alive: document.seconds("/coreThing/keepAlive", 600, 1200)?.max(LEAST_KEEP_ALIVE),
            operation_timeout: document.seconds("/coreThing/mqttOperationTimeout", 5, 3600)?,
            // The guide does not say on which level it stands.
            reconnect_max: match document.seconds("/mqttMaxConnectionRetryInterval", 0, 86_400)? {
                Duration::ZERO => {
                    document.seconds("/coreThing/mqttMaxConnectionRetryInterval", 60, 86_400)?
                }
                seconds => seconds,
            },
            proxy: document.optional("/coreThing/networkProxy/proxy/url").map(str::to_owned),
        })
    }

    /// The directory that a core with this `config.json` is installed in: two levels above it.
    #[must_use]
    pub fn root_of(file: &Path) -> PathBuf {
        let directory = file.parent().filter(|directory| {
            // 1.0 called it by the longer name.
            directory.ends_with("config") || directory.ends_with("configuration")
        });
        directory.and_then(Path::parent).map_or_else(|| PathBuf::from(ROOT), Path::to_owned)
    }
}

const LEAST_KEEP_ALIVE: Duration = Duration::from_secs(30);
const ARN_HINT: &str = "write the ARN of the core's thing: arn:aws:iot:REGION:ACCOUNT:thing/NAME";
const HOST_HINT: &str = "write the endpoint alone, as `aws iot describe-endpoint --endpoint-type \
                         iot:Data-ATS` prints it";
const FILE_HINT: &str =
    "write a file URI below crypto (file:///greengrass/certs/...), or a name below coreThing";

/// Region, account and name of `arn:aws:iot:REGION:ACCOUNT:thing/NAME`.
fn parse_arn(text: &str) -> Option<(&str, &str, &str)> {
    let mut parts = text.trim().splitn(6, ':');
    let (arn, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
    let (region, account, name) = (parts.next()?, parts.next()?, parts.next()?);
    let name = name.strip_prefix("thing/")?;
    let named = |b: u8| b.is_ascii_alphanumeric() || b":_-".contains(&b);
    let is_thing = (1..=128).contains(&name.len()) && name.bytes().all(named);
    let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    let is_right = arn == "arn" && service == "iot" && is_partition(partition);
    (is_right && is_region(region) && is_account && is_thing).then_some((region, account, name))
}

struct Document<'a>(&'a Value);

impl<'a> Document<'a> {
    /// A text that says something.
    fn optional(&self, path: &str) -> Option<&'a str> {
        self.0.pointer(path)?.as_str().map(str::trim).filter(|text| !text.is_empty())
    }

    fn text(&self, path: &str, hint: &'static str) -> Result<&'a str, CoreConfigError> {
        self.optional(path).ok_or_else(|| missing(path, hint))
    }

    fn host(&self, path: &str) -> Result<Option<String>, CoreConfigError> {
        let Some(text) = self.optional(path) else { return Ok(None) };
        let host = text.trim_start_matches("https://").trim_end_matches('/');
        let fits = |b: u8| b.is_ascii_alphanumeric() || b".-".contains(&b);
        // What has an underscore or brackets is what the installer was to fill in.
        if host.len() > 253 || !host.bytes().all(fits) {
            return Err(wrong(path, is(text, "no name of a host"), HOST_HINT));
        }
        Ok(Some(host.to_ascii_lowercase()))
    }

    /// A file, of `crypto` where there is that: then the core does not look at the others.
    fn file(&self, crypto: &str, plain: &str, root: &Path) -> Result<PathBuf, CoreConfigError> {
        let has_crypto = self.0.get("crypto").is_some_and(Value::is_object);
        let path = if has_crypto { crypto } else { plain };
        let text = self.text(path, FILE_HINT)?;
        if text.starts_with("pkcs11:") {
            let problem = "names a key in a hardware module, which Sedge cannot use".to_owned();
            return Err(wrong(path, problem, "give the device a certificate with a key in a file"));
        }
        if text.starts_with('[') || text.ends_with("_HERE") {
            return Err(wrong(path, is(text, "what was to be filled in"), FILE_HINT));
        }
        let name = match text.strip_prefix("file:") {
            // file:///path, file://localhost/path, file:/path
            Some(uri) => {
                let path = uri.strip_prefix("//").unwrap_or(uri);
                percent_decoded(path.strip_prefix("localhost").unwrap_or(path))
            }
            None if text.contains("://") => {
                return Err(wrong(path, is(text, "no file URI"), FILE_HINT));
            }
            None => text.to_owned(),
        };
        // Also an absolute path, which stays what it is.
        Ok(root.join("certs").join(name))
    }

    fn number(
        &self,
        path: &str,
        absent: u64,
        least: u64,
        most: u64,
    ) -> Result<u64, CoreConfigError> {
        let number = match self.0.pointer(path) {
            None | Some(Value::Null) => return Ok(absent),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(value) => value.as_u64(),
        };
        number.filter(|number| (least..=most).contains(number)).ok_or_else(|| {
            let shown = self.0.pointer(path).map(Value::to_string).unwrap_or_default();
            let problem = is(&shown, &format!("no number from {least} to {most}"));
            wrong(path, problem, "write a number in this range, or leave it out")
        })
    }

    fn seconds(&self, path: &str, absent: u64, most: u64) -> Result<Duration, CoreConfigError> {
        self.number(path, absent, 1, most).map(Duration::from_secs)
    }
}

/// `%20` and its like; what is no such thing stays as it is.
fn percent_decoded(text: &str) -> String {
    let (bytes, mut decoded, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let code = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        let code = code.filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| *byte == b'%') {
            Some(code) => {
                decoded.push(code);
                at += 3;
            }
            None => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

fn is(text: &str, what: &str) -> String {
    let shown: String = text.chars().take(200).flat_map(char::escape_debug).collect();
    format!("is '{shown}', {what}")
}

fn missing(path: &str, hint: &'static str) -> CoreConfigError {
    wrong(path, "is missing".to_owned(), hint)
}

fn wrong(path: &str, problem: String, hint: &'static str) -> CoreConfigError {
    let path = path.trim_start_matches('/').replace('/', ".");
    CoreConfigError::Value { path, problem, hint }
}

#[cfg(test)]
mod tests;
