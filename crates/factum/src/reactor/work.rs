//! Doing what is to be done, with a limit on its time, and whatever it does to itself contained.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;

use super::Outside;
use crate::{
    consumer::EffectError,
    model::{Delivery, EffectId},
    runtime::{Runtime, panic_text},
    service::STOP_LIMIT_DEFAULT,
    store::BoxFuture,
};

/// How long one attempt at an effect may take.
pub const EFFECT_TIME_MAX: Duration = Duration::from_secs(10);
// What is under way is finished when a service stops.
const _: () = assert!(EFFECT_TIME_MAX.as_secs() < STOP_LIMIT_DEFAULT.as_secs());

/// What is to be done about an event, in this order.
pub(crate) type Todo = Vec<Doing>;

/// One effect of a reactor whose type is forgotten.
pub(crate) struct Doing {
    pub(super) id: EffectId,
    pub(super) perform: Box<dyn Fn(Outside) -> BoxFuture<'static, Result<(), EffectError>> + Send + Sync>,
}

impl Doing {
    /// One attempt at it.
    pub(super) async fn attempt(&self, delivery: &Delivery, runtime: &Runtime) -> Result<(), EffectError> {
        let outside = Outside::new(self.id, delivery.clone(), runtime.clone());
        // A panic over one event must not end the loop for all.
        let attempt = AssertUnwindSafe(async { (self.perform)(outside).await }).catch_unwind();
        match runtime.within(EFFECT_TIME_MAX, attempt).await {
            None => Err(EffectError::Later(format!("effect {} took longer than {EFFECT_TIME_MAX:?}", self.id))),
            Some(Ok(done)) => done,
            Some(Err(panic)) => {
                Err(EffectError::Never(format!("effect {} panicked: {}", self.id, panic_text(panic.as_ref()))))
            }
        }
    }
}
