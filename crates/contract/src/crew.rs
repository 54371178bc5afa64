//! Who works for a run beside the run itself: tasks that have to live as long as it does.

use std::collections::HashMap;
use std::future::Future;

use tokio::task::{Id, JoinError, JoinSet};

use crate::adapter::AdapterError;
use crate::context::Stop;

/// The tasks of one run, each a part of it. None of them lives on without the others: whoever runs waits for
/// [`Crew::broke`] beside all else, or a part that is gone would be missed by nobody.
#[derive(Debug)]
pub struct Crew {
    tasks: JoinSet<()>,
    names: HashMap<Id, &'static str>,
    stop: Stop,
}

impl Crew {
    /// Nobody yet. Parts may end once `stop` is announced, and not before.
    pub fn new(stop: Stop) -> Self {
        Self { tasks: JoinSet::new(), names: HashMap::new(), stop }
    }

    /// Starts a part. Its name is told to people: "the taking of transactions".
    pub fn spawn(&mut self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(part);
        self.names.insert(task.id(), name);
    }

    /// Waits until a part has ended that nobody had told to, ends the others, and says which it was; never returns
    /// while all is well. Cancel safe: nothing is awaited once an end is known.
    ///
    /// # Panics
    /// When the part did: its panic goes on here, for whoever counts them and starts the run anew.
    pub async fn broke(&mut self) -> AdapterError {
        loop {
            let Some(ended) = self.tasks.join_next_with_id().await else {
                // Nobody is left, or there never was anybody.
                return std::future::pending().await;
            };
            let name = self.names.remove(&ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id));
            let name = name.unwrap_or("a part of it");
            match ended.map_err(JoinError::try_into_panic) {
                Ok(_) if self.stop.is_stopping() => {}
                Ok(_) | Err(Err(_)) => {
                    self.tasks.abort_all();
                    return AdapterError::Restart(format!("{name} ended although nobody told it to"));
                }
                Err(Ok(panic)) => {
                    self.tasks.abort_all();
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }

    /// Waits for all parts to end by themselves, after `stop` was announced.
    ///
    /// # Panics
    /// When one of them did.
    pub async fn finish(mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(Ok(panic)) = ended.map_err(JoinError::try_into_panic) {
                std::panic::resume_unwind(panic);
            }
        }
    }

    /// Ends all parts where they are.
    pub async fn end(mut self) {
        self.tasks.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::*;
    use crate::context::StopHandle;

    const MOMENT: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_part_that_ends_before_its_time_is_told_and_takes_the_others_along() {
        let (_handle, stop) = StopHandle::new();
        let mut crew = Crew::new(stop);
        let (alive, mut ended) = mpsc::channel::<()>(1);
        crew.spawn("the one that stays", async move {
            std::future::pending::<()>().await;
            drop(alive);
        });
        assert!(timeout(MOMENT, crew.broke()).await.is_err(), "all is well");
        crew.spawn("the one that goes", async {});
        let told = timeout(MOMENT, crew.broke()).await.unwrap();
        let wanted = "the one that goes ended although nobody told it to";
        assert_eq!(told, AdapterError::Restart(wanted.to_owned()));
        assert_eq!(timeout(MOMENT, ended.recv()).await, Ok(None), "the other one is gone as well");
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_of_a_part_goes_on_in_the_run() {
        let (_handle, stop) = StopHandle::new();
        let mut crew = Crew::new(stop);
        // Without the hook that prints a backtrace.
        crew.spawn("the one that fails", async { std::panic::resume_unwind(Box::new("so")) });
        let mut run = JoinSet::new();
        run.spawn(async move { crew.broke().await });
        let ended = timeout(MOMENT, run.join_next()).await.unwrap().unwrap();
        assert!(ended.unwrap_err().is_panic());
    }

    #[tokio::test(start_paused = true)]
    async fn parts_that_end_when_they_are_told_to_are_no_fault() {
        let (handle, stop) = StopHandle::new();
        let mut crew = Crew::new(stop.clone());
        crew.spawn("the one that listens", async move { stop.stopping().await });
        handle.stop();
        assert!(timeout(MOMENT, crew.broke()).await.is_err());
        crew.finish().await;
    }
}
