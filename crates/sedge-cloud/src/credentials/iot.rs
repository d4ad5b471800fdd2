//! Credentials that the device's certificate gives: AWS IoT's credentials provider.
//!
//! Source: "Authorizing direct calls to AWS services using AWS IoT Core credential provider", AWS
//! IoT Core Developer Guide.

use serde::Deserialize;

use super::{Issued, Origin, point_in_time};
use crate::sign::encoded;
use crate::{Client, ClientError, IotRole, Keys, Refusal, Remote, Request};

#[derive(Deserialize)]
struct Answer {
    credentials: Fields,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: String,
}

/// Asks for the keys of a role.
pub(super) fn issue(remote: &Remote, role: &IotRole) -> Result<Issued, ClientError> {
    let alias = &role.role_alias;
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"_=,@-".contains(&byte);
    if alias.is_empty() || alias.len() > 128 || !alias.bytes().all(word) {
        return Err(ClientError::Setting(format!(
            "'{alias}' is no role alias: letters, digits and _=,@-, 1 to 128"
        )));
    }
    // Not by http: anybody could answer there, and see.
    let endpoint = role.endpoint.strip_prefix("https://").unwrap_or(&role.endpoint);
    let endpoint = endpoint.trim_end_matches('/');
    if endpoint.is_empty() || endpoint.contains(['/', '?', '@']) {
        return Err(ClientError::Setting(format!(
            "'{}' is no host of a credentials provider. Hint: aws iot describe-endpoint \
             --endpoint-type iot:CredentialProvider",
            role.endpoint
        )));
    }
    let ca_file = role.ca_file.clone().or_else(|| remote.ca_file.clone());
    let client =
        Client::with_identity(&Remote { ca_file, ..remote.clone() }, Some(&role.identity))?;
    let url = format!("https://{endpoint}/role-aliases/{}/credentials", encoded(alias));
    let mut request = Request::get(&url).header("accept", "application/json");
    if let Some(thing) = &role.thing_name {
        request = request.header("x-amzn-iot-thingname", thing);
    }
    let mut response = client.send(&request)?;
    if response.status != 200 {
        let refusal = Refusal::read(&mut response);
        let hint = match refusal.status {
            403 => {
                ". Hint: the certificate's policy has to allow iot:AssumeRoleWithCertificate on \
                 the role alias, its role has to trust credentials.iot.amazonaws.com, and a thing \
                 that is named has to be attached to the certificate"
            }
            404 => ". Hint: check the role alias",
            _ => "",
        };
        let problem = format!("it gives no credentials of '{alias}', {refusal}{hint}");
        return Err(ClientError::Status { url, status: refusal.status, problem });
    }
    let text = response.text()?;
    // Not told by the parser's words, which could hold parts of the secret.
    let answer: Answer = serde_json::from_str(&text).map_err(|_| ClientError::Response {
        url: url.clone(),
        problem: "it has no accessKeyId, secretAccessKey, sessionToken and expiration".to_owned(),
    })?;
    let Fields { access_key_id, secret_access_key, session_token, expiration } = answer.credentials;
    let keys = Keys { access_key_id, secret_access_key, session_token: Some(session_token) };
    let origin = Origin::IotRole { alias: alias.clone(), endpoint: endpoint.to_owned() };
    let expiration = point_in_time(&expiration).ok_or_else(|| ClientError::Response {
        url,
        problem: "its credentials expire at no time that can be read".to_owned(),
    })?;
    Issued::until(keys, origin, Some(expiration), &response)
}
