//! Reading lanes: the deliveries themselves stay here until somebody carries them out.

use wxgate_contract::{ChatRef, Delivery, DeliveryId, Job, Timestamp};

use crate::error::StoreError;
use crate::prepare::chat_ref;
use crate::report::LaneStats;
use crate::sql::{self, Columns, row};
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
        const DOING: &str = "reading a lane";
        let Some(number) = self.find(&lane.network).await? else { return Ok(None) };
        let mut conn = self.reader(DOING).await?;
        let text = "SELECT id, attempt, due_ms, job FROM delivery \
                    WHERE network = $1 AND chat = $2 AND closed_ms IS NULL ORDER BY id LIMIT 1";
        let rows = sql::fetch(&mut conn, DOING, text, row![number, lane.chat.as_str()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let id: i64 = row.at(0)?;
        let job: Job =
            serde_json::from_str(&row.at::<String>(3)?).map_err(|_| StoreError::corrupt("delivery", id))?;
        let attempt = u32::try_from(row.at::<i64>(1)?).unwrap_or(u32::MAX);
        let delivery = Delivery { id: DeliveryId(id), attempt, chat: lane.chat.clone(), job };
        Ok(Some((delivery, Timestamp(row.at(2)?))))
    }

    /// Open deliveries by network, in name order.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn lane_stats(&self) -> Result<Vec<LaneStats>, StoreError> {
        const DOING: &str = "counting open deliveries";
        let mut conn = self.reader(DOING).await?;
        let text = "SELECT network, COUNT(*), MIN(created_ms) FROM delivery WHERE closed_ms IS NULL GROUP BY network";
        let mut stats = Vec::new();
        for row in sql::fetch(&mut conn, DOING, text, []).await? {
            let network = self.0.names.name(&mut conn, row.at(0)?).await?;
            let open = u64::try_from(row.at::<i64>(1)?).unwrap_or(0);
            stats.push(LaneStats { network, open, oldest: Timestamp(row.at(2)?) });
        }
        stats.sort_by(|a, b| a.network.cmp(&b.network));
        Ok(stats)
    }
}
