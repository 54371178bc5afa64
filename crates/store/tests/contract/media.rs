//! The vault.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use wxgate_contract::*;
use wxgate_store::*;

use crate::setup::*;

fn vault(bench: &Bench) -> Arc<dyn MediaVault> {
    bench.store.vault(Arc::new(|media, name| Some(format!("http://x/{media}/{name}"))))
}

fn id(n: u8) -> MediaId {
    MediaId([n; 16])
}

async fn put(vault: &dyn MediaVault, media: MediaId, bytes: &[u8]) -> Result<MediaInfo, MediaError> {
    let mut writer = vault.writer(media, "photo.png", "image/png", MediaOwner::Posts).await?;
    for piece in bytes.chunks(1000) {
        writer.write(Bytes::copy_from_slice(piece)).await?;
    }
    writer.finish().await
}

async fn get(vault: &dyn MediaVault, media: MediaId, offset: u64) -> Result<Vec<u8>, MediaError> {
    let mut reader = vault.reader(media, offset).await?;
    let mut all = Vec::new();
    while let Some(piece) = reader.read().await? {
        assert!(piece.len() <= 64 * 1024);
        all.extend(piece);
    }
    Ok(all)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(dir) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[tokio::test]
async fn nobody_else_can_look_at_an_attachment() {
    use std::os::unix::fs::PermissionsExt as _;
    each_engine(|bench| async move {
        let vault = vault(&bench);
        // One that is whole, and one that is on its way.
        put(&*vault, id(1), b"mine").await.unwrap();
        let _writer = vault.writer(id(2), "photo.png", "image/png", MediaOwner::Posts).await.unwrap();
        let media = bench.dir.join("media");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let found = files(&media);
        assert_eq!(found.len(), 2);
        for path in found {
            assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700), "{}", path.display());
        }
        assert_eq!(mode(&media), 0o700);
        bench
    })
    .await;
}

#[tokio::test]
async fn bytes_come_back_whole_and_from_any_offset() {
    each_engine(|bench| async move {
        let vault = vault(&bench);
        let bytes: Vec<u8> =
            b"\x89PNG\r\n\x1a\n".iter().copied().chain((0..200_000_u32).map(|n| n as u8)).collect();
        let info = put(&*vault, id(1), &bytes).await.unwrap();
        assert_eq!(
            (info.state.clone(), &*info.mime, info.size_bytes),
            (MediaState::Ready, "image/png", 200_008)
        );
        assert_eq!(vault.info(id(1)).await.unwrap(), Some(info));
        assert_eq!(get(&*vault, id(1), 0).await.unwrap(), bytes);
        assert_eq!(get(&*vault, id(1), 200_000).await.unwrap(), bytes[200_000..]);
        assert_eq!(get(&*vault, id(1), 300_000).await.unwrap(), b"");
        assert!(matches!(get(&*vault, id(2), 0).await, Err(MediaError::Unknown(_))));
        assert_eq!(vault.link(id(1), "a.png"), Some(format!("http://x/{}/a.png", id(1))));
        // The same bytes again are one file.
        put(&*vault, id(3), &bytes).await.unwrap();
        assert_eq!(files(&bench.dir.join("media")).len(), 1);
        bench
    })
    .await;
}

#[tokio::test]
async fn too_many_bytes_are_refused_and_leave_no_trace() {
    each_engine(|bench| async move {
        let vault = vault(&bench);
        let mut writer = vault.writer(id(1), "", "", MediaOwner::Posts).await.unwrap();
        writer.write(Bytes::from(vec![0; 1 << 20])).await.unwrap();
        let error = writer.write(Bytes::from_static(b"x")).await.unwrap_err();
        assert!(matches!(error, MediaError::TooLarge { limit_bytes: 1_048_576 }), "{error}");
        assert!(matches!(writer.finish().await, Err(MediaError::TooLarge { .. })));
        let mut dropped = vault.writer(id(2), "", "", MediaOwner::Posts).await.unwrap();
        dropped.write(Bytes::from_static(b"x")).await.unwrap();
        drop(dropped);
        assert_eq!(files(&bench.dir.join("media")), Vec::<PathBuf>::new());
        assert_eq!(vault.info(id(1)).await.unwrap(), None);
        bench
    })
    .await;
}

fn announced(n: u8) -> PendingMedia {
    let source = Bytes::from_static(b"ticket=verysecretticket");
    PendingMedia { media: id(n), source, name: "a.jpg".to_owned(), mime: "image/jpeg".to_owned() }
}

