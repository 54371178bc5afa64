//! One joint transaction, and how it is taken apart when somebody's part of it cannot be stored.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;
use wxgate_contract::{
    ChatKey, ChatRef, Committed, DeliveryId, PersonKey, Post, PostFate, PostId, RemoteId, TimelineItem,
    Timestamp,
};

use super::numbers::Numbers;
use super::settle::Claim;
use super::{CommitRequest, SettleRequest, Writer, intake, profiles, rolled_back, settle};
use crate::error::StoreError;
use crate::links;
use crate::names::Names;
use crate::prepare::{Ready, ReadyPost};
use crate::report::{CommitReport, End, SettleReport};
use crate::rows::json;
use crate::tx::{Broken, Tx};

/// What the parts of a transaction need to know.
pub(super) struct Scene<'a> {
    pub(super) names: &'a Names,
    pub(super) now_ms: i64,
    pub(super) numbers: &'a Numbers,
}

/// What was decided about one batch.
#[derive(Default)]
pub(super) struct Decided {
    pub(super) fates: Vec<PostFate>,
    pub(super) shown: Vec<Shown>,
    /// Posts of faces that an echo in this batch made visible.
    pub(super) proven: Vec<TimelineItem>,
    pub(super) lanes: Vec<ChatRef>,
    pub(super) chats: Vec<ChatKey>,
    pub(super) people: Vec<PersonKey>,
    pub(super) damaged: Vec<PostId>,
    /// Links have other members.
    pub(super) relinked: bool,
    /// Deliveries that it proved, of which the table said nothing that makes sense.
    pub(super) mended: Vec<DeliveryId>,
}

/// A post of the batch that is visible from now on.
pub(super) struct Shown {
    pub(super) index: usize,
    pub(super) seq: i64,
    pub(super) post_id: PostId,
    pub(super) fate: wxgate_contract::Fate,
    pub(super) target: Option<PostId>,
    pub(super) native_id: Option<RemoteId>,
}

type Done = (Vec<Decided>, Vec<SettleReport>);

enum Failed {
    /// There is no connection: nothing can be tried.
    Away(StoreError),
    /// Before the commit: nothing was written, the parts can be tried alone.
    Before(StoreError),
    /// At the commit itself: it may have been written all the same.
    Commit(StoreError),
}

/// When this many parts in a row find the database unavailable, the rest is not tried: it is the
/// disk or the server, and not one part that cannot be stored.
const VAIN_TRIES: usize = 2;

impl Writer {
    /// Carries out all requests in one transaction and answers them.
    pub(super) async fn group(&mut self, commits: Vec<CommitRequest>, settles: Vec<SettleRequest>) {
        let is_alone = commits.len() + settles.len() == 1;
        match self.attempt(&commits, &settles).await {
            Ok(done) => answer(commits, settles, done),
            Err(Failed::Before(_)) if !is_alone => self.one_by_one(commits, settles).await,
            failed => answer_each(commits, settles, failed),
        }
    }

    async fn one_by_one(&mut self, commits: Vec<CommitRequest>, settles: Vec<SettleRequest>) {
        let (mut commits, mut settles) = (commits.into_iter(), settles.into_iter());
        let mut in_vain = 0;
        loop {
            let (commit, settle) = match settles.next() {
                Some(settle) => (Vec::new(), vec![settle]),
                None => (commits.next().into_iter().collect(), Vec::new()),
            };
            if commit.is_empty() && settle.is_empty() {
                break;
            }
            let result = self.attempt(&commit, &settle).await;
            let error = match &result {
                Ok(_) => None,
                Err(Failed::Away(error) | Failed::Before(error) | Failed::Commit(error)) => {
                    Some(again(error))
                }
            };
            answer_each(commit, settle, result);
            match error.filter(StoreError::is_unavailable) {
                None => in_vain = 0,
                Some(error) => {
                    in_vain += 1;
                    if in_vain == VAIN_TRIES {
                        let (commits, settles) = (commits.collect(), settles.collect());
                        return answer_each(commits, settles, Err(Failed::Away(error)));
                    }
                }
            }
        }
    }

    async fn attempt(
        &mut self,
        commits: &[CommitRequest],
        settles: &[SettleRequest],
    ) -> Result<Done, Failed> {
        let result = self.try_once(commits, settles).await;
        let end = match &result {
            Ok(_) | Err(Failed::Commit(_)) => End::Kept,
            Err(Failed::Away(_) | Failed::Before(_)) => End::Undone,
        };
        let routes = commits.iter().map(|commit| &commit.route);
        routes.chain(settles.iter().map(|settle| &settle.route)).for_each(|route| route.over(end));
        if let Err(Failed::Away(error) | Failed::Before(error) | Failed::Commit(error)) = &result {
            self.failure.note(self.clock.now(), error);
        }
        result
    }

