//! What became of deliveries: lanes move on, remote ids are learned, faces' posts become visible.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use wxgate_contract::{
    DeliveryId, Fate, NetworkId, Outcome, Post, PostId, RemoteId, TimelineItem, Timestamp,
};

use super::SettleRequest;
use super::fanout::{self, Heard};
use super::group::Scene;
use super::relayed;
use crate::error::StoreError;
use crate::limits::without_nul;
use crate::prepare::{chat_ref, is_recall};
use crate::report::{FailedDelivery, Route, SettleReport};
use crate::sql::{Columns, Many, Value, row};

const DOING: &str = "settling deliveries";

/// Somebody says what became of a delivery.
pub(super) struct Claim {
    number: i64,
    delivery: i64,
    outcome: Outcome,
    route: Arc<dyn Route>,
    /// The network itself showed us the delivery: stronger than any doubt before.
    is_proof: bool,
}

impl Claim {
    pub(super) fn outcome(request: &SettleRequest) -> Self {
        let mut outcome = request.outcome.clone();
        match &mut outcome {
            Outcome::Sent { .. } => {}
            Outcome::TryLater { why, .. } | Outcome::Refused { why } | Outcome::Uncertain { why } => {
                *why = without_nul(why);
            }
        }
        let route = Arc::clone(&request.route);
        Self { number: request.number, delivery: request.delivery.0, outcome, route, is_proof: false }
    }

    pub(super) fn echo(
        number: i64,
        delivery: DeliveryId,
        remote_id: &RemoteId,
        route: &Arc<dyn Route>,
    ) -> Self {
        let outcome = Outcome::Sent { remote_ids: vec![remote_id.clone()] };
        Self { number, delivery: delivery.0, outcome, route: Arc::clone(route), is_proof: true }
    }
}

/// The answer to a claim.
#[derive(Default)]
pub(super) struct Settled {
    pub(super) report: SettleReport,
    /// The post of the delivery; `None` when the delivery is not known.
    pub(super) post: Option<i64>,
}

/// How far a delivery is, as `delivery.state` has it.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Open = 0,
    Sent = 1,
    Refused = 2,
    Uncertain = 3,
}

struct Row {
    network: i64,
    chat: String,
    post: i64,
    attempt: i64,
    due_ms: i64,
    closed_ms: Option<i64>,
    state: State,
    /// The table had a number for it that means nothing.
    is_mended: bool,
    why: Option<String>,
    said: Option<Said>,
    /// The lane is a chat of an account, whose owner reads a timeline.
    has_timeline: bool,
    is_changed: bool,
}

/// The post behind a delivery.
struct Said {
    origin: i64,
    network: i64,
    chat: String,
    shown_seq: Option<i64>,
    fate: i64,
    why: Option<String>,
    target: Option<i64>,
    native_id: Option<String>,
    json: String,
    is_changed: bool,
}

impl Row {
    /// This delivery brings a face's post to the chat it was said in.
    fn is_home(&self) -> bool {
        self.said.as_ref().is_some_and(|said| {
            said.network == self.network && said.chat == self.chat && said.origin != said.network
        })
    }
}

/// `fate` as `post.fate` has it.
pub(super) fn fate_number(fate: &Fate) -> i64 {
    match fate {
        Fate::Said => 1,
        Fate::NotDelivered { .. } => 2,
        Fate::MaybeDelivered { .. } => 3,
    }
}

pub(super) fn fate_why(fate: &Fate) -> Option<&str> {
    match fate {
        Fate::Said => None,
        Fate::NotDelivered { why } | Fate::MaybeDelivered { why } => Some(why),
    }
}

/// Carries out claims in order; one answer for each.
pub(super) async fn all(
    scene: &Scene<'_>,
    tx: &mut AnyConnection,
    claims: Vec<Claim>,
) -> Result<Vec<Settled>, StoreError> {
    if claims.is_empty() {
        return Ok(Vec::new());
    }
    let mut rows = load(tx, &claims).await?;
    let mut learned = Learned::default();
    let mut answers = Vec::with_capacity(claims.len());
    for claim in claims {
        let found = rows.get_mut(&claim.delivery).filter(|row| row.network == claim.number);
        learned.index = answers.len();
        let Some(row) = found else {
            answers.push(Settled::default());
            continue;
        };
        answers.push(one(scene, tx, claim, row, &mut learned).await?);
    }
    let known = std::mem::take(&mut learned.known);
    store(tx, rows, learned).await?;
    tell_mirrors(scene, tx, &known, &mut answers).await?;
    Ok(answers)
}

