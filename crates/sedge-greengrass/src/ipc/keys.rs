use std::future::Future;
use std::pin::Pin;
use std::time::SystemTime;

/// Keys of the device's that a function may sign with, as V1 gave those of the group's role.
#[derive(Clone)]
pub struct Keys {
    /// Whose they are.
    pub access_key_id: String,
    /// The secret.
    pub secret_access_key: String,
    /// Goes with keys for a limited time.
    pub token: Option<String>,
    /// When a function is to ask again.
    pub expiration: SystemTime,
}

/// Secrets reach no log.
impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// Keys, or why there are none.
pub type Given = Pin<Box<dyn Future<Output = Result<Keys, String>> + Send>>;

/// Who has the device's keys.
pub trait KeySource: Send + Sync {
    /// Those of this moment.
    fn keys(&self) -> Given;
}
