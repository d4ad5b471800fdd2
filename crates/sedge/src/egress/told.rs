//! Who is told what became of samples.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sedge_cloud::{AwsError, Stored};
use sedge_feedback::{Head, Outcomes};
use sedge_greengrass::group::{Group, Parameters};
use sedge_greengrass::{FEEDBACK_ORIGIN, FeedbackConnector};

/// Tells whoever a sample is from what became of it.
#[derive(Default)]
pub(super) struct Told {
    teller: Mutex<Teller>,
}

/// Who tells a group's world of its samples.
#[derive(Default)]
enum Teller {
    /// The group has no such connector any more, or there is no group.
    #[default]
    Nobody,
    /// The group is not connected yet: its samples may arrive before it is.
    Awaited,
    There(FeedbackConnector),
}

impl Told {
    fn teller(&self) -> MutexGuard<'_, Teller> {
        self.teller.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody tells from now on.
    pub(super) fn set(&self, connector: FeedbackConnector) {
        *self.teller() = Teller::There(connector);
    }

    /// Whether the group that is to run has a connector that tells.
    pub(super) fn expect(&self, group: Option<&Group>) {
        let is_feedback = |parameters: &Parameters| matches!(parameters, Parameters::Feedback(_));
        let tells = |group: &Group| group.connectors.iter().any(|c| is_feedback(&c.parameters));
        let mut teller = self.teller();
        match (&*teller, group.is_some_and(tells)) {
            (_, false) => *teller = Teller::Nobody,
            (Teller::Nobody, true) => *teller = Teller::Awaited,
            _ => {}
        }
    }

    /// The connector, where the sample is of one and there is one: services are told by counts.
    ///
    /// # Errors
    /// When the group is not connected yet: then it is told later.
    fn of(&self, head: &Head) -> Result<Option<FeedbackConnector>, String> {
        if head.origin != FEEDBACK_ORIGIN {
            return Ok(None);
        }
        match &*self.teller() {
            Teller::Nobody => Ok(None),
            Teller::Awaited => Err("the group is not connected yet".to_owned()),
            Teller::There(connector) => Ok(Some(connector.clone())),
        }
    }
}

impl Outcomes for Told {
    fn is_ready(&self, head: &Head) -> Result<(), String> {
        self.of(head).map(drop)
    }

    fn uploaded(&self, head: &Head, bytes: usize, stored: Option<&Stored>) -> Result<(), String> {
        self.of(head)?.map_or(Ok(()), |connector| connector.uploaded(head, bytes, stored))
    }

    fn refused(&self, head: &Head, bytes: usize, error: &AwsError) -> Result<(), String> {
        self.of(head)?.map_or(Ok(()), |connector| connector.refused(head, bytes, error))
    }
}