/// What outcomes teach besides the deliveries' own rows.
#[derive(Default)]
struct Learned {
    ids: Vec<[Value; 5]>,
    recalled: Vec<i64>,
    /// Which claim is looked at.
    index: usize,
    known: Vec<KnownFate>,
}

/// The fate of a face's post is known now, or another than before.
struct KnownFate {
    index: usize,
    post_id: i64,
    origin: (i64, NetworkId),
    chat_network: i64,
    post: Post,
    target: Option<i64>,
    fate: Fate,
    /// Its ids on the chat's own network.
    native_ids: Vec<RemoteId>,
    /// It became visible by it.
    is_new: bool,
    route: Arc<dyn Route>,
}

/// A face's post that became visible is shown by the networks that mirror its chat; whoever said
/// it through such a network is told what became of it.
async fn tell_mirrors(
    scene: &Scene<'_>,
    tx: &mut AnyConnection,
    known: &[KnownFate],
    answers: &mut [Settled],
) -> Result<(), StoreError> {
    let (mut heard, mut orders) = (Vec::new(), Vec::new());
    for fate in known {
        let new = fate.heard();
        if fate.route.wants_reports(&fate.origin.1) {
            orders.push(fanout::report(scene, &new, fate.fate.clone())?);
        }
        if fate.is_new && !matches!(fate.fate, Fate::NotDelivered { .. }) && !new.targets.is_empty() {
            heard.push(new);
        }
    }
    orders.extend(fanout::orders(scene, tx, &heard).await?);
    fanout::write(scene, tx, &orders).await?;
    for order in orders {
        if let Some(settled) = answers.get_mut(order.index)
            && !settled.report.lanes.contains(&order.lane)
        {
            settled.report.lanes.push(order.lane);
        }
    }
    Ok(())
}

impl KnownFate {
    fn heard(&self) -> Heard<'_> {
        Heard {
            index: self.index,
            post_id: self.post_id,
            origin: (self.origin.0, &self.origin.1),
            chat_network: self.chat_network,
            post: &self.post,
            target: self.target,
            native_ids: &self.native_ids,
            route: &*self.route,
            targets: fanout::mirrors(&*self.route, &self.post.chat, &self.origin.1),
        }
    }
}

