//! The leader's end of the line to one worker: what is said there, and the runs that somebody waits for.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::BufWriter;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{Notify, mpsc, oneshot};
use wxgate_contract::{StopHandle, Timestamp};

use crate::book::WorkerId;
use crate::line::{LineError, Writer};
use crate::served::Served;
use crate::words::{Ended, Reply, RunId, ToWorker};

/// The line to one worker.
pub(crate) struct Line {
    pub(crate) id: WorkerId,
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) since: Timestamp,
    pub(crate) out: mpsc::Sender<ToWorker>,
    pub(crate) first: Urgent,
    /// `None` once the line is gone.
    pub(crate) runs: Mutex<Option<HashMap<RunId, Waiting>>>,
    /// The worker said that it was told to stop.
    pub(crate) is_leaving: AtomicBool,
    /// Cuts it.
    pub(crate) cut: StopHandle,
}

/// What goes before everything else on a line: the last ping to be answered, and runs to be stopped that nobody waits for.
#[derive(Default)]
pub(crate) struct Urgent {
    words: Mutex<(Option<u64>, Vec<RunId>)>,
    changed: Notify,
}

impl Urgent {
    pub(crate) fn pong(&self, number: u64) {
        self.lock().0 = Some(number);
        self.changed.notify_one();
    }

    pub(crate) fn stop(&self, run: RunId) {
        let mut words = self.lock();
        if !words.1.contains(&run) {
            words.1.push(run);
        }
        drop(words);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, (Option<u64>, Vec<RunId>)> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for some, and takes them.
    async fn take(&self) -> (Option<u64>, Vec<RunId>) {
        self.changed.notified().await;
        std::mem::take(&mut *self.lock())
    }
}

/// A run elsewhere that somebody waits for here.
pub(crate) struct Waiting {
    served: Arc<Served>,
    pub(crate) ended: oneshot::Sender<Ended>,
}

impl Line {
    pub(crate) fn runs(&self) -> MutexGuard<'_, Option<HashMap<RunId, Waiting>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False when the line is gone.
    pub(crate) async fn say(&self, word: ToWorker) -> bool {
        self.out.send(word).await.is_ok()
    }

    /// Runs end there because the instance is told to stop.
    pub(crate) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Relaxed)
    }

    /// Begins to wait for a run. The channel closes without a word when the line is gone.
    pub(crate) fn wait_for(&self, run: RunId, served: Arc<Served>) -> oneshot::Receiver<Ended> {
        let (ended, receiver) = oneshot::channel();
        if let Some(runs) = &mut *self.runs() {
            runs.insert(run, Waiting { served, ended });
        }
        receiver
    }

    /// Nobody waits any more; what the run asks from here on is refused.
    pub(crate) fn leave(&self, run: RunId) {
        if self.take(run).is_some() {
            self.first.stop(run);
        }
    }

    pub(crate) fn take(&self, run: RunId) -> Option<Waiting> {
        self.runs().as_mut()?.remove(&run)
    }

    pub(crate) fn served(&self, run: RunId) -> Option<Arc<Served>> {
        self.runs().as_ref()?.get(&run).map(|waiting| Arc::clone(&waiting.served))
    }
}

pub(crate) async fn refuse(
    writer: &mut Writer<BufWriter<OwnedWriteHalf>>,
    why: String,
) -> Result<(), LineError> {
    writer.say(&ToWorker::Refused { why }).await?;
    writer.flush().await
}

/// Says what there is to say, until nobody says anything any more.
pub(crate) async fn speak(
    writer: &mut Writer<BufWriter<OwnedWriteHalf>>,
    before: &Urgent,
    words: &mut mpsc::Receiver<ToWorker>,
) -> Result<(), LineError> {
    loop {
        let word = tokio::select! {
            biased;
            (pong, stop) = before.take() => {
                let stop = stop.into_iter().map(|run| ToWorker::Stop { run });
                for word in pong.map(ToWorker::Pong).into_iter().chain(stop) {
                    writer.say(&word).await?;
                }
                writer.flush().await?;
                continue;
            }
            word = words.recv() => match word {
                Some(word) => word,
                None => return Ok(()),
            },
        };
        match (writer.say(&word).await, word) {
            (Ok(()), _) => {}
            // Nothing was said: the one who asked is told so, and everybody else goes on.
            (Err(error @ (LineError::TooLong(_) | LineError::Word(_))), ToWorker::Answer { call, .. }) => {
                let reply = Reply::Impossible(error.to_string());
                writer.say(&ToWorker::Answer { call, answer: Box::new(reply) }).await?;
            }
            (Err(error), _) => return Err(error),
        }
        if words.is_empty() {
            writer.flush().await?;
        }
    }
}
