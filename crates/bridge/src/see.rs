//! What has begun to be stored is seen through, whoever waits for it.
//!
//! The store carries a commit out although nobody waits for its answer any more (a run that is dropped, a sign-out in
//! the middle of a batch). What follows from it, telling faces and waking lanes, would never happen: handed over again
//! the batch is known, and brings no news.

use std::pin::Pin;
use std::task::{Context, Poll};

use wxgate_contract::BoxFuture;

/// Work that is finished by a task of its own when it was begun and then dropped.
pub(crate) struct SeenThrough<T: Send + 'static> {
    work: Option<BoxFuture<'static, T>>,
    has_begun: bool,
}

impl<T: Send + 'static> SeenThrough<T> {
    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self { work: Some(Box::pin(work)), has_begun: false }
    }
}

impl<T: Send + 'static> Future for SeenThrough<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.has_begun = true;
        let Some(work) = &mut self.work else { return Poll::Pending };
        let done = work.as_mut().poll(cx);
        if done.is_ready() {
            self.work = None;
        }
        done
    }
}

impl<T: Send + 'static> Drop for SeenThrough<T> {
    fn drop(&mut self) {
        // Without a runtime the program is at its end.
        let runtime = tokio::runtime::Handle::try_current();
        if let (true, Some(work), Ok(runtime)) = (self.has_begun, self.work.take(), runtime) {
            runtime.spawn(async move { drop(work.await) });
        }
    }
}
