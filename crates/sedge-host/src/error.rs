use sedge_deploy::DeployError;
use sedge_service::ServicesError;
use sedge_worker::StartError;

/// Why a service is not as it was asked for.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum HostError {
    #[error(transparent)]
    Deploy(#[from] DeployError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("{0}")]
    Load(String),
    /// Golden cases whose answers are others here.
    #[error(
        "the model does not give its golden answers on this device with {engine}: {differences}. Hint: another engine, or a version that was recorded for it"
    )]
    Golden { engine: String, differences: String },
    #[error(transparent)]
    Services(#[from] ServicesError),
    #[error("there is no service '{name}'. Hint: {known}")]
    Unknown { name: String, known: String },
    #[error(
        "what is installed as version {0} is not signed by a key that is trusted now. Hint: trust.keys, or install a signed package"
    )]
    Untrusted(u64),
    #[error("service '{0}' has no version before this one whose files are kept")]
    NoPrevious(String),
    #[error("a task of the host ended by itself: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl HostError {
    /// There is no service of this name among those that are known.
    pub(crate) fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Self {
        let known: Vec<&str> = known.map(String::as_str).collect();
        let known = match known.as_slice() {
            [] => "there are none; a configuration or a group brings them".to_owned(),
            known => format!("these are: {}", known.join(", ")),
        };
        Self::Unknown { name: name.to_owned(), known }
    }

    /// Whether it may pass by itself, as a network that is not there yet.
    pub(crate) fn may_pass(&self, remote: bool) -> bool {
        remote && matches!(self, Self::Deploy(_))
    }
}
