//! Reading lanes: the deliveries themselves stay here until somebody carries them out.

use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use wxgate_contract::{ChatRef, Delivery, DeliveryId, Job, NetworkId, PostId, RemoteId, Timestamp};

use crate::error::StoreError;
use crate::prepare::chat_ref;
use crate::report::LaneStats;
use crate::sql::{self, Columns, Many, row};
use crate::store::Store;

impl Store {
    /// Every lane with an open delivery, and when the oldest one is due; in no order.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn open_lanes(&self) -> Result<Vec<(ChatRef, Timestamp)>, StoreError> {
        const DOING: &str = "reading the open lanes";
        let mut conn = self.reader(DOING).await?;
        let text = "SELECT d.network, d.chat, d.due_ms FROM (SELECT MIN(id) AS id FROM delivery \
                    WHERE closed_ms IS NULL GROUP BY network, chat) o JOIN delivery d ON d.id = o.id";
        let mut lanes = Vec::new();
        for row in sql::fetch(&mut conn, DOING, text, []).await? {
            let network = self.0.names.name(&mut conn, row.at(0)?).await?;
            lanes.push((chat_ref(network, row.at(1)?), Timestamp(row.at(2)?)));
        }
        Ok(lanes)
    }

    /// The oldest open delivery of a lane, and when it is due.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read, `Corrupt` when the job makes no sense.
    pub async fn next_in_lane(&self, lane: &ChatRef) -> Result<Option<(Delivery, Timestamp)>, StoreError> {
        self.check_held(DOING)?;
        let Some(number) = self.find(&lane.network).await? else { return Ok(None) };
        let mut conn = self.reader(DOING).await?;
        next(&mut conn, number, lane).await
    }

    /// The same of each of several lanes of one network, read one after the other: taking a connection
    /// and giving it back costs as much as reading.
    pub async fn next_in_lanes(
        &self,
        lanes: Vec<ChatRef>,
    ) -> Vec<(ChatRef, Result<Option<(Delivery, Timestamp)>, StoreError>)> {
        let mut read = Vec::with_capacity(lanes.len());
        let mut lanes = lanes.into_iter();
        // The first one tells what is wrong, and the others have to ask for themselves.
        let Some(first) = lanes.as_slice().first() else { return read };
        let is_held = self.check_held(DOING).is_ok();
        if is_held
            && let (Ok(Some(number)), Ok(mut conn)) =
                (self.find(&first.network).await, self.reader(DOING).await)
        {
            for lane in lanes.by_ref() {
                let next = next(&mut conn, number, &lane).await;
                read.push((lane, next));
            }
        }
        for lane in lanes {
            let next = self.next_in_lane(&lane).await;
            read.push((lane, next));
        }
        read
    }

    /// What waits in a lane behind a delivery of it, oldest first, at most `limit`, and only up to what cannot be read:
    /// that has its turn when the lane comes to it.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn behind(
        &self,
        lane: &ChatRef,
        delivery: DeliveryId,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        self.check_held(DOING)?;
        let Some(number) = self.find(&lane.network).await? else { return Ok(Vec::new()) };
        let mut conn = self.reader(DOING).await?;
        let text = "SELECT id, attempt, job FROM delivery \
                    WHERE network = $1 AND chat = $2 AND closed_ms IS NULL AND id > $3 ORDER BY id LIMIT $4";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = row![number, lane.chat.as_str(), delivery.0, limit];
        let mut behind = Vec::new();
        for row in sql::fetch(&mut conn, DOING, text, values).await? {
            let found = read(&mut conn, (number, lane), (row.at(0)?, row.at(1)?, row.at(2)?)).await;
            match found {
                Ok(delivery) => behind.push(delivery),
                Err(StoreError::Corrupt { .. }) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(behind)
    }

    /// Closes a delivery of which nothing can be read, so that its lane goes on. What can be read is settled.
    ///
    /// # Errors
    /// `Unavailable` when nothing was changed.
    pub async fn discard(&self, delivery: DeliveryId, why: &'static str) -> Result<(), StoreError> {
        const DOING: &str = "closing a damaged delivery";
        // 2: refused, as `settle` writes it.
        let text = "UPDATE delivery SET state = 2, why = $1, closed_ms = $2, job = '' WHERE id = $3 AND closed_ms IS NULL";
        let values = row![why, self.0.clock.now().ms(), delivery.0];
        self.writer()?
            .transaction(DOING, move |tx| Box::pin(async move { sql::run(tx, DOING, text, values).await }))
            .await
            .map(drop)
    }

    /// Open deliveries by network, in name order; for people who look now and then: all that are open are counted.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn lane_stats(&self) -> Result<Vec<LaneStats>, StoreError> {
        let mut conn = self.reader(COUNTING).await?;
        let rows = sql::fetch(&mut conn, COUNTING, ALL_OPEN, []).await?;
        self.stats(&mut conn, &rows).await
    }

    /// The same of some networks, of which alone the open deliveries are counted.
    ///
    /// # Errors
    /// As [`Store::lane_stats`].
    pub async fn lane_stats_of(&self, networks: &[NetworkId]) -> Result<Vec<LaneStats>, StoreError> {
        let mut many = Many::new(OPEN_OF.0, OPEN_OF.1);
        for network in networks {
            if let Some(number) = self.find(network).await? {
                many.push(row![number]);
            }
        }
        let mut conn = self.reader(COUNTING).await?;
        let rows = many.fetch(&mut conn, COUNTING).await?;
        self.stats(&mut conn, &rows).await
    }

    async fn stats(&self, conn: &mut AnyConnection, rows: &[AnyRow]) -> Result<Vec<LaneStats>, StoreError> {
        let mut stats = Vec::with_capacity(rows.len());
        for row in rows {
            let network = self.0.names.name(conn, row.at(0)?).await?;
            let open = u64::try_from(row.at::<i64>(1)?).unwrap_or(0);
            stats.push(LaneStats { network, open, oldest: Timestamp(row.at(2)?) });
        }
        stats.sort_by(|a, b| a.network.cmp(&b.network));
        Ok(stats)
    }

    /// Asks the database for nothing but an answer.
    ///
    /// # Errors
    /// `Unavailable` when it gives none.
    pub async fn answers(&self) -> Result<(), StoreError> {
        const DOING: &str = "asking whether the database answers";
        let mut conn = self.reader(DOING).await?;
        sql::fetch(&mut conn, DOING, "SELECT 1", []).await.map(drop)
    }
}

