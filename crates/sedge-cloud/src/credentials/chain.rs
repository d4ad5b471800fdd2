//! Where keys are looked for, one place after the other.

use super::environment::Environment;
use super::{Issued, Origin, container, iot, profile};
use crate::{ClientError, Credentials, Keys, Remote};

/// Finds the keys that are configured, `None` for requests that are not signed.
pub(crate) fn find(
    remote: &Remote,
    environment: &Environment<'_>,
) -> Result<Option<Issued>, ClientError> {
    match &remote.credentials {
        Credentials::Anonymous => Ok(None),
        Credentials::Static(keys) => Ok(Some(Issued::lasting(keys.clone(), Origin::Configuration))),
        Credentials::Profile(name) => {
            let name = profile::name(name.as_deref(), environment);
            let found = profile::keys(&name, environment)?;
            found.map(Some).ok_or_else(|| {
                let places = profile::files(environment).map(|path| path.display().to_string());
                ClientError::Credentials(format!(
                    "there is no profile '{name}' with keys in {}. \
                     Hint: aws_access_key_id and aws_secret_access_key below [{name}]",
                    places.join(" or ")
                ))
            })
        }
        Credentials::Container => match container::keys(remote, environment)? {
            Some(keys) => Ok(Some(keys)),
            None => Err(ClientError::Credentials(
                "no container endpoint gives credentials. \
                 Hint: set AWS_CONTAINER_CREDENTIALS_FULL_URI"
                    .to_owned(),
            )),
        },
        Credentials::IotRole => match &remote.iot_role {
            Some(role) => iot::issue(remote, role).map(Some),
            None => Err(ClientError::Setting(
                "no role alias is configured whose credentials the device's certificate gives"
                    .to_owned(),
            )),
        },
        Credentials::Auto => automatic(remote, environment).map(Some),
    }
}

fn automatic(remote: &Remote, environment: &Environment<'_>) -> Result<Issued, ClientError> {
    if let Some(keys) = from_environment(environment)? {
        return Ok(Issued::lasting(keys, Origin::Environment));
    }
    let profile = profile::name(None, environment);
    if let Some(issued) = profile::keys(&profile, environment)? {
        return Ok(issued);
    }
    if let Some(issued) = container::keys(remote, environment)? {
        return Ok(issued);
    }
    if let Some(role) = &remote.iot_role {
        return iot::issue(remote, role);
    }
    Err(ClientError::Credentials(format!(
        "there are no credentials: none in AWS_ACCESS_KEY_ID, no profile '{profile}', no container \
         endpoint, no role alias. Hint: give some, or credentials = \"anonymous\" for a public \
         bucket"
    )))
}

fn from_environment(environment: &Environment<'_>) -> Result<Option<Keys>, ClientError> {
    let pair = (environment("AWS_ACCESS_KEY_ID"), environment("AWS_SECRET_ACCESS_KEY"));
    match pair {
        (Some(access_key_id), Some(secret_access_key)) => Ok(Some(Keys {
            access_key_id,
            secret_access_key,
            session_token: environment("AWS_SESSION_TOKEN"),
        })),
        (None, None) => Ok(None),
        _ => Err(ClientError::Credentials(
            "only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set. Hint: set both"
                .to_owned(),
        )),
    }
}

/// The region that is configured, if one is.
pub(crate) fn region(
    remote: &Remote,
    environment: &Environment<'_>,
) -> Result<Option<String>, ClientError> {
    let named = || environment("AWS_REGION").or_else(|| environment("AWS_DEFAULT_REGION"));
    if let Some(region) = remote.region.clone().or_else(named) {
        return Ok(Some(region));
    }
    let chosen = match &remote.credentials {
        Credentials::Profile(name) => name.as_deref(),
        _ => None,
    };
    profile::region(&profile::name(chosen, environment), environment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::IotRole;
    use crate::{Identity, Pem};

    fn keys_from(
        remote: &Remote,
        variables: &[(&str, &str)],
    ) -> Result<Option<Issued>, ClientError> {
        find(remote, &|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_first_place_that_has_keys_counts() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("credentials");
        let text = "[default]\naws_access_key_id = FILE\naws_secret_access_key=s=\n\
                    # a comment\n[ other ]\naws_access_key_id=OTHER\naws_secret_access_key=t\n\
                    aws_session_token = u\n[sso]\nsso_session = x\n";
        std::fs::write(&file, text).unwrap();
        let file = file.display().to_string();
        let shared = ("AWS_SHARED_CREDENTIALS_FILE", file.as_str());
        let auto = Remote::default();
        let named = |name: &str| Remote {
            credentials: Credentials::Profile(Some(name.to_owned())),
            ..Remote::default()
        };
        let own = [("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_SECRET_ACCESS_KEY", "s"), shared];
        for (remote, variables, expected, source) in [
            (&auto, &own[..], "ENV", "the environment".to_owned()),
            (&auto, &[shared], "FILE", format!("the profile 'default' in {file}")),
            (
                &auto,
                &[shared, ("AWS_PROFILE", "other")],
                "OTHER",
                format!("the profile 'other' in {file}"),
            ),
            (&named("other"), &own, "OTHER", format!("the profile 'other' in {file}")),
        ] {
            let issued = keys_from(remote, variables).unwrap().unwrap();
            assert_eq!(issued.keys().access_key_id, expected);
            assert_eq!(issued.source().to_string(), source);
        }
        let other = keys_from(&named("other"), &[shared]).unwrap().unwrap();
        assert_eq!(other.keys().session_token.as_deref(), Some("u"));
        let shown = format!("{other:?}");
        assert!(shown.contains("Keys { access_key_id: \"OTHER\", .. }"), "{shown}");
        let anonymous = Remote { credentials: Credentials::Anonymous, ..Remote::default() };
        assert!(keys_from(&anonymous, &own).unwrap().is_none());

        let device = Remote {
            iot_role: Some(IotRole {
                endpoint: "localhost".to_owned(),
                role_alias: "alias".to_owned(),
                thing_name: None,
                identity: Identity {
                    certificate: Pem::File("/nowhere.pem".into()),
                    key: Pem::File("/nowhere.key".into()),
                },
                ca_file: None,
            }),
            ..Remote::default()
        };
        for (remote, variables, words) in [
            (&auto, &[][..], "there are no credentials"),
            (&auto, &[("AWS_ACCESS_KEY_ID", "a")], "only one of"),
            (&device, &[], "cannot use the certificate in /nowhere.pem"),
            (&named("nobody"), &[shared], "no profile 'nobody' with keys in "),
            (&named("sso"), &[shared], "single sign-on"),
        ] {
            let error = keys_from(remote, variables).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
