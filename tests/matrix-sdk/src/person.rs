//! Somebody with a client that is signed in and syncs, and what they can do.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use matrix_sdk::attachment::AttachmentConfig;
use matrix_sdk::config::{RequestConfig, SyncSettings};
use matrix_sdk::encryption::EncryptionSettings;
use matrix_sdk::media::{MediaFormat, MediaRequestParameters};
use matrix_sdk::room::{MessagesOptions, Receipts};
use matrix_sdk::ruma::api::client::account::register;
use matrix_sdk::ruma::api::client::filter::FilterDefinition;
use matrix_sdk::ruma::api::client::room::create_room;
use matrix_sdk::ruma::api::client::sync::sync_events::v3::Filter;
use matrix_sdk::ruma::api::client::uiaa::{AuthData, Dummy};
use matrix_sdk::ruma::events::room::MediaSource;
use matrix_sdk::ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, UInt};
use matrix_sdk::{Client, Room};
use matrix_sdk_crypto::{CollectStrategy, DecryptionSettings, TrustRequirement};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::shut::Shut;
use crate::{Tell, shown, verify};

/// A homeserver that is away must show as an error of the one call, not as a call that never ends.
const CALL: Duration = Duration::from_secs(60);
const SYNC: Duration = Duration::from_secs(20);
/// Stories judge every event; without this the homeserver gives ten and leaves a gap.
const TIMELINE: u32 = 1000;

/// Their client.
pub(crate) struct Person {
    who: String,
    client: Client,
    joins: bool,
    // Ends with the person.
    syncing: Mutex<JoinSet<()>>,
}

/// How long a room may take to be known.
const ROOM_PATIENCE: Duration = Duration::from_secs(20);

impl Person {
    /// Registers or signs in.
    pub(crate) async fn enter(homeserver: &str, who: &str, is_new: bool, order: &Value) -> Result<Self> {
        let password = text(order, "password")?;
        let config = RequestConfig::new().timeout(CALL).disable_retry();
        let mut builder = Client::builder().homeserver_url(homeserver).request_config(config);
        builder = builder.with_encryption_settings(EncryptionSettings {
            auto_enable_cross_signing: order["signs"].as_bool().unwrap_or(true),
            ..EncryptionSettings::default()
        });
        if order["strict"].as_bool().unwrap_or(false) {
            // Neither reads devices that their owners have not signed, nor speaks to them: MSC4153.
            let sender_device_trust_requirement = TrustRequirement::CrossSigned;
            builder = builder
                .with_decryption_settings(DecryptionSettings { sender_device_trust_requirement })
                .with_room_key_recipient_strategy(CollectStrategy::IdentityBasedStrategy);
        }
        let client = builder.build().await?;
        // Somebody may have several clients, each with a name of its own in the story.
        let user = order["user"].as_str().unwrap_or(who);
        if is_new {
            let mut request = register::v3::Request::new();
            request.username = Some(user.to_owned());
            request.password = Some(password.to_owned());
            request.auth = Some(AuthData::Dummy(Dummy::new()));
            client.matrix_auth().register(request).await?;
        } else {
            client.matrix_auth().login_username(user, password).send().await?;
        }
        client.encryption().wait_for_e2ee_initialization_tasks().await;
        let joins = order["auto_join"].as_bool().unwrap_or(false);
        Ok(Self { who: who.to_owned(), client, joins, syncing: Mutex::default() })
    }

    /// What the story wants to know about them.
    pub(crate) fn entered(&self) -> Value {
        json!({
            "user_id": self.client.user_id(), "token": self.client.access_token(), "device": self.client.device_id(),
        })
    }

