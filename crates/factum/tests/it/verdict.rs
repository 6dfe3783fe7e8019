//! What a contract suite says of an implementation that breaks it.

use std::{future::Future, panic::AssertUnwindSafe};

/// What a suite complains about.
pub async fn complaint(suite: impl Future<Output = ()>) -> String {
    let mut suite = std::pin::pin!(suite);
    let judged =
        std::future::poll_fn(|cx| match std::panic::catch_unwind(AssertUnwindSafe(|| suite.as_mut().poll(cx))) {
            Ok(std::task::Poll::Pending) => std::task::Poll::Pending,
            Ok(std::task::Poll::Ready(())) => std::task::Poll::Ready(None),
            Err(payload) => std::task::Poll::Ready(payload.downcast::<String>().ok()),
        });
    *judged.await.expect("the suite found nothing")
}