    async fn try_once(
        &mut self,
        commits: &[CommitRequest],
        settles: &[SettleRequest],
    ) -> Result<Done, Failed> {
        const DOING: &str = "committing";
        let names = std::sync::Arc::clone(&self.names);
        let engine = self.address.engine.clone();
        // Lent for this transaction: the connection borrows the writer.
        let numbers = std::mem::take(&mut self.numbers);
        let scene = Scene { names: &names, now_ms: self.clock.now().ms(), numbers: &numbers };
        let conn = match self.connection().await {
            Ok(conn) => conn,
            Err(error) => {
                self.numbers = numbers;
                return Err(Failed::Away(error));
            }
        };
        let work = async {
            let mut tx = Tx::begin(conn);
            let done = Box::pin(scene.carry_out(&mut tx, commits, settles)).await.map_err(Failed::Before)?;
            match tx.commit(DOING).await {
                Ok(()) => Ok(done),
                Err(Broken { error, at_commit: true }) => Err(Failed::Commit(error)),
                Err(Broken { error, at_commit: false }) => Err(Failed::Before(error)),
            }
        };
        let result = match engine.patience() {
            None => work.await,
            Some(patience) => tokio::time::timeout(patience, work).await.unwrap_or_else(|_| {
                Err(Failed::Commit(StoreError::unavailable(DOING, "the server does not answer")))
            }),
        };
        if result.is_err() {
            numbers.forget();
        }
        let is_sound = match &result {
            Ok(_) => true,
            Err(Failed::Commit(_) | Failed::Away(_)) => false,
            Err(Failed::Before(_)) => rolled_back(conn).await,
        };
        if !is_sound {
            self.broke();
        }
        self.numbers = numbers;
        result
    }
}

impl Scene<'_> {
    async fn carry_out(
        &self,
        tx: &mut Tx<'_>,
        commits: &[CommitRequest],
        settles: &[SettleRequest],
    ) -> Result<Done, StoreError> {
        // Outcomes first: the ids they bring are known when a batch shows us our own posts.
        let mut claims: Vec<Claim> = settles.iter().map(Claim::outcome).collect();
        let mut echoes = Vec::new();
        for (c, commit) in commits.iter().enumerate() {
            for (p, post) in commit.ready.posts.iter().enumerate() {
                if let Some(delivery) = post.post.echo_of {
                    claims.push(Claim::echo(
                        commit.ready.number,
                        delivery,
                        &post.post.remote_id,
                        &commit.route,
                    ));
                    echoes.push((c, p));
                }
            }
        }
        let mut settled = match claims.is_empty() {
            true => Vec::new(),
            false => settle::all(self, tx.conn("settling deliveries").await?, claims).await?,
        };
        let proofs = settled.split_off(settles.len());
        let mut decided: Vec<Decided> = commits.iter().map(|_| Decided::default()).collect();
        let mut known = HashMap::new();
        for (place, proof) in echoes.into_iter().zip(proofs) {
            if let (Some(post), Some(decided)) = (proof.post, decided.get_mut(place.0)) {
                known.insert(place, post);
                decided.proven.extend(proof.report.shown);
                decided.lanes.extend(proof.report.lanes);
                decided.damaged.extend(proof.report.damaged.map(|(post, _)| post));
                let echoed = commits.get(place.0).and_then(|commit| commit.ready.posts.get(place.1));
                let echoed = echoed.and_then(|post| post.post.echo_of);
                decided.mended.extend(echoed.filter(|_| proof.report.mended));
            }
        }
        let batches: Vec<&Ready> = commits.iter().map(|commit| &commit.ready).collect();
        profiles::write(self, tx, &batches, &mut decided).await?;
        intake::all(self, tx, commits, &known, &mut decided).await?;
        for (batch, decided) in batches.iter().zip(&mut decided) {
            decided.relinked = links::follow(tx, batch).await?;
        }
        let mut reports: Vec<SettleReport> = settled.into_iter().map(|settled| settled.report).collect();
        self.tell_failures(tx, settles, &mut reports).await?;
        Ok((decided, reports))
    }

    /// Writes what is said about deliveries that came to nothing.
    async fn tell_failures(
        &self,
        tx: &mut Tx<'_>,
        settles: &[SettleRequest],
        reports: &mut [SettleReport],
    ) -> Result<(), StoreError> {
        let (mut notices, mut places) = (Vec::new(), Vec::new());
        for (place, (settle, report)) in settles.iter().zip(&*reports).enumerate() {
            let Some(failed) = &report.failed else { continue };
            let notice = settle.route.notice(settle.delivery, failed, Timestamp(self.now_ms));
            let Some(post) = notice else { continue };
            // A network that has posts has a number.
            let Some(number) = self.names.known(&post.chat.network) else { continue };
            notices.push(as_batch(post, number, settle)?);
            places.push(place);
        }
        if notices.is_empty() {
            return Ok(());
        }
        let mut decided: Vec<Decided> = notices.iter().map(|_| Decided::default()).collect();
        intake::all(self, tx, &notices, &HashMap::new(), &mut decided).await?;
        for ((place, notice), decided) in places.into_iter().zip(notices).zip(decided) {
            let told = report(notice.ready, decided);
            if let Some(settled) = reports.get_mut(place) {
                settled.shown.extend(told.shown);
                settled.lanes.extend(told.lanes);
            }
        }
        Ok(())
    }
}

