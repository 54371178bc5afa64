//! Everything of one person as a stream: a tar archive with lines of JSON and attachments, for people and
//! their programs to read. It holds what was said and who with, and nothing that opens a session.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use serde_json::{Value, json};
use wxgate_contract::{
    Body, ChatKey, HistoryRange, MediaId, MediaState, MediaVault, NetworkId, PersonKey, TimelineItem,
    UserName,
};
use wxgate_store::{AccountRow, Store, StoreError};

use crate::backup::tar::{END, Header, padding};
use crate::clock;

/// Chats and contacts per file.
const PAGE: usize = 500;
/// Messages per file. A message has at most a mebibyte, so a page is bounded at a hundred.
const MESSAGES: usize = 100;

/// What is exported.
#[derive(Clone)]
pub(crate) struct Export {
    pub(crate) store: Store,
    pub(crate) vault: Arc<dyn MediaVault>,
    pub(crate) user: UserName,
}

/// One file of the archive.
enum Entry {
    Bytes { name: String, bytes: Bytes },
    Media { name: String, media: MediaId, size_bytes: u64 },
}

type Entries = BoxStream<'static, io::Result<Entry>>;
type Pieces = BoxStream<'static, io::Result<Bytes>>;

impl Export {
    /// The archive in pieces. An account that changes meanwhile is told as it is when its turn comes.
    pub(crate) async fn pieces(self) -> Result<Pieces, StoreError> {
        let all = self.store.accounts().await?;
        let accounts: Vec<AccountRow> = all.into_iter().filter(|row| row.owner == self.user).collect();
        let mtime_s = u64::try_from(clock::now().ms() / 1_000).unwrap_or(0);
        let mut entries: Vec<Entries> = vec![one(about(&self.user, &accounts))];
        for (n, row) in accounts.into_iter().enumerate() {
            let place =
                Place { export: self.clone(), network: row.network, dir: format!("account-{:02}", n + 1) };
            entries.extend([place.clone().chats(), place.clone().contacts(), place.messages()]);
        }
        let vault = Arc::clone(&self.vault);
        let files = stream::iter(entries).flatten();
        let files = files.and_then(move |entry| {
            let vault = Arc::clone(&vault);
            async move { pieces_of(entry, vault, mtime_s).await }
        });
        let end = stream::iter([Ok(Bytes::from_static(&END))]);
        Ok(files.try_flatten().chain(end).boxed())
    }
}

fn one(entry: Entry) -> Entries {
    stream::iter([Ok(entry)]).boxed()
}

fn about(user: &UserName, accounts: &[AccountRow]) -> Entry {
    let accounts = accounts.iter().enumerate().map(|(n, row)| {
        json!({"directory": format!("account-{:02}", n + 1), "account": row.network, "own_name": row.own_name})
    });
    let about = json!({
        "what": "wxgate export", "version": env!("CARGO_PKG_VERSION"), "made_ms": clock::now().ms(),
        "user": user, "accounts": accounts.collect::<Vec<_>>(),
    });
    Entry::Bytes { name: "about.json".to_owned(), bytes: format!("{about:#}\n").into() }
}

/// An account and its directory in the archive.
#[derive(Clone)]
struct Place {
    export: Export,
    network: NetworkId,
    dir: String,
}

impl Place {
    fn chats(self) -> Entries {
        let pages = stream::try_unfold((self, None::<ChatKey>, 1), |(place, after, n)| async move {
            let page = place.export.store.chats(&place.network, after.as_ref(), PAGE).await;
            let page = page.map_err(io::Error::other)?;
            let Some(last) = page.last().map(|chat| chat.chat.clone()) else { return Ok(None) };
            let entry = lines(&place.dir, "chats", n, &page)?;
            Ok(Some((entry, (place, Some(last), n + 1))))
        });
        pages.boxed()
    }

    fn contacts(self) -> Entries {
        let pages = stream::try_unfold((self, None::<PersonKey>, 1), |(place, after, n)| async move {
            let page = place.export.store.contacts(&place.network, after.as_ref(), PAGE).await;
            let page = page.map_err(io::Error::other)?;
            let Some(last) = page.last().map(|person| person.person.clone()) else { return Ok(None) };
            let entry = lines(&place.dir, "contacts", n, &page)?;
            Ok(Some((entry, (place, Some(last), n + 1))))
        });
        pages.boxed()
    }

