//! Bodies: whole, within their limits of size and time, or not at all.

use axum::body::Body;
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::{
    Shared,
    gate::{Gate, HeldBytes},
};
use crate::problem::Problem;

/// A body, and its share of what may be held at one time.
pub(super) struct HeldBody {
    pub(super) bytes: Vec<u8>,
    _held: HeldBytes,
}

/// Reads a body.
///
/// # Errors
/// 413 when it is too large, 408 when it is too slow, 429 when all bodies together are too large, 400 when it breaks
/// off.
pub(super) async fn read(shared: &Shared, headers: &HeaderMap, body: Body) -> Result<HeldBody, Problem> {
    let bytes_max = shared.options.body_bytes_max;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|announced| announced > bytes_max as u64) {
        return Err(Problem::too_large(bytes_max));
    }
    match timeout(shared.options.body_timeout, collect(&shared.gate, bytes_max, body)).await {
        Ok(read) => read,
        Err(_) => {
            let detail = format!("the body did not arrive within {:?}", shared.options.body_timeout);
            Err(Problem::request_timeout(detail))
        }
    }
}

async fn collect(gate: &Gate, bytes_max: usize, mut body: Body) -> Result<HeldBody, Problem> {
    let held = gate.hold_bytes();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let broken = |_| Problem::malformed("the body breaks off");
        // Trailers say nothing here.
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if bytes.len() + data.len() > bytes_max {
            return Err(Problem::too_large(bytes_max));
        }
        // Charged as it arrives: announcing a body costs nobody anything.
        gate.hold_more(&held, data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(HeldBody { bytes, _held: held })
}
