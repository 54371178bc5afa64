//! How fast batches become durable, and how large contacts are.
//!
//! `cargo run --release -p wxgate-store --example commit_rate -- [SECONDS] [STORE URL]`
#![allow(clippy::unwrap_used, reason = "a measurement may fail by panicking")]
#![allow(clippy::disallowed_methods, reason = "a measurement needs the real clock")]

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use wxgate_contract::*;
use wxgate_store::*;

const ACCOUNTS: usize = 50;
const CONTACTS: usize = 520;

struct Silent;

impl Route for Silent {
    fn route(&self, _: &RouteInput<'_>) -> Vec<(ChatRef, Job)> {
        Vec::new()
    }
}

struct Mirror;

impl Route for Mirror {
    fn route(&self, input: &RouteInput<'_>) -> Vec<(ChatRef, Job)> {
        let say = |target: &ChatRef| {
            let say = Say {
                post_id: input.post_id,
                post: input.post.clone(),
                author_prefix: input.author_name.to_owned(),
                quoted: None,
                quoted_remote_id: None,
                mentions: Vec::new(),
                native_ids: input.native_ids.to_vec(),
            };
            (target.clone(), Job::Say(Box::new(say)))
        };
        input.targets.iter().map(say).collect()
    }
}

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let seconds = args.next().map_or(3, |text| text.parse().unwrap());
    let url = args.next().unwrap_or_else(|| "sqlite".to_owned());
    let dir = std::env::temp_dir().join(format!("wxgate-commit-rate-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    println!(
        "{:>9.0} fsyncs/s of 4 KiB appended to one file (the floor of one commit at a time)",
        fsyncs(&dir)
    );
    let config = StoreConfig {
        url: url.parse().unwrap(),
        data_dir: dir.clone(),
        seal_key: SealKey::from_bytes(&[1; 32]).unwrap(),
        max_media_bytes: 1,
        restored: String::new(),
        instance: wxgate_store::Instance::default(),
    };
    let clock = || Timestamp(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64);
    let store = Store::open(config, Arc::new(clock)).await.unwrap();
    for in_flight in [1, 4, 20] {
        let rate = commits(&store, seconds, in_flight, Arc::new(Silent), "bare").await;
        println!(
            "{rate:>9.0} batches/s, one post and one note each, {ACCOUNTS} accounts, {in_flight} in flight each"
        );
    }
    let rate = commits(&store, seconds, 1000, Arc::new(Silent), "one").await;
    println!("{rate:>9.0} posts/s in batches of 20");
    for n in 0..ACCOUNTS {
        let chat = |network: String, chat: &str| ChatRef { network: network.into(), chat: chat.into() };
        let members = [chat(format!("w:linked{n}"), "chat-0123456789abcdef"), chat(format!("m:{n}"), "room")];
        store.add_link(&members).await.unwrap();
    }
    let rate = commits(&store, seconds, 4, Arc::new(Mirror), "linked").await;
    println!("{rate:>9.0} batches/s with one delivery each, 4 in flight");
    profiles(&store, &dir).await;
    store.close().await;
    std::fs::remove_dir_all(&dir).unwrap();
}

fn fsyncs(dir: &Path) -> f64 {
    let mut file = std::fs::File::create(dir.join("floor")).unwrap();
    let (began, mut count) = (Instant::now(), 0.0);
    while began.elapsed() < Duration::from_secs(1) {
        file.write_all(&[0; 4096]).unwrap();
        file.sync_data().unwrap();
        count += 1.0;
    }
    count / began.elapsed().as_secs_f64()
}

fn post(network: &str, id: String) -> Post {
    Post {
        remote_id: id.into(),
        chat: ChatRef { network: network.into(), chat: "chat-0123456789abcdef".into() },
        author: Author::Person { person: "person-0123456789".into(), name: "Ming".to_owned() },
        at: Timestamp(1_700_000_000_000),
        body: Body::text("a line of the length that people type into a chat"),
        quote: None,
        mentions: Vec::new(),
        echo_of: None,
    }
}

/// Posts per second; 1000 in flight stands for batches of 20, one at a time.
async fn commits(store: &Store, seconds: u64, in_flight: usize, route: Arc<dyn Route>, name: &str) -> f64 {
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut all = JoinSet::new();
    let (tasks, size) = if in_flight == 1000 { (1, 20) } else { (in_flight, 1) };
    for n in 0..ACCOUNTS {
        for task in 0..tasks {
            let (store, stop, count, route) =
                (store.clone(), Arc::clone(&stop), Arc::clone(&count), Arc::clone(&route));
            let network = format!("w:{name}{n}");
            let run = format!("{in_flight}-{task}");
            all.spawn(async move {
                let id = NetworkId::from(&*network);
                let mut i = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    let posts =
                        (0..size).map(|k| post(&network, format!("{run}-{}", i * size + k))).collect();
                    let note = Note {
                        key: format!("sync{task}"),
                        value: Some(vec![7; 80].into()),
                        is_secret: false,
                    };
                    let batch = Batch { posts, notes: vec![note], ..Batch::default() };
                    store.commit_batch(&id, batch, Arc::clone(&route)).await.unwrap();
                    count.fetch_add(size, Ordering::Relaxed);
                    i += 1;
                }
            });
        }
    }
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    stop.store(true, Ordering::Relaxed);
    all.join_all().await;
    count.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}

async fn profiles(store: &Store, dir: &Path) {
    let before = size(dir);
    let began = Instant::now();
    let accounts = 200;
    let mut all = JoinSet::new();
    for n in 0..accounts {
        let store = store.clone();
        all.spawn(async move {
            let person = |k: usize| PersonProfile {
                person: format!("{:016x}", (n * CONTACTS + k) as u64 * 0x9E37_79B9_7F4A_7C15).into(),
                kind: PersonKind::Human,
                nickname: format!("张伟{k}"),
                remark: if k.is_multiple_of(3) { format!("colleague {k}") } else { String::new() },
                public_id: String::new(),
                signature: if k.is_multiple_of(2) {
                    "天行健，君子以自强不息".to_owned()
                } else {
                    String::new()
                },
                region: "Zhejiang Hangzhou".to_owned(),
                is_contact: true,
            };
            let batch = Batch { people: (0..CONTACTS).map(person).collect(), ..Batch::default() };
            store.commit_batch(&NetworkId::new(format!("w:load{n}")), batch, Arc::new(Silent)).await.unwrap();
        });
    }
    all.join_all().await;
    let rows = accounts * CONTACTS;
    println!("{:>9.0} profile rows/s in batches of {CONTACTS}", rows as f64 / began.elapsed().as_secs_f64());
    let again = Instant::now();
    let people = store.contacts(&"w:load7".into(), None, 10_000).await.unwrap();
    println!(
        "{:>9.2} ms to read the {} contacts of one account",
        again.elapsed().as_secs_f64() * 1e3,
        people.len()
    );
    store.close().await;
    println!(
        "{:>9.0} bytes per contact in the file",
        (size(dir).saturating_sub(before)) as f64 / rows as f64
    );
}

/// Bytes of the database without its log.
fn size(dir: &Path) -> u64 {
    std::fs::metadata(dir.join("wxgate.db")).map_or(0, |meta| meta.len())
}
