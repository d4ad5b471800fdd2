//! How the cloud is reached.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::Identity;

/// How the cloud is reached: endpoints, credentials, proxy, limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// URL of an S3-compatible store, such as `http://10.0.0.2:9000`; else `AWS_ENDPOINT_URL_S3`,
    /// `AWS_ENDPOINT_URL`, or Amazon's own of the region.
    pub s3_endpoint: Option<String>,
    /// URL of SageMaker's interface; else `AWS_ENDPOINT_URL_SAGEMAKER`, `AWS_ENDPOINT_URL`, or
    /// Amazon's own of the job's region.
    pub sagemaker_endpoint: Option<String>,
    /// URL of CloudWatch's interface for metrics; else `AWS_ENDPOINT_URL_CLOUDWATCH`,
    /// `AWS_ENDPOINT_URL`, or Amazon's own of the region.
    pub metrics_endpoint: Option<String>,
    /// URL of CloudWatch's interface for logs; else `AWS_ENDPOINT_URL_CLOUDWATCH_LOGS`,
    /// `AWS_ENDPOINT_URL`, or Amazon's own of the region.
    pub logs_endpoint: Option<String>,
    /// Region of the bucket; else `AWS_REGION`, `AWS_DEFAULT_REGION`, the profile's, `us-east-1`.
    pub region: Option<String>,
    /// Whether the bucket stands in the path instead of the host's name. By default with an
    /// endpoint of one's own, as few of those have names for buckets.
    pub path_style: Option<bool>,
    /// Who signs requests.
    pub credentials: Credentials,
    /// The role that the device's certificate gives, if it gives one.
    pub iot_role: Option<IotRole>,
    /// URL of a proxy for everything; else `ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY` with
    /// `NO_PROXY`. An empty text means none, whatever the environment says.
    pub proxy: Option<String>,
    /// Certificates to trust instead of the system's, in PEM.
    pub ca_file: Option<PathBuf>,
    /// Bytes a download may take per second, at least 1024.
    pub max_bytes_per_s: Option<u64>,
    /// Bytes that all uploads together may take per second, at least 1024.
    pub max_upload_bytes_per_s: Option<u64>,
    /// How long connecting may take, with name and TLS.
    pub connect_timeout: Duration,
    /// How long a server may send nothing, or next to nothing.
    pub progress_timeout: Duration,
    /// How often what may pass by itself is tried, at least once.
    pub attempts: u32,
}

impl Default for Remote {
    fn default() -> Self {
        Self {
            s3_endpoint: None,
            sagemaker_endpoint: None,
            metrics_endpoint: None,
            logs_endpoint: None,
            region: None,
            path_style: None,
            credentials: Credentials::Auto,
            iot_role: None,
            proxy: None,
            ca_file: None,
            max_bytes_per_s: None,
            max_upload_bytes_per_s: None,
            connect_timeout: Duration::from_secs(15),
            progress_timeout: Duration::from_secs(30),
            attempts: 5,
        }
    }
}

/// Who signs requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// The first that there are: environment, profile, container endpoint, the device's
    /// certificate.
    Auto,
    /// Nobody: requests are not signed. For public buckets.
    Anonymous,
    /// These keys.
    Static(Keys),
    /// A profile of `~/.aws/credentials` or `~/.aws/config` by its name; else `AWS_PROFILE`, else
    /// `default`.
    Profile(Option<String>),
    /// The endpoint that a container runtime or the Greengrass token exchange service names in
    /// `AWS_CONTAINER_CREDENTIALS_FULL_URI` or `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`.
    Container,
    /// The role of [`Remote::iot_role`].
    IotRole,
}

/// A role that the device's certificate gives: AWS IoT's credentials provider hands out keys for
/// a limited time to who proves to be the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IotRole {
    /// Host of the provider, such as `c1.credentials.iot.eu-west-1.amazonaws.com`; a port may
    /// follow.
    pub endpoint: String,
    /// The role alias, 1 to 128 characters.
    pub role_alias: String,
    /// The thing, where policies name it; it has to be attached to the certificate.
    pub thing_name: Option<String>,
    /// Who the device is.
    pub identity: Identity,
    /// Certificates to trust instead of those in [`Remote::ca_file`], in PEM.
    pub ca_file: Option<PathBuf>,
}

/// Keys that requests are signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// Whose they are.
    pub access_key_id: String,
    /// The secret.
    pub secret_access_key: String,
    /// Goes with keys for a limited time.
    pub session_token: Option<String>,
}

impl fmt::Debug for Keys {
    /// Secrets reach no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}
