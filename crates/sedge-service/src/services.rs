use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use sedge_package::NameError;

use crate::{Events, Service};

/// Why services could not be set up.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ServicesError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(
        "two services are called '{0}'. Hint: give one another name with --name or `name` in the configuration"
    )]
    Duplicate(String),
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

/// All services of a process, by name; they may come and go while it runs.
#[derive(Debug, Default)]
pub struct Services {
    by_name: RwLock<BTreeMap<String, Arc<Service>>>,
    events: Events,
}

impl Services {
    /// Adds a service; a name that is taken is refused.
    ///
    /// # Errors
    /// When there is one of that name.
    pub fn add(&self, service: Service) -> Result<Arc<Service>, ServicesError> {
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        if by_name.contains_key(service.name()) {
            return Err(ServicesError::Duplicate(service.name().to_owned()));
        }
        let service = Arc::new(service);
        by_name.insert(service.name().to_owned(), service.clone());
        Ok(service)
    }

    /// Takes a service out; whoever holds it may still use it.
    pub fn remove(&self, name: &str) -> Option<Arc<Service>> {
        self.by_name.write().unwrap_or_else(PoisonError::into_inner).remove(name)
    }

    /// What the services tell of their requests, when they were started with it.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// A service by name.
    pub fn get(&self, name: &str) -> Option<Arc<Service>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// All services in the order of their names.
    pub fn all(&self) -> Vec<Arc<Service>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Stops all services, one after the other; each answers what it admitted.
    pub async fn stop(&self) {
        for service in self.all() {
            service.stop().await;
        }
    }
}
