//! How the cloud is reached, and who the device is there.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sedge_cloud::{Identity, IotRole, Keys, Pem, Remote};
use sedge_greengrass::core_config::{self, CoreConfig};

use crate::config::{Config, Credentials, Mqtt};

/// How the cloud is reached, and who the device is there.
///
/// # Errors
/// When a file with keys cannot be read, or the certificate that a role needs is not named.
pub(crate) fn remote(config: &Config) -> Result<Remote> {
    let (s3, download) = (&config.s3, &config.download);
    let credentials = match s3.credentials {
        Credentials::Auto => sedge_cloud::Credentials::Auto,
        Credentials::Anonymous => sedge_cloud::Credentials::Anonymous,
        Credentials::Profile => sedge_cloud::Credentials::Profile(s3.profile.clone()),
        Credentials::Container => sedge_cloud::Credentials::Container,
        Credentials::Device => sedge_cloud::Credentials::IotRole,
        Credentials::Static => {
            let (Some(id), Some(file)) = (&s3.access_key_id, &s3.secret_access_key_file) else {
                bail!("s3.credentials = \"static\" needs access_key_id and secret_access_key_file");
            };
            let secret = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            sedge_cloud::Credentials::Static(Keys {
                access_key_id: id.clone(),
                secret_access_key: secret.trim().to_owned(),
                session_token: None,
            })
        }
    };
    let defaults = Remote::default();
    Ok(Remote {
        s3_endpoint: s3.endpoint.clone(),
        region: s3.region.clone(),
        path_style: s3.path_style,
        credentials,
        iot_role: role(config)?,
        metrics_endpoint: config.cloud.metrics_endpoint.clone(),
        logs_endpoint: config.cloud.logs_endpoint.clone(),
        max_upload_bytes_per_s: config.cloud.max_upload_kib_per_s.map(|kib| kib << 10),
        proxy: download.proxy.clone(),
        ca_file: download.ca_file.clone(),
        max_bytes_per_s: download.max_kib_per_s.map(|kib| kib << 10),
        progress_timeout: Duration::from_secs(download.timeout_s),
        ..defaults
    })
}

/// The device, as a configuration and the `config.json` of a V1 core know it.
pub(crate) struct Device {
    /// The name that it was given, if it was; a group's is in `cloud.thing` since it was read.
    thing: Option<String>,
    /// `[mqtt]`, with what a V1 core knew where it says nothing.
    pub(crate) mqtt: Mqtt,
    /// What a V1 core was configured with, where the configuration names that.
    pub(crate) core: Option<CoreConfig>,
}

impl Device {
    /// # Errors
    /// When the file of a V1 core cannot be read.
    pub(crate) fn of(config: &Config) -> Result<Self> {
        let core = config.greengrass.core_config.as_deref().map(read_core).transpose()?;
        let thing = config.cloud.thing.clone();
        let thing = thing.or_else(|| core.as_ref().map(|core| core.thing.clone()));
        Ok(Self { thing, mqtt: completed(&config.mqtt, core.as_ref()), core })
    }

    /// The device's name; one without a name is known by its host's.
    pub(crate) fn thing(&self) -> String {
        self.thing.clone().unwrap_or_else(|| {
            let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
            format!("sedge-{name}")
        })
    }

    /// The device's certificate and key, where it has them.
    ///
    /// # Errors
    /// When one is without the other.
    pub(crate) fn identity(&self) -> Result<Option<Identity>> {
        match (&self.mqtt.cert_file, &self.mqtt.key_file) {
            (Some(certificate), Some(key)) => Ok(Some(Identity {
                certificate: Pem::File(certificate.clone()),
                key: Pem::File(key.clone()),
            })),
            (None, None) => Ok(None),
            _ => bail!("mqtt.cert_file and mqtt.key_file go together. Hint: give both, or none"),
        }
    }
}

/// The role that the device's certificate gives, where the configuration names one.
fn role(config: &Config) -> Result<Option<IotRole>> {
    let (Some(endpoint), Some(alias)) =
        (&config.cloud.credentials_endpoint, &config.cloud.role_alias)
    else {
        return Ok(None);
    };
    let device = Device::of(config)?;
    let identity = device.identity()?.context(
        "cloud.role_alias needs the device's certificate. Hint: mqtt.cert_file and mqtt.key_file",
    )?;
    Ok(Some(IotRole {
        endpoint: endpoint.clone(),
        role_alias: alias.clone(),
        // A name that the certificate is not attached to would be refused.
        thing_name: device.thing,
        identity,
        ca_file: device.mqtt.ca_file,
    }))
}

fn read_core(path: &Path) -> Result<CoreConfig> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read {} (greengrass.core_config)", path.display()))?;
    // It lies in `config` below the core's directory.
    let root = path.parent().and_then(Path::parent).unwrap_or(Path::new(core_config::ROOT));
    CoreConfig::parse(&text, root).with_context(|| path.display().to_string())
}

/// `[mqtt]` with what a V1 core knew where it says nothing.
fn completed(mqtt: &Mqtt, core: Option<&CoreConfig>) -> Mqtt {
    let mut mqtt = mqtt.clone();
    let Some(core) = core else { return mqtt };
    mqtt.host.get_or_insert_with(|| core.iot_host.clone());
    mqtt.port.get_or_insert(core.mqtt_port);
    mqtt.ca_file.get_or_insert_with(|| core.ca.clone());
    mqtt.cert_file.get_or_insert_with(|| core.certificate.clone());
    mqtt.key_file.get_or_insert_with(|| core.key.clone());
    mqtt
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    const ROLE: &str = "
        [cloud]
        credentials_endpoint = 'c1.credentials.iot.eu-west-1.amazonaws.com'
        role_alias = 'camera'
    ";

    #[test]
    fn models_are_fetched_with_the_devices_role_too() {
        let certificate = "[mqtt]\ncert_file = '/d/cert.pem'\nkey_file = '/d/key.pem'\n";
        let mut config = config(&format!("{certificate}{ROLE}"));
        let role = remote(&config).unwrap().iot_role.unwrap();
        assert_eq!(role.role_alias, "camera");
        // What the host is called is not the name of the device's thing.
        assert_eq!(role.thing_name, None);
        config.cloud.thing = Some("camera-7".to_owned());
        assert_eq!(remote(&config).unwrap().iot_role.unwrap().thing_name.unwrap(), "camera-7");
    }

    #[test]
    fn a_role_without_a_certificate_is_refused() {
        let why = format!("{:#}", remote(&config(ROLE)).unwrap_err());
        assert!(why.contains("mqtt.cert_file and mqtt.key_file"), "{why}");
        let half = config(&format!("[mqtt]\ncert_file = '/d/cert.pem'\n{ROLE}"));
        let why = format!("{:#}", remote(&half).unwrap_err());
        assert!(why.contains("give both"), "{why}");
        assert!(remote(&config("")).unwrap().iot_role.is_none());
    }
}