    fn messages(self) -> Entries {
        let pages = stream::try_unfold((self, 0, 1), |(place, after, n)| async move {
            let range = HistoryRange::After(after);
            let page = place.export.store.history(&place.network, None, range, MESSAGES).await;
            let page = page.map_err(io::Error::other)?;
            let Some(last) = page.last().map(|item| item.seq) else { return Ok(None) };
            let entries = place.page(&page, n).await?;
            Ok::<_, io::Error>(Some((stream::iter(entries.into_iter().map(Ok)), (place, last, n + 1))))
        });
        pages.try_flatten().boxed()
    }

    /// The messages of a page, and behind them the files that they show.
    async fn page(&self, page: &[TimelineItem], n: u32) -> io::Result<Vec<Entry>> {
        let (mut told, mut files) = (Vec::new(), Vec::new());
        for item in page {
            let (file, poster) = self.shown(item).await?;
            let mut value = serde_json::to_value(&item.post)?;
            if let Value::Object(fields) = &mut value {
                fields.insert("seq".to_owned(), json!(item.seq));
                fields.insert("outcome".to_owned(), serde_json::to_value(&item.fate)?);
                fields.insert("is_recalled".to_owned(), json!(item.is_recalled));
                for (field, entry) in [("file", &file), ("poster_file", &poster)] {
                    if let Some(Entry::Media { name, .. }) = entry {
                        fields.insert(field.to_owned(), json!(name));
                    }
                }
            }
            told.push(value);
            files.extend([file, poster].into_iter().flatten());
        }
        let mut entries = vec![lines(&self.dir, "messages", n, &told)?];
        entries.extend(files);
        Ok(entries)
    }

    /// What a message shows, and the picture that stands for it until it is loaded.
    async fn shown(&self, item: &TimelineItem) -> io::Result<(Option<Entry>, Option<Entry>)> {
        let Body::Attachment(file) = &item.post.body else { return Ok((None, None)) };
        let poster = match file.poster {
            Some(poster) => self.file(poster).await?,
            None => None,
        };
        Ok((self.file(file.media).await?, poster))
    }

    /// An attachment, when it is here.
    async fn file(&self, media: MediaId) -> io::Result<Option<Entry>> {
        let info = self.export.vault.info(media).await.map_err(io::Error::other)?;
        let Some(info) = info.filter(|info| info.state == MediaState::Ready) else { return Ok(None) };
        let ending = info.mime.rsplit('/').next().filter(|part| part.len() <= 8 && is_plain(part));
        let ending = ending.map(|part| format!(".{part}")).unwrap_or_default();
        let name = format!("{}/media/{media}{ending}", self.dir);
        Ok(Some(Entry::Media { name, media, size_bytes: info.size_bytes }))
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A file with a line of JSON for each of `all`.
fn lines<T: Serialize>(dir: &str, what: &str, n: u32, all: &[T]) -> io::Result<Entry> {
    let mut bytes = Vec::new();
    for one in all {
        serde_json::to_writer(&mut bytes, one)?;
        bytes.push(b'\n');
    }
    Ok(Entry::Bytes { name: format!("{dir}/{what}-{n:06}.jsonl"), bytes: bytes.into() })
}

async fn pieces_of(entry: Entry, vault: Arc<dyn MediaVault>, mtime_s: u64) -> io::Result<Pieces> {
    match entry {
        Entry::Bytes { name, bytes } => {
            let size = bytes.len() as u64;
            let head = Bytes::copy_from_slice(&Header::new(name, size).block(mtime_s));
            let end = Bytes::from(vec![0; padding(size)]);
            Ok(stream::iter([Ok(head), Ok(bytes), Ok(end)]).boxed())
        }
        Entry::Media { name, media, size_bytes } => {
            let reader = match vault.reader(media, 0).await {
                Ok(reader) => reader,
                // Pruned a moment ago: the message says where it would be.
                Err(error) => {
                    tracing::warn!(%media, %error, "an attachment is left out of an export");
                    return Ok(stream::empty().boxed());
                }
            };
            let head = Bytes::copy_from_slice(&Header::new(name, size_bytes).block(mtime_s));
            let end = Bytes::from(vec![0; padding(size_bytes)]);
            let body = stream::try_unfold((reader, size_bytes), |(mut reader, left)| async move {
                match reader.read().await.map_err(io::Error::other)? {
                    Some(piece) => {
                        let left = left.checked_sub(piece.len() as u64);
                        let left = left
                            .ok_or_else(|| io::Error::other("an attachment is longer than its row says"))?;
                        Ok(Some((piece, (reader, left))))
                    }
                    None if left == 0 => Ok(None),
                    None => Err(io::Error::other("an attachment is shorter than its row says")),
                }
            });
            Ok(stream::iter([Ok(head)]).chain(body).chain(stream::iter([Ok(end)])).boxed())
        }
    }
}
