//! The device's keys, for functions that ask Amazon's services themselves.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use sedge_cloud::{Aws, Client, Remote};
use sedge_greengrass::{Given, KeySource, Keys};

/// After which time keys are asked for again whose end nobody knows.
const LASTING: Duration = Duration::from_secs(3600);

/// Keys by a configuration.
#[derive(Default)]
pub(crate) struct DeviceKeys {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    asking: Mutex<Asking>,
}

#[derive(Default)]
struct Asking {
    remote: Remote,
    /// Who asks, with what is kept of the answers; made when the first function wants keys.
    aws: Option<Aws>,
}

impl DeviceKeys {
    /// Asks in this way from now on.
    pub(crate) fn ask(&self, remote: Remote) {
        let mut asking = self.inner.asking.lock().unwrap_or_else(PoisonError::into_inner);
        if asking.remote != remote {
            *asking = Asking { remote, aws: None };
        }
    }
}

impl KeySource for DeviceKeys {
    fn keys(&self) -> Given {
        let inner = self.inner.clone();
        let asking = tokio::task::spawn_blocking(move || inner.keys());
        Box::pin(async move { asking.await.map_err(|error| error.to_string())? })
    }
}

impl Inner {
    fn keys(&self) -> Result<Keys, String> {
        let issued = self.aws()?.credentials().map_err(|error| error.to_string())?;
        let issued = issued.ok_or("s3.credentials is \"anonymous\"")?;
        let keys = issued.keys();
        Ok(Keys {
            access_key_id: keys.access_key_id.clone(),
            secret_access_key: keys.secret_access_key.clone(),
            token: keys.session_token.clone(),
            expiration: SystemTime::now() + issued.remaining().unwrap_or(LASTING),
        })
    }

    fn aws(&self) -> Result<Aws, String> {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        let Asking { remote, aws } = &mut *asking;
        if let Some(aws) = aws {
            return Ok(aws.clone());
        }
        let made = Client::new(remote).and_then(|client| Aws::new(client, remote, None));
        Ok(aws.insert(made.map_err(|error| error.to_string())?).clone())
    }
}
