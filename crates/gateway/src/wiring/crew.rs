//! The gateway's own tasks, and what becomes of it when a bug ends one of them.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use wxgate_contract::Stop;

/// Before a chore that a bug ended is done again. Chosen: nobody waits for a chore, and the log is not filled with one
/// that fails each time.
const AGAIN: Duration = Duration::from_secs(60);

/// Tasks that live as long as the gateway.
pub(super) struct Crew {
    tasks: JoinSet<()>,
    /// The first door that is gone.
    broke: watch::Sender<Option<&'static str>>,
    stop: Stop,
}

impl Crew {
    /// Nobody yet.
    pub(super) fn new(stop: Stop) -> Self {
        Self { tasks: JoinSet::new(), broke: watch::channel(None).0, stop }
    }

    /// What answers people: without it the gateway would look alive and answer nobody.
    pub(super) fn door(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (broke, stop) = (self.broke.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            let has_failed = AssertUnwindSafe(task).catch_unwind().await.is_err();
            if has_failed || !stop.is_stopping() {
                tracing::error!(name, "a part of the gateway ended that nobody had told to");
                broke.send_if_modified(|first| first.replace(name).is_none());
            }
        });
    }

    /// What keeps things in order: a bug in it is no reason to stop what crosses. It is done again after a while.
    pub(super) fn chore<F>(&mut self, name: &'static str, chore: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            while AssertUnwindSafe(chore()).catch_unwind().await.is_err() {
                tracing::error!(name, again_seconds = AGAIN.as_secs(), "a bug ended a chore of the gateway");
                tokio::select! {
                    () = stop.stopping() => return,
                    () = tokio::time::sleep(AGAIN) => {}
                }
            }
        });
    }

    /// Waits until a door is gone, and says which.
    pub(super) async fn broke(&self) -> &'static str {
        match self.broke.subscribe().wait_for(Option::is_some).await.as_deref() {
            Ok(Some(name)) => name,
            // The sender is ours.
            _ => std::future::pending().await,
        }
    }

    /// Waits for all of them, after they were told to stop.
    pub(super) async fn finish(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use wxgate_contract::StopHandle;

    use super::*;

    /// Without the hook that prints a backtrace.
    fn bug() {
        std::panic::resume_unwind(Box::new("the test says so"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_door_that_ends_before_its_time_is_told_and_one_that_is_told_to_end_is_not() {
        let (_handle, stop) = StopHandle::new();
        for task in [async { bug() }.boxed(), async {}.boxed()] {
            let mut crew = Crew::new(stop.clone());
            crew.door("the one that stays", std::future::pending());
            assert!(crew.broke().now_or_never().is_none());
            crew.door("the one that goes", task);
            let told = tokio::time::timeout(AGAIN, crew.broke()).await;
            assert_eq!(told, Ok("the one that goes"));
        }
        let (handle, stop) = StopHandle::new();
        let mut crew = Crew::new(stop.clone());
        crew.door("the one that listens", async move { stop.stopping().await });
        handle.stop();
        assert!(tokio::time::timeout(AGAIN, crew.broke()).await.is_err());
        crew.finish().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_chore_that_a_bug_ends_is_done_again_and_one_that_ends_is_not() {
        let (handle, stop) = StopHandle::new();
        let mut crew = Crew::new(stop);
        let done = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&done);
        crew.chore("the odd one", move || {
            let count = Arc::clone(&count);
            async move {
                if count.fetch_add(1, Ordering::SeqCst) < 2 {
                    bug();
                }
            }
        });
        assert!(tokio::time::timeout(AGAIN * 10, crew.broke()).await.is_err(), "the gateway goes on");
        assert_eq!(done.load(Ordering::SeqCst), 3);
        handle.stop();
        crew.finish().await;
    }
}