async fn one(
    scene: &Scene<'_>,
    tx: &mut AnyConnection,
    claim: Claim,
    row: &mut Row,
    learned: &mut Learned,
) -> Result<Settled, StoreError> {
    let network = scene.names.name(tx, row.network).await?;
    let lane = chat_ref(network, row.chat.clone());
    let mut report =
        SettleReport { lane: Some(lane.clone()), mended: row.is_mended, ..SettleReport::default() };
    let was_open = row.state == State::Open;
    if let Outcome::Sent { remote_ids } = &claim.outcome {
        learn_ids(row, remote_ids, learned);
    }
    let overrules = claim.is_proof && row.state != State::Sent;
    if !was_open && !overrules {
        return Ok(Settled { report, post: Some(row.post) });
    }
    row.is_changed = true;
    if let Outcome::TryLater { after, why } = &claim.outcome {
        let due = Timestamp(scene.now_ms).after(*after);
        (row.due_ms, row.attempt, row.why) = (due.ms(), row.attempt + 1, Some(why.clone()));
        report.retry_at = Some(due);
        return Ok(Settled { report, post: Some(row.post) });
    }
    let (state, why, fate) = match &claim.outcome {
        Outcome::Sent { .. } | Outcome::TryLater { .. } => (State::Sent, None, Fate::Said),
        Outcome::Refused { why } => (State::Refused, Some(why), Fate::NotDelivered { why: why.clone() }),
        Outcome::Uncertain { why } => {
            (State::Uncertain, Some(why), Fate::MaybeDelivered { why: why.clone() })
        }
    };
    (row.state, row.why, row.closed_ms) = (state, why.cloned(), Some(scene.now_ms));
    report.closed = was_open;
    let (is_home, post_id) = (row.is_home(), PostId(row.post));
    let is_relayed = !is_home && row.has_timeline && state != State::Refused;
    if let Some(said) = &mut row.said {
        let needs_post = is_home || is_relayed || (was_open && state != State::Sent);
        if needs_post {
            // One that is damaged stays so: whoever brings the outcome would bring it for ever.
            let Ok(post) = serde_json::from_str::<Post>(&said.json) else {
                let home = scene.names.name(tx, said.network).await?;
                report.damaged = Some((post_id, chat_ref(home, said.chat.clone())));
                return Ok(Settled { report, post: Some(post_id.0) });
            };
            let origin = scene.names.name(tx, said.origin).await?;
            if was_open && state != State::Sent {
                let (post, origin, target) = (post.clone(), origin.clone(), lane.clone());
                report.failed =
                    Some(FailedDelivery { post_id, origin, post, target, outcome: claim.outcome.clone() });
            }
            if is_home {
                if fate == Fate::Said && is_recall(&post) {
                    learned.recalled.extend(said.target);
                }
                learned.known.push(KnownFate {
                    index: learned.index,
                    post_id: post_id.0,
                    origin: (said.origin, origin.clone()),
                    chat_network: said.network,
                    post: post.clone(),
                    target: said.target,
                    fate: fate.clone(),
                    native_ids: ids_of(&claim.outcome),
                    is_new: said.shown_seq.is_none(),
                    route: claim.route,
                });
                report.shown.extend(show(scene, tx, said, post_id, origin, post, fate).await?);
            } else if is_relayed {
                let native_id = match &claim.outcome {
                    Outcome::Sent { remote_ids } => remote_ids.first().cloned(),
                    _ => None,
                };
                let target = said.target.map(PostId);
                let item = TimelineItem {
                    seq: 0,
                    post_id,
                    origin,
                    post,
                    fate,
                    target,
                    native_id,
                    is_recalled: false,
                };
                let origin = (said.origin, item.origin.clone());
                let place = (claim.number, lane);
                let shown = relayed::show(scene, tx, place, said.network, item).await?;
                // Networks that mirror the account get it as they get all of its timeline.
                learned.known.extend(shown.as_ref().map(|item| KnownFate {
                    index: learned.index,
                    post_id: post_id.0,
                    origin,
                    chat_network: claim.number,
                    post: item.post.clone(),
                    target: said.target,
                    fate: item.fate.clone(),
                    native_ids: ids_of(&claim.outcome),
                    is_new: true,
                    route: claim.route,
                }));
                report.shown.extend(shown);
            }
        }
    }
    Ok(Settled { report, post: Some(post_id.0) })
}

/// Makes a face's post visible, or corrects the fate of one that is.
async fn show(
    scene: &Scene<'_>,
    tx: &mut AnyConnection,
    said: &mut Said,
    post_id: PostId,
    origin: wxgate_contract::NetworkId,
    post: Post,
    fate: Fate,
) -> Result<Option<TimelineItem>, StoreError> {
    said.is_changed = true;
    said.fate = fate_number(&fate);
    said.why = fate_why(&fate).map(str::to_owned);
    if said.shown_seq.is_some() {
        return Ok(None);
    }
    let seq = scene.numbers.take(tx, 1).await?;
    said.shown_seq = Some(seq);
    let native_id = said.native_id.as_deref().map(RemoteId::from);
    let target = said.target.map(PostId);
    Ok(Some(TimelineItem { seq, post_id, origin, post, fate, target, native_id, is_recalled: false }))
}

fn ids_of(outcome: &Outcome) -> Vec<RemoteId> {
    match outcome {
        Outcome::Sent { remote_ids } => remote_ids.clone(),
        _ => Vec::new(),
    }
}

fn learn_ids(row: &mut Row, remote_ids: &[RemoteId], learned: &mut Learned) {
    for (id, piece) in remote_ids.iter().zip(1_i64..) {
        learned.ids.push(row![row.network, id.as_str(), row.post, piece, &*row.chat]);
    }
    if row.is_home()
        && let Some(said) = &mut row.said
        && let (None, Some(first)) = (&said.native_id, remote_ids.first())
    {
        said.native_id = Some(first.as_str().to_owned());
        said.is_changed = true;
    }
}

