use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::error::RequestError;
use super::{MAX_HELD_BYTES, MAX_PAYLOAD_BYTES};

/// Longest wait for room, and for the next bytes of a body.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes that count against an allowance for as long as anybody has them.
struct Held {
    bytes: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a whole body, at most [`MAX_PAYLOAD_BYTES`], into room of `allowance` (KiB).
pub(super) async fn read(
    mut body: Body,
    announced: Option<usize>,
    allowance: &Arc<Semaphore>,
) -> Result<Bytes, RequestError> {
    let announced = announced.unwrap_or(0);
    let mut room = room(allowance, announced).await?;
    let mut bytes = Vec::with_capacity(announced);
    loop {
        let frame = timeout(PATIENCE, body.frame()).await;
        let frame = frame.map_err(|_| RequestError::Body("it stopped on the way".into()))?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| RequestError::Body(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        let missing = (bytes.len() + data.len()).saturating_sub(room.num_permits() << 10);
        if missing > 0 {
            room.merge(self::room(allowance, missing).await?);
        }
        if bytes.len() + data.len() > MAX_PAYLOAD_BYTES {
            return Err(RequestError::TooLarge { most_mib: MAX_PAYLOAD_BYTES >> 20 });
        }
        bytes.extend_from_slice(&data);
    }
    if bytes.is_empty() {
        return Ok(Bytes::new());
    }
    Ok(Bytes::from_owner(Held { bytes, _room: room }))
}

async fn room(
    allowance: &Arc<Semaphore>,
    bytes: usize,
) -> Result<OwnedSemaphorePermit, RequestError> {
    if bytes > MAX_PAYLOAD_BYTES {
        return Err(RequestError::TooLarge { most_mib: MAX_PAYLOAD_BYTES >> 20 });
    }
    let full =
        || RequestError::Full { most_mib: MAX_HELD_BYTES >> 20, seconds: PATIENCE.as_secs() };
    let kib = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX);
    let room = timeout(PATIENCE, allowance.clone().acquire_many_owned(kib)).await;
    room.map_err(|_| full())?.map_err(|_| full())
}