    /// Begins to sync.
    pub(crate) async fn follow(self: &Arc<Self>, tell: Tell) {
        let (who, client, joins) = (self.who.clone(), self.client.clone(), self.joins);
        self.syncing.lock().await.spawn(async move {
            let mut since: Option<String> = None;
            let mut shut = Shut::default();
            loop {
                match sync(&client, since.as_deref()).await {
                    Ok(answer) => {
                        since = Some(answer.next_batch);
                        let mut lines = shown::lines(&who, &answer.rooms);
                        shut.note(&answer.rooms);
                        lines.extend(shut.try_again(&who, &client).await);
                        for line in lines {
                            if tell.send(line).await.is_err() {
                                return;
                            }
                        }
                        for room in answer.rooms.invited.keys().filter(|_| joins) {
                            if let Err(error) = client.join_room_by_id(room).await {
                                eprintln!("{who}: {room}: {error}");
                            }
                        }
                    }
                    // A client goes on syncing, whatever one answer was.
                    Err(error) => {
                        eprintln!("{who}: {error:#}");
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                }
            }
        });
    }

    /// Does one thing.
    pub(crate) async fn act(&self, verb: &str, order: &Value) -> Result<Value> {
        match verb {
            "send" => self.send(order).await,
            "upload" => self.upload(order).await,
            "send_file" => self.send_file(order).await,
            "logout" => {
                self.client.matrix_auth().logout().await?;
                Ok(Value::Null)
            }
            "encrypt" => {
                self.room(order).await?.enable_encryption().await?;
                Ok(Value::Null)
            }
            "download" => self.download(order).await,
            "redact" => {
                let event: OwnedEventId = text(order, "event")?.try_into()?;
                let done = self.room(order).await?.redact(&event, order["reason"].as_str(), None).await?;
                Ok(json!({ "event_id": done.event_id }))
            }
            "read" => {
                let event: OwnedEventId = text(order, "event")?.try_into()?;
                let both = Receipts::new().fully_read_marker(event.clone()).public_read_receipt(event);
                self.room(order).await?.send_multiple_receipts(both).await?;
                Ok(Value::Null)
            }
            "typing" => {
                self.room(order).await?.typing_notice(order["on"].as_bool().unwrap_or(true)).await?;
                Ok(Value::Null)
            }
            "join" => {
                let room: OwnedRoomId = text(order, "room")?.try_into()?;
                Ok(json!({ "room": self.client.join_room_by_id(&room).await?.room_id() }))
            }
            "leave" => {
                self.room(order).await?.leave().await?;
                Ok(Value::Null)
            }
            "verify" => verify::begin(&self.client, text(order, "user")?).await,
            "verify_confirm" => verify::confirm(&self.client, text(order, "user")?, text(order, "flow")?).await,
            "create" => self.create(order).await,
            "invite" => {
                let user: OwnedUserId = text(order, "user")?.try_into()?;
                self.room(order).await?.invite_user_by_id(&user).await?;
                Ok(Value::Null)
            }
            "state" => {
                let path = format!("/_matrix/client/v3/rooms/{}/state", quoted(text(order, "room")?));
                self.ask("GET", &path, &Value::Null).await
            }
            "history" => self.history(order).await,
            "ask" => self.ask(text(order, "method")?, text(order, "path")?, &order["body"]).await,
            _ => bail!("nobody can '{verb}'"),
        }
    }

    /// A room that this client is in. One that has just signed in hears of it with its first sync.
    async fn room(&self, order: &Value) -> Result<Room> {
        let room: OwnedRoomId = text(order, "room")?.try_into()?;
        let known = tokio::time::timeout(ROOM_PATIENCE, self.client.await_room_remote_echo(&room)).await;
        known.map_err(|_| anyhow::anyhow!("{} is not in {room}", self.who))
    }

    async fn send(&self, order: &Value) -> Result<Value> {
        let room = self.room(order).await?;
        let kind = order["type"].as_str().unwrap_or("m.room.message");
        let mut sending = room.send_raw(kind, order["content"].clone());
        let txn: Option<matrix_sdk::ruma::OwnedTransactionId> = order["txn"].as_str().map(Into::into);
        if let Some(txn) = &txn {
            sending = sending.with_transaction_id(txn);
        }
        Ok(json!({ "event_id": sending.await?.response.event_id }))
    }

    async fn upload(&self, order: &Value) -> Result<Value> {
        let data = STANDARD.decode(text(order, "data")?)?;
        let mime = text(order, "mime")?.parse().context("a media type")?;
        let uploaded = self.client.media().upload(&mime, data, None).await?;
        Ok(json!({ "mxc": uploaded.content_uri }))
    }

    /// A file, encrypted where the room is.
    async fn send_file(&self, order: &Value) -> Result<Value> {
        let data = STANDARD.decode(text(order, "data")?)?;
        let mime = text(order, "mime")?.parse().context("a media type")?;
        let name = text(order, "name")?.to_owned();
        let sent =
            self.room(order).await?.send_attachment(name, &mime, data, AttachmentConfig::new()).await?;
        Ok(json!({ "event_id": sent.event_id }))
    }

    async fn download(&self, order: &Value) -> Result<Value> {
        let source = match order["mxc"].as_str() {
            Some(mxc) => MediaSource::Plain(mxc.into()),
            // What an event tells about an encrypted file.
            None => serde_json::from_value(json!({ "file": order["file"] })).context("a file")?,
        };
        let request = MediaRequestParameters { source, format: MediaFormat::File };
        let data = self.client.media().get_media_content(&request, false).await?;
        Ok(json!({ "data": STANDARD.encode(data) }))
    }

    async fn create(&self, order: &Value) -> Result<Value> {
        let mut request = create_room::v3::Request::new();
        request.name = order["name"].as_str().map(str::to_owned);
        request.is_direct = order["direct"].as_bool().unwrap_or(false);
        for user in order["invite"].as_array().into_iter().flatten() {
            request.invite.push(user.as_str().context("an id")?.try_into()?);
        }
        if order["encrypted"].as_bool().unwrap_or(false) {
            let state = json!({
                "type": "m.room.encryption", "content": { "algorithm": "m.megolm.v1.aes-sha2" },
            });
            request.initial_state.push(serde_json::from_value(state)?);
        }
        Ok(json!({ "room": self.client.create_room(request).await?.room_id() }))
    }

    /// Everything of a room, oldest first, from the homeserver and not from what sync brought.
    async fn history(&self, order: &Value) -> Result<Value> {
        let room = self.room(order).await?;
        let limit = order["limit"].as_u64().unwrap_or(500);
        let (mut events, mut from) = (Vec::<Value>::new(), None);
        while (events.len() as u64) < limit {
            let mut page = MessagesOptions::backward().from(from.as_deref());
            page.limit = UInt::from(100_u32);
            let page = room.messages(page).await?;
            for event in &page.chunk {
                events.push(serde_json::from_str(event.raw().json().get())?);
            }
            from = page.end;
            if from.is_none() {
                break;
            }
        }
        events.reverse();
        Ok(Value::Array(events))
    }

    /// A request that the library has no method for, over its connections and with its token.
    async fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let url = format!("{}{path}", self.client.homeserver().as_str().trim_end_matches('/'));
        let token = self.client.access_token().context("no token")?;
        let mut request = self.client.http_client().request(method.parse()?, url).bearer_auth(token);
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.timeout(CALL).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{method} {path}: {status} {text}");
        Ok(serde_json::from_str(&text)?)
    }
}

async fn sync(client: &Client, since: Option<&str>) -> Result<matrix_sdk::sync::SyncResponse> {
    let mut filter = FilterDefinition::default();
    filter.room.timeline.limit = Some(UInt::from(TIMELINE));
    let mut settings = SyncSettings::new().timeout(SYNC).filter(Filter::FilterDefinition(filter));
    if let Some(since) = since {
        settings = settings.token(since);
    }
    Ok(tokio::time::timeout(CALL, client.sync_once(settings)).await??)
}

pub(crate) fn text<'a>(order: &'a Value, key: &str) -> Result<&'a str> {
    order[key].as_str().with_context(|| format!("no {key}"))
}

/// A part of a path.
fn quoted(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