#[tokio::test]
async fn announced_attachments_wait_until_they_are_fetched_or_given_up() {
    each_engine(|bench| async move {
        let vault = vault(&bench);
        let batch = Batch { media: vec![announced(1), announced(2), announced(3)], ..Batch::default() };
        bench.batch("w:a", batch.clone()).await;
        bench.batch("w:a", batch.clone()).await;
        let a = NetworkId::from("w:a");
        assert_eq!(vault.pending(&a, 10).await.unwrap(), [announced(1), announced(2), announced(3)]);
        assert_eq!(vault.pending(&a, 1).await.unwrap().len(), 1);
        assert_eq!(vault.info(id(1)).await.unwrap().unwrap().state, MediaState::Pending);
        assert!(matches!(vault.reader(id(1), 0).await.err(), Some(MediaError::Unknown(_))));
        put(&*vault, id(1), b"\xff\xd8\xff picture").await.unwrap();
        assert_eq!(vault.info(id(1)).await.unwrap().unwrap().mime, "image/jpeg");
        vault.fail(id(2), "expired").await.unwrap();
        vault.fail(id(1), "too late").await.unwrap();
        assert_eq!(vault.pending(&a, 10).await.unwrap(), [announced(3)]);
        let state = vault.info(id(2)).await.unwrap().unwrap().state;
        assert_eq!(state, MediaState::Failed { why: "expired".to_owned() });
        assert_eq!(
            vault.info(id(1)).await.unwrap().unwrap().state,
            MediaState::Ready,
            "what is here stays here"
        );
        // The same post again changes nothing.
        bench.batch("w:a", batch).await;
        assert_eq!(vault.pending(&a, 10).await.unwrap(), [announced(3)]);
        bench
    })
    .await;
}

fn picture(id: &str, media: MediaId, poster: Option<MediaId>) -> Post {
    let file = Attachment {
        media,
        kind: AttachmentKind::Video,
        name: String::new(),
        mime: String::new(),
        size_bytes: 0,
        width_px: 0,
        height_px: 0,
        duration_ms: 0,
        caption: String::new(),
        poster,
    };
    Post { body: Body::Attachment(file), ..post(id, "w:a/c", "") }
}

#[tokio::test]
async fn what_is_still_to_be_delivered_is_there_when_it_is() {
    each_engine(|bench| async move {
        let vault = vault(&bench);
        bench.link(&["w:a/c", "m/r"]).await;
        // More than one step looks at: they wait, each with its cover.
        let media =
            |n: u16, part: u8| MediaId(std::array::from_fn(|at| [(n >> 8) as u8, n as u8, part][at % 3]));
        for n in 0..120_u16 {
            put(&*vault, media(n, 0), format!("film {n}").as_bytes()).await.unwrap();
            put(&*vault, media(n, 1), format!("cover {n}").as_bytes()).await.unwrap();
        }
        let posts = (0..120).map(|n| picture(&n.to_string(), media(n, 0), Some(media(n, 1))));
        bench.commit("w:a", posts.collect()).await;
        bench.clock.set(40 * 86_400_000);
        put(&*vault, id(255), b"nobody waits for it").await.unwrap();
        let pruned = bench.store.prune_media(30, 100).await.unwrap();
        assert_eq!((pruned.media, pruned.files), (1, 1), "behind all that wait");
        for n in 0..119 {
            let delivery = bench.next("m/r").await.unwrap();
            let Body::Attachment(file) = &said(&delivery).post.body else { panic!("no film") };
            assert_eq!(get(&*vault, file.media, 0).await.unwrap(), format!("film {n}").as_bytes());
            bench.settle("m", delivery.id, sent(&[])).await;
        }
        bench.clock.set(80 * 86_400_000);
        let pruned = bench.store.prune_media(30, 1 << 30).await.unwrap();
        assert_eq!((pruned.media, pruned.files), (238, 238), "all but those of the one that waits");
        assert_eq!(get(&*vault, media(119, 1), 0).await.unwrap(), b"cover 119");
        bench
    })
    .await;
}

