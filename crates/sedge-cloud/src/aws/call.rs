//! A request that is tried until it is answered, refused for good, or not worth waiting for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Aws, AwsError, REQUEST_IDS, Refusal, Retry, Service};
use crate::{Request, back_off};

/// The longest that a call waits between two attempts. Who is to be left alone for longer is left
/// alone by whoever has called.
const MOST_WAIT: Duration = Duration::from_secs(30);

/// An answer that is none of the refusals.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
    /// How often it was asked again.
    pub(crate) retries: u32,
}

impl Answer {
    /// By which Amazon's support finds the request.
    pub(crate) fn request_id(&self) -> Option<String> {
        REQUEST_IDS.iter().find_map(|name| self.headers.get(*name)).cloned()
    }
}

impl Aws {
    /// Asks a service for `what`, again when that may help.
    pub(crate) fn call(
        &self,
        request: &Request,
        service: Service,
        what: &str,
    ) -> Result<Answer, AwsError> {
        let (mut retries, mut refreshed) = (0, false);
        loop {
            let error = match self.once(request, service, what) {
                Ok(answer) => return Ok(Answer { retries, ..answer }),
                Err(error) => error,
            };
            let wait = match error.retry() {
                Retry::Refresh if !refreshed && self.forget_credentials() => {
                    refreshed = true;
                    Duration::ZERO
                }
                Retry::Later(after) if retries + 1 < self.attempts() && after <= MOST_WAIT => {
                    after.max(back_off(retries + 1))
                }
                _ => return Err(error),
            };
            if self.wait(wait).is_err() {
                return Err(error);
            }
            retries += 1;
        }
    }

    fn once(&self, request: &Request, service: Service, what: &str) -> Result<Answer, AwsError> {
        let mut response = self.send(request, service)?;
        let status = response.status;
        if !(200..300).contains(&status) {
            let refusal = Box::new(Refusal::read(&mut response));
            return Err(AwsError::Refused { what: what.to_owned(), refusal });
        }
        let headers = response.headers();
        Ok(Answer { status, headers, text: response.text()?, retries: 0 })
    }
}
