use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::{Callee, FunctionArn};

/// What can be called, by its ARN.
///
/// A version or alias says nothing: a group has one of each function. Neither does the region of
/// what is the system's own or a connector's (account empty or `aws`), as callers take it from
/// their environment.
#[derive(Default)]
pub struct Registry {
    callees: RwLock<HashMap<FunctionArn, Arc<dyn Callee>>>,
}

impl Registry {
    /// Lets `callee` answer calls of `arn`, in place of who answered before.
    pub fn register(&self, arn: &FunctionArn, callee: Arc<dyn Callee>) {
        self.callees.write().unwrap_or_else(PoisonError::into_inner).insert(key(arn), callee);
    }

    /// Lets nobody answer them any more.
    pub fn remove(&self, arn: &FunctionArn) {
        self.callees.write().unwrap_or_else(PoisonError::into_inner).remove(&key(arn));
    }

    /// Lets nobody answer anything any more.
    pub(crate) fn clear(&self) {
        self.callees.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Who answers calls of `arn`.
    pub fn find(&self, arn: &FunctionArn) -> Option<Arc<dyn Callee>> {
        self.callees.read().unwrap_or_else(PoisonError::into_inner).get(&key(arn)).cloned()
    }

    /// The names of all that can be called, sorted.
    pub fn names(&self) -> Vec<String> {
        let callees = self.callees.read().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<String> = callees.keys().map(|arn| arn.name.clone()).collect();
        names.sort();
        names
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registry").field(&self.names()).finish()
    }
}

fn key(arn: &FunctionArn) -> FunctionArn {
    let mut key = arn.unqualified();
    if key.account.is_empty() || key.account == "aws" {
        key.partition = "aws".into();
        key.region.clear();
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Answer, Call};

    struct Nobody;

    impl Callee for Nobody {
        fn call(&self, _: Call) -> Answer {
            Box::pin(std::future::pending())
        }
    }

    #[test]
    fn addresses_are_found_as_callers_write_them() {
        let registry = Registry::default();
        let arn = |text: &str| text.parse::<FunctionArn>().unwrap();
        let service = "arn:aws:lambda:us-west-2:aws:function:GG-ML-INF-image-classification-cats";
        registry.register(&arn(&format!("{service}:1")), Arc::new(Nobody));
        registry.register(&arn("arn:aws:lambda:eu-west-1:1:function:f:PROD"), Arc::new(Nobody));
        for found in [
            service,
            "arn:aws:lambda:eu-central-1:aws:function:GG-ML-INF-image-classification-cats:1",
            "arn:aws-cn:lambda:cn-north-1:aws:function:GG-ML-INF-image-classification-cats",
            "arn:aws:lambda:eu-west-1:1:function:f",
            "arn:aws:lambda:eu-west-1:1:function:f:7",
        ] {
            assert!(registry.find(&arn(found)).is_some(), "{found}");
        }
        for missing in [
            "arn:aws:lambda:us-west-2:aws:function:GG-ML-INF-object-detection-cats",
            "arn:aws:lambda:eu-west-2:1:function:f",
            "arn:aws:lambda:eu-west-1:2:function:f",
        ] {
            assert!(registry.find(&arn(missing)).is_none(), "{missing}");
        }
        registry.remove(&arn(service));
        assert_eq!(registry.names(), ["f"]);
    }
}