#[tokio::test]
async fn unused_attachments_make_room_and_shared_files_stay() {
    each_engine(|bench| async move {
        let vault = vault(&bench);
        let day = 86_400_000;
        // Files have the system's times; this one is as good a present as any.
        let probe = bench.dir.join("probe");
        std::fs::write(&probe, b"").unwrap();
        let modified = std::fs::metadata(&probe).unwrap().modified().unwrap();
        let now = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
        bench.clock.set(now - 40 * day);
        put(&*vault, id(1), b"old and shared").await.unwrap();
        put(&*vault, id(2), b"old").await.unwrap();
        bench.clock.set(now - 3 * day);
        put(&*vault, id(3), b"old and shared").await.unwrap();
        put(&*vault, id(4), &[4; 1000]).await.unwrap();
        put(&*vault, id(5), &[5; 1000]).await.unwrap();
        bench.clock.set(now);
        assert_eq!(get(&*vault, id(4), 0).await.unwrap().len(), 1000);
        let pruned = bench.store.prune_media(30, 1 << 30).await.unwrap();
        assert_eq!(
            (pruned.media, pruned.files, pruned.freed_bytes),
            (2, 1, 3),
            "the shared file is still named"
        );
        assert_eq!(get(&*vault, id(3), 0).await.unwrap(), b"old and shared");
        assert!(matches!(get(&*vault, id(2), 0).await, Err(MediaError::Unknown(_))));
        // 2,014 bytes into 1,100: the least recently used go first.
        let pruned = bench.store.prune_media(30, 1100).await.unwrap();
        assert_eq!((pruned.media, pruned.freed_bytes), (1, 1000));
        assert!(matches!(get(&*vault, id(5), 0).await, Err(MediaError::Unknown(_))));
        assert_eq!(get(&*vault, id(4), 0).await.unwrap().len(), 1000);
        // What was announced and never came goes as well once it is as old.
        bench.clock.set(now - 31 * day);
        bench.batch("w:a", Batch { media: vec![announced(6), announced(7)], ..Batch::default() }).await;
        vault.fail(id(7), "expired").await.unwrap();
        bench.clock.set(now - 29 * day);
        bench.batch("w:a", Batch { media: vec![announced(8)], ..Batch::default() }).await;
        bench.clock.set(now);
        assert_eq!(bench.store.prune_media(30, 1 << 30).await.unwrap().media, 2);
        assert_eq!(vault.pending(&"w:a".into(), 10).await.unwrap(), [announced(8)]);
        let room = bench.store.room().await.unwrap();
        assert_eq!((room.attachments, room.media_bytes), (2, 1_014));
        assert!(room.database_bytes > 4_096, "{room:?}");
        // A file that no row names goes after a day.
        let stray = bench.dir.join("media/ab/cdef");
        std::fs::create_dir_all(stray.parent().unwrap()).unwrap();
        std::fs::write(&stray, b"stray").unwrap();
        assert_eq!(bench.store.prune_media(30, 1 << 30).await.unwrap(), Pruned::default());
        bench.clock.set(now + 2 * day);
        assert_eq!(bench.store.prune_media(30, 1 << 30).await.unwrap().files, 1);
        assert!(!stray.exists());
        assert_eq!(get(&*vault, id(4), 0).await.unwrap().len(), 1000);
        bench
    })
    .await;
}

#[tokio::test]
async fn files_go_before_anything_is_written_that_frees_none() {
    each_engine(|bench| async move {
        let vault = vault(&bench);
        bench.batch("w:a", Batch { media: vec![announced(1)], ..Batch::default() }).await;
        put(&*vault, id(2), b"old").await.unwrap();
        // Forgetting what never came fails, as on a full disk.
        bench.change("CREATE TABLE held (media TEXT REFERENCES media (id))").await;
        bench.change("INSERT INTO held SELECT id FROM media WHERE state = 0").await;
        bench.clock.set(31 * 86_400_000);
        assert!(bench.store.prune_media(30, 1 << 30).await.is_err());
        assert_eq!(files(&bench.dir.join("media")), Vec::<PathBuf>::new());
        assert_eq!(vault.info(id(2)).await.unwrap(), None);
        assert_eq!(vault.pending(&"w:a".into(), 10).await.unwrap(), [announced(1)]);
        bench
    })
    .await;
}

