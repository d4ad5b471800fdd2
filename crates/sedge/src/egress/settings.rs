//! What a configuration and a group say of the broker and of what goes there.

use std::time::Duration;

use anyhow::{Context, Result};
use sedge_cloud::Pem;
use sedge_cloud::mqtt::{Login, Settings, Tls, Version};
use sedge_greengrass::group::{Group, Parameters};

use crate::cloud::Device;
use crate::config::{Config, Protocol};

/// The broker and the device.
pub(super) struct Broker {
    /// Name of the device.
    pub(super) thing: String,
    /// How the broker is reached, where there is one.
    pub(super) settings: Option<Settings>,
}

/// What the ways out depend on; nothing where none are asked for.
pub(super) fn revision(config: &Config, group: Option<&Group>) -> Option<String> {
    let of_service =
        |one: &crate::config::ServiceConfig| !one.feedback.is_empty() || one.publish.is_some();
    let asked = config.mqtt.host.is_some()
        || config.greengrass.core_config.is_some()
        || config.service.iter().any(of_service)
        || group.is_some_and(wants_out);
    let thing = group.map(|group| (&group.core_thing, &group.id, &group.name));
    let logs = group.is_some_and(|group| group.loggers.iter().any(|logger| logger.cloud));
    let Config { mqtt, cloud, s3, download, greengrass, .. } = config;
    let core = &greengrass.core_config;
    asked.then(|| format!("{mqtt:?} {cloud:?} {s3:?} {download:?} {core:?} {thing:?} {logs}"))
}

/// Whether something of a group is to leave the device.
fn wants_out(group: &Group) -> bool {
    let outward = |parameters: &Parameters| {
        matches!(parameters, Parameters::Feedback(_) | Parameters::Metrics(_))
    };
    group.connectors.iter().any(|connector| outward(&connector.parameters))
        || group.loggers.iter().any(|logger| logger.cloud)
}

/// The end of the names of streams in CloudWatch Logs, after the day: account, group and core
/// (specification, section 9.2).
pub(super) fn log_stream(config: &Config, group: &Group, thing: &str) -> String {
    let account = config.greengrass.account.as_deref().unwrap_or("local");
    let named = |text: &str| text.replace([':', '*'], "-");
    let id = group.id.as_deref().or(group.name.as_deref()).unwrap_or("group");
    format!("{}/{}/{}", named(account), named(id), named(thing))
}

impl Broker {
    pub(super) fn of(config: &Config) -> Result<Self> {
        let device = Device::of(config)?;
        Ok(Self { thing: device.thing(), settings: settings(&device)? })
    }
}

fn settings(device: &Device) -> Result<Option<Settings>> {
    let mqtt = &device.mqtt;
    let Some(host) = &mqtt.host else { return Ok(None) };
    let client_id = mqtt.client_id.clone().unwrap_or_else(|| device.thing());
    let mut settings = Settings::new(host, client_id);
    settings.port = mqtt.port.unwrap_or(if mqtt.tls { 8883 } else { 1883 });
    let identity = device.identity()?;
    let ca = mqtt.ca_file.clone().map(Pem::File);
    settings.tls = mqtt.tls.then_some(Tls { ca, identity, alpn: None });
    if let Some(name) = &mqtt.username {
        let password = match &mqtt.password_file {
            Some(path) => std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {} (mqtt.password_file)", path.display()))?,
            None => String::new(),
        };
        let password = password.trim_end_matches(['\r', '\n']).to_owned();
        settings.login = Some(Login { name: name.clone(), password });
    }
    settings.version = match mqtt.version {
        Protocol::Auto => Version::Auto,
        Protocol::V5 => Version::V5,
        Protocol::V311 => Version::V311,
    };
    settings.keep_alive = Duration::from_secs(mqtt.keep_alive_s);
    settings.max_in_flight = mqtt.max_in_flight;
    if mqtt.max_per_s.is_some() {
        settings.publishes_per_second = mqtt.max_per_s;
    }
    if let Some(core) = &device.core {
        settings.reconnect_max = core.reconnect_max.max(settings.reconnect_min);
    }
    settings.check()?;
    Ok(Some(settings))
}