async fn load(tx: &mut AnyConnection, claims: &[Claim]) -> Result<HashMap<i64, Row>, StoreError> {
    let mut ids: Vec<i64> = claims.iter().map(|claim| claim.delivery).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut many = Many::new(
        "WITH w (id) AS (VALUES ",
        ") SELECT d.id, d.network, d.chat, d.post, d.attempt, d.due_ms, d.closed_ms, d.state, d.why, \
         p.origin, p.network, p.chat, p.shown_seq, p.fate, p.why, p.target, p.native_id, p.post, \
         CASE WHEN a.network IS NULL THEN CAST(0 AS BIGINT) ELSE CAST(1 AS BIGINT) END \
         FROM w JOIN delivery d ON d.id = w.id LEFT JOIN post p ON p.id = d.post \
         LEFT JOIN account a ON a.network = d.network",
    );
    for id in ids {
        many.push(row![id]);
    }
    let found = many.fetch(tx, DOING).await?;
    found.iter().map(|row| Ok((row.at(0)?, delivery_row(row)?))).collect()
}

fn delivery_row(row: &AnyRow) -> Result<Row, StoreError> {
    let closed_ms: Option<i64> = row.at(6)?;
    let (state, is_mended) = match (row.at::<i64>(7)?, closed_ms) {
        (0, _) => (State::Open, false),
        (1, _) => (State::Sent, false),
        (2, _) => (State::Refused, false),
        (3, _) => (State::Uncertain, false),
        // An error here would come again for ever, whoever brings the outcome, or the message that shows it: lanes go
        // by the time of closing, so that says which it is.
        (_, None) => (State::Open, true),
        (_, Some(_)) => (State::Uncertain, true),
    };
    let said = match row.at::<Option<i64>>(9)? {
        None => None,
        Some(origin) => Some(Said {
            origin,
            network: row.at(10)?,
            chat: row.at(11)?,
            shown_seq: row.at(12)?,
            fate: row.at(13)?,
            why: row.at(14)?,
            target: row.at(15)?,
            native_id: row.at(16)?,
            json: row.at(17)?,
            is_changed: false,
        }),
    };
    Ok(Row {
        network: row.at(1)?,
        chat: row.at(2)?,
        post: row.at(3)?,
        attempt: row.at(4)?,
        due_ms: row.at(5)?,
        closed_ms,
        state,
        is_mended,
        why: row.at(8)?,
        said,
        has_timeline: row.at::<i64>(18)? != 0,
        is_changed: false,
    })
}

async fn store(tx: &mut AnyConnection, rows: HashMap<i64, Row>, learned: Learned) -> Result<(), StoreError> {
    let mut ids = Many::new(
        "INSERT INTO remote_id (network, remote_id, post, piece, chat) VALUES ",
        " ON CONFLICT (network, remote_id) DO NOTHING",
    );
    learned.ids.into_iter().for_each(|id| ids.push(id));
    ids.run(tx, DOING).await?;
    let mut deliveries = Many::new(
        "WITH w (id, state, attempt, due_ms, closed_ms, why) AS (VALUES ",
        ") UPDATE delivery SET state = w.state, attempt = w.attempt, due_ms = w.due_ms, \
         closed_ms = w.closed_ms, why = w.why, \
         job = CASE WHEN w.closed_ms IS NULL THEN delivery.job ELSE '' END \
         FROM w WHERE delivery.id = w.id",
    );
    let mut posts = Many::new(
        "WITH w (id, shown_seq, fate, why, native_id) AS (VALUES ",
        ") UPDATE post SET shown_seq = w.shown_seq, fate = w.fate, why = w.why, native_id = w.native_id \
         FROM w WHERE post.id = w.id",
    );
    let mut changed: Vec<(i64, Row)> = rows.into_iter().collect();
    changed.sort_by_key(|(id, _)| *id);
    for (id, row) in changed {
        if row.is_changed {
            let why = row.why.as_deref();
            deliveries.push(row![id, row.state as i64, row.attempt, row.due_ms, row.closed_ms, why]);
        }
        if let Some(said) = row.said.filter(|said| said.is_changed) {
            posts.push(row![
                row.post,
                said.shown_seq,
                said.fate,
                said.why.as_deref(),
                said.native_id.as_deref()
            ]);
        }
    }
    deliveries.run(tx, DOING).await?;
    posts.run(tx, DOING).await?;
    recalls(learned.recalled).run(tx, DOING).await.map(|_| ())
}

/// Later readers see that these posts were taken back.
pub(super) fn recalls(posts: Vec<i64>) -> Many {
    let mut many = Many::new("UPDATE post SET is_recalled = 1 WHERE id IN (VALUES ", ")");
    posts.into_iter().for_each(|post| many.push(row![post]));
    many
}