#[tokio::test]
async fn what_does_not_fit_goes_whatever_the_clock_says() {
    each_engine(|bench| async move {
        let vault = vault(&bench);
        bench.batch("w:a", Batch { media: vec![announced(1)], ..Batch::default() }).await;
        for n in 2..5 {
            bench.clock.set(i64::from(n) * 10_000_000);
            put(&*vault, id(n), &[n; 1000]).await.unwrap();
        }
        let bench = bench.reopen().await;
        bench.clock.set(366 * 86_400_000);
        assert_eq!(bench.store.fit_media(2_000).await.unwrap().media, 1, "the least recently used one");
        assert_eq!(bench.store.media_used(), 2_000, "counted anew after a start");
        assert_eq!(bench.store.fit_media(2_000).await.unwrap(), Pruned::default());
        let vault = self::vault(&bench);
        for n in 2..5 {
            assert_eq!(vault.info(id(n)).await.unwrap().is_some(), n > 2, "{n}");
        }
        assert_eq!(vault.pending(&"w:a".into(), 10).await.unwrap(), [announced(1)]);
        bench
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_gone_or_damaged_is_not_known_any_more() {
    each_engine(|bench| async move {
        let vault = vault(&bench);
        put(&*vault, id(1), b"gone").await.unwrap();
        std::fs::remove_file(&files(&bench.dir.join("media"))[0]).unwrap();
        assert!(matches!(get(&*vault, id(1), 0).await, Err(MediaError::Unknown(_))));
        put(&*vault, id(2), b"short").await.unwrap();
        std::fs::write(&files(&bench.dir.join("media"))[0], b"shor").unwrap();
        assert!(matches!(get(&*vault, id(2), 0).await, Err(MediaError::Unknown(_))));
        // Handed over again, both are back.
        for (n, bytes) in [(3, &b"gone"[..]), (4, b"short")] {
            put(&*vault, id(n), bytes).await.unwrap();
        }
        assert_eq!(get(&*vault, id(1), 0).await.unwrap(), b"gone");
        assert_eq!(get(&*vault, id(2), 0).await.unwrap(), b"short");
        bench
    })
    .await;
}

#[tokio::test]
async fn what_was_handed_over_and_never_said_makes_room_first() {
    each_engine(|bench| async move {
        let (vault, day) = (vault(&bench), 86_400_000);
        put(&*vault, id(1), &[1; 1000]).await.unwrap();
        bench.clock.set(day);
        bench.commit("w:a", vec![picture("p", id(1), None)]).await;
        put(&*vault, id(2), &[2; 1000]).await.unwrap();
        put(&*vault, id(3), &[3; 1000]).await.unwrap();
        let of_a = MediaOwner::Network("w:a".into());
        let mut writer = vault.writer(id(4), "face.png", "image/png", of_a).await.unwrap();
        writer.write(Bytes::from(vec![4; 1000])).await.unwrap();
        writer.finish().await.unwrap();
        assert_eq!(bench.store.media_used(), 4_000);
        bench.clock.set(2 * day + 1);
        put(&*vault, id(5), &[5; 1000]).await.unwrap();
        // The oldest one is shown; the last one may still be said.
        let pruned = bench.store.prune_media(30, 3_500).await.unwrap();
        assert_eq!((pruned.media, pruned.freed_bytes), (2, 2_000));
        for (n, is_there) in [(1, true), (2, false), (3, false), (4, true), (5, true)] {
            assert_eq!(vault.info(id(n)).await.unwrap().is_some(), is_there, "{n}");
        }
        assert_eq!(bench.store.media_used(), 3_000);
        // Then the least recently used.
        assert_eq!(bench.store.prune_media(30, 2_000).await.unwrap().media, 1);
        assert_eq!(vault.info(id(1)).await.unwrap(), None);
        assert_eq!(bench.store.media_used(), 2_000);
        let ((), put_there) = tokio::join!(bench.store.media_beyond(2_999), put(&*vault, id(6), &[6; 1000]));
        put_there.unwrap();
        // What cannot be counted because it is here twice is counted by the clean-up.
        put(&*vault, id(7), &[6; 1000]).await.unwrap();
        assert_eq!(bench.store.media_used(), 4_000);
        bench.store.prune_media(30, 1 << 30).await.unwrap();
        assert_eq!(bench.store.media_used(), 3_000);
        bench
    })
    .await;
}

#[tokio::test]
async fn all_that_never_came_goes_at_once() {
    each_engine(|bench| async move {
        let media: Vec<PendingMedia> = (0..450_u16)
            .map(|n| {
                let media = MediaId(std::array::from_fn(|at| n.to_be_bytes()[at % 2]));
                PendingMedia { media, ..announced(0) }
            })
            .collect();
        bench.batch("w:a", Batch { media, ..Batch::default() }).await;
        bench.clock.set(31 * 86_400_000);
        let young = PendingMedia { media: MediaId(*b"it may well come"), ..announced(0) };
        bench.batch("w:a", Batch { media: vec![young.clone()], ..Batch::default() }).await;
        assert_eq!(bench.store.prune_media(30, 1 << 30).await.unwrap().media, 450);
        assert_eq!(vault(&bench).pending(&"w:a".into(), 10).await.unwrap(), [young]);
        bench
    })
    .await;
}