/// A word of the gateway, as its chat's own network would hand it over.
fn as_batch(post: Post, number: i64, settle: &SettleRequest) -> Result<CommitRequest, StoreError> {
    let (network, json) = (post.chat.network.clone(), json(&post)?);
    let ready = Ready {
        network,
        number,
        bytes: json.len(),
        posts: vec![ReadyPost { post, chat_network: number, json }],
        notes: Vec::new(),
        chats: Vec::new(),
        people: Vec::new(),
        media: Vec::new(),
        follows: Vec::new(),
    };
    // Whoever settles is told; nobody waits for this answer.
    let (answer, _) = oneshot::channel();
    Ok(CommitRequest { ready, route: Arc::clone(&settle.route), answer })
}

fn answer(commits: Vec<CommitRequest>, settles: Vec<SettleRequest>, done: Done) {
    // An error of `send` means that nobody waits for the answer any more; the commit stands.
    for (request, decided) in commits.into_iter().zip(done.0) {
        let _ = request.answer.send(Ok(report(request.ready, decided)));
    }
    for (request, report) in settles.into_iter().zip(done.1) {
        let _ = request.answer.send(Ok(report));
    }
}

fn answer_each(commits: Vec<CommitRequest>, settles: Vec<SettleRequest>, result: Result<Done, Failed>) {
    let error = match result {
        Ok(done) => return answer(commits, settles, done),
        Err(Failed::Away(error) | Failed::Before(error) | Failed::Commit(error)) => error,
    };
    for request in commits {
        let _ = request.answer.send(Err(again(&error)));
    }
    for request in settles {
        let _ = request.answer.send(Err(again(&error)));
    }
}

/// The same error for another one who waits.
fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Unavailable { doing, source } => StoreError::unavailable(doing, source.to_string()),
        StoreError::Conflict { what } => StoreError::Conflict { what: what.clone() },
        StoreError::Taken { what } => StoreError::Taken { what: what.clone() },
        StoreError::Corrupt { table, row } => StoreError::Corrupt { table, row: row.clone() },
        StoreError::Sealed { network, key } => {
            StoreError::Sealed { network: network.clone(), key: key.clone() }
        }
        StoreError::Schema { what } => StoreError::Schema { what: what.clone() },
        StoreError::Invalid { what } => StoreError::Invalid { what: what.clone() },
    }
}

fn report(ready: Ready, decided: Decided) -> CommitReport {
    let mut posts: Vec<Option<wxgate_contract::Post>> =
        ready.posts.into_iter().map(|ready| Some(ready.post)).collect();
    let mut shown = decided.proven;
    for item in decided.shown {
        let Some(post) = posts.get_mut(item.index).and_then(Option::take) else { continue };
        shown.push(TimelineItem {
            seq: item.seq,
            post_id: item.post_id,
            origin: ready.network.clone(),
            native_id: item.native_id,
            post,
            fate: item.fate,
            target: item.target,
            is_recalled: false,
        });
    }
    shown.sort_by_key(|item| item.seq);
    CommitReport {
        committed: Committed { posts: decided.fates },
        shown,
        lanes: decided.lanes,
        chats: decided.chats,
        people: decided.people,
        damaged: decided.damaged,
        mended: decided.mended,
        relinked: decided.relinked,
    }
}