const COUNTING: &str = "counting open deliveries";

/// Numbers grow with time, so the oldest has the least. The index of open deliveries has all of this, but for one row
/// of each network.
macro_rules! open {
    ($from:literal) => {
        concat!(
            "SELECT o.network, o.open, d.created_ms FROM (SELECT d.network AS network, COUNT(*) AS open, ",
            "MIN(d.id) AS first FROM ",
            $from,
            " WHERE d.closed_ms IS NULL GROUP BY d.network) o JOIN delivery d ON d.id = o.first"
        )
    };
}

const ALL_OPEN: &str = open!("delivery d");
const OPEN_OF: (&str, &str) =
    ("WITH w (network) AS (VALUES ", concat!(") ", open!("w JOIN delivery d ON d.network = w.network")));

/// The oldest open delivery of a lane, when there is one, and when it is due.
type Next = Result<Option<(Delivery, Timestamp)>, StoreError>;

const DOING: &str = "reading a lane";

async fn next(conn: &mut AnyConnection, number: i64, lane: &ChatRef) -> Next {
    let text = "SELECT id, attempt, due_ms, job FROM delivery \
                WHERE network = $1 AND chat = $2 AND closed_ms IS NULL ORDER BY id LIMIT 1";
    let rows = sql::fetch(conn, DOING, text, row![number, lane.chat.as_str()]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let delivery = read(conn, (number, lane), (row.at(0)?, row.at(1)?, row.at(3)?)).await?;
    Ok(Some((delivery, Timestamp(row.at(2)?))))
}

/// A delivery of a lane, from its id, its attempt and its job.
async fn read(
    conn: &mut AnyConnection,
    (number, lane): (i64, &ChatRef),
    (id, attempt, job): (i64, i64, String),
) -> Result<Delivery, StoreError> {
    let mut job: Job = serde_json::from_str(&job).map_err(|_| StoreError::corrupt("delivery", id))?;
    resolve(conn, (number, lane.chat.as_str()), &mut job).await?;
    let attempt = u32::try_from(attempt).unwrap_or(u32::MAX);
    Ok(Delivery { id: DeliveryId(id), attempt, chat: lane.chat.clone(), job })
}

/// Fills in what an earlier post is called in this lane. When the order was written, that post may
/// have been on its way in the same lane; now it has arrived, or it never will.
async fn resolve(conn: &mut AnyConnection, lane: (i64, &str), job: &mut Job) -> Result<(), StoreError> {
    match job {
        Job::Recall { post, remote_ids } if remote_ids.is_empty() => {
            *remote_ids = called(conn, lane, *post).await?;
        }
        Job::Say(say) if say.quoted_remote_id.is_none() => {
            if let Some(quoted) = say.quoted {
                say.quoted_remote_id = called(conn, lane, quoted).await?.into_iter().next();
            }
        }
        _ => {}
    }
    Ok(())
}

async fn called(
    conn: &mut AnyConnection,
    (number, chat): (i64, &str),
    post: PostId,
) -> Result<Vec<RemoteId>, StoreError> {
    let text =
        "SELECT remote_id FROM remote_id WHERE post = $1 AND network = $2 AND chat = $3 ORDER BY piece";
    let rows = sql::fetch(conn, "looking up an earlier post", text, row![post.0, number, chat]).await?;
    rows.iter().map(|row| Ok(RemoteId::new(row.at::<String>(0)?))).collect()
}
