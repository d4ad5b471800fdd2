//! What is wrong with keys that are right alone.

use std::collections::HashSet;
use std::path::Path;

use sedge_package::{TrustList, validate_service_name};
use serde::Deserialize;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::Walk;
use crate::config::{Greengrass, Isolation, S3, ServiceConfig, Trust};

impl Walk<'_> {
    pub(super) fn together(&mut self, spans: &DeTable<'_>, values: &Table, base: &Path) {
        let sections = spans.iter().filter_map(|(name, span)| {
            let value = values.get(name.get_ref().as_ref())?;
            Some((name.get_ref().as_ref(), span.get_ref(), value))
        });
        for (name, spans, value) in sections {
            match (name, spans) {
                ("trust", DeValue::Table(spans)) => self.trust(spans, value, base),
                ("s3", DeValue::Table(spans)) => self.s3(spans, value),
                ("greengrass", DeValue::Table(spans)) => self.greengrass(spans, value),
                ("service", DeValue::Array(spans)) => {
                    let mut names = HashSet::new();
                    let values = value.as_array().into_iter().flatten();
                    for (span, value) in spans.iter().zip(values) {
                        if let DeValue::Table(table) = span.get_ref() {
                            let at = span.span().start;
                            self.service(at, table, value, base, &mut names);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn trust(&mut self, spans: &DeTable<'_>, value: &Value, base: &Path) {
        let Ok(trust) = Trust::deserialize(value.clone()) else { return };
        if trust.keys.is_empty() && trust.require_signature {
            let hint = "name the keys in trust.keys".to_owned();
            let problem = "without a key, nothing could be installed".to_owned();
            let at = place(spans, "require_signature");
            self.tell(at, "trust.require_signature".into(), problem, Some(hint));
        }
        // A file that is not here may be there on the device.
        let here = |key: &String| TrustList::is_inline(key) || base.join(key).exists();
        let here: Vec<String> = trust.keys.into_iter().filter(here).collect();
        if let Err(error) = TrustList::read(&here, base) {
            self.tell(place(spans, "keys"), "trust.keys".into(), error.to_string(), None);
        }
    }

    fn greengrass(&mut self, spans: &DeTable<'_>, value: &Value) {
        let Ok(greengrass) = Greengrass::deserialize(value.clone()) else { return };
        for text in &greengrass.parameters {
            if let Err(problem) = crate::greengrass::parameter(text) {
                let at = place(spans, "parameters");
                self.tell(at, "greengrass.parameters".into(), problem, None);
            }
        }
    }

    fn s3(&mut self, spans: &DeTable<'_>, value: &Value) {
        let Ok(s3) = S3::deserialize(value.clone()) else { return };
        let stated = value.get("credentials").and_then(Value::as_str).unwrap_or("auto");
        for (credentials, name, given, needed) in [
            ("static", "access_key_id", s3.access_key_id.is_some(), true),
            ("static", "secret_access_key_file", s3.secret_access_key_file.is_some(), true),
            ("profile", "profile", s3.profile.is_some(), false),
        ] {
            let problem = match (stated == credentials, given) {
                (true, false) if needed => "needs it",
                (false, true) => "does not read it",
                _ => continue,
            };
            let at = place(spans, if given { name } else { "credentials" });
            let problem = format!("credentials = \"{stated}\" {problem}");
            let hint = given.then(|| format!("set s3.credentials = \"{credentials}\""));
            self.tell(at, format!("s3.{name}"), problem, hint);
        }
    }

    fn service(
        &mut self,
        at: usize,
        spans: &DeTable<'_>,
        value: &Value,
        base: &Path,
        names: &mut HashSet<String>,
    ) {
        let Ok(service) = ServiceConfig::deserialize(value.clone()) else { return };
        let thread = service.isolation == Isolation::Thread;
        for name in ["memory_mib", "grace_ms"] {
            if thread && value.get(name).is_some() {
                let hint = "set isolation = \"process\"".to_owned();
                let problem = "isolation = \"thread\" cannot hold to it".to_owned();
                self.tell(place(spans, name), format!("service.{name}"), problem, Some(hint));
            }
        }
        if service.model.as_os_str().is_empty() {
            return;
        }
        let at = if service.name.is_some() { place(spans, "name") } else { at };
        let name = service.based(base).name();
        if validate_service_name(&name).is_err() {
            let hint = "use letters, digits and hyphens, 2 to 63 of them".to_owned();
            let problem = format!("'{name}' is no service name");
            self.tell(at, "service.name".into(), problem, Some(hint));
        } else if !names.insert(name.clone()) {
            let problem = format!("another service is called '{name}', too");
            self.tell(at, "service.name".into(), problem, Some("name one of them".into()));
        }
    }
}

/// Where a key stands; at the start of the text when it does not.
pub(super) fn place(spans: &DeTable<'_>, key: &str) -> usize {
    let found = spans.iter().find(|(name, _)| name.get_ref() == key);
    found.map_or(0, |(name, _)| name.span().start)
}
