//! Greets the homeserver at the start, and again whenever it was away.
//!
//! A greeting makes the bot, learns what the homeserver can do and lets it ping us: that proves both
//! directions and makes Synapse hand over at once what it kept meanwhile. Source: the Matrix notes,
//! section 3. While the homeserver is away no delivery is begun.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use wxgate_contract::{Batch, Health, Note, Stop};

use crate::account::{Account, AccountError, Keep};
use crate::api::account::WhoAmI;
use crate::api::media::MediaConfig;
use crate::api::server::{GetCapabilities, Ping};
use crate::chores::Chore;
use crate::client::{Actor, CallError};
use crate::shared::{Facts, Shared};

/// How often a homeserver that we reach and that does not reach us is asked again.
const DEAF_PAUSE: Duration = Duration::from_secs(15);

/// The note that holds the session of an ordinary account.
const SESSION: &str = "session";

/// How a greeting went.
enum Greeting {
    /// Both directions work.
    Good,
    /// We reach it; it does not reach us. What to do, as a sentence.
    Deaf(String),
    /// All works, and something is left to be seen to: how it is meanwhile, and when it is looked at again.
    Unfinished(Health, Duration),
    /// It does not know us. What to do, as a sentence.
    Stranger(String),
    /// It is away.
    Away(CallError),
}

/// Greets until told to stop.
pub(crate) async fn run(shared: Arc<Shared>, seed: [u8; 32], stop: Stop) {
    let mut dice = SmallRng::from_seed(seed);
    let mut reach = shared.client.reach();
    let timings = shared.config.timings;
    let mut pause = timings.first_pause;
    loop {
        let greeting = tokio::select! {
            () = stop.stopping() => return,
            greeting = shared.greet(&mut dice) => greeting,
        };
        let wait = match greeting {
            greeting @ (Greeting::Good | Greeting::Unfinished(..)) => {
                pause = timings.first_pause;
                shared.client.reached();
                shared.catch_up.notify_one();
                let (health, again) = match greeting {
                    Greeting::Unfinished(health, again) => (health, Some(again)),
                    _ => (Health::Up, None),
                };
                shared.health(health);
                let lost = reach.wait_for(|is_there| !is_there);
                tokio::select! {
                    () = stop.stopping() => return,
                    _ = lost => {
                        shared.health(Health::Degraded { why: "the homeserver does not answer".to_owned() });
                    }
                    () = after(again) => {}
                }
                // One that answers greetings and nothing else is not greeted without a pause.
                timings.first_pause
            }
            Greeting::Deaf(step) => {
                // What it was to be given can still be given.
                shared.client.reached();
                shared.catch_up.notify_one();
                shared.health(Health::NeedsHuman { step });
                DEAF_PAUSE.min(timings.longest_pause)
            }
            Greeting::Stranger(step) => {
                shared.health(Health::NeedsHuman { step });
                timings.longest_pause
            }
            Greeting::Away(error) => {
                shared.health(Health::Degraded { why: error.to_string() });
                pause = (pause * 2).min(timings.longest_pause);
                pause
            }
        };
        let wait = wait.mul_f64(dice.random_range(0.5..1.0));
        tokio::select! {
            () = stop.stopping() => return,
            () = shared.stirred(timings.first_pause) => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

impl Shared {
    fn health(&self, health: Health) {
        self.far.health(&self.network, health);
    }

    /// Somebody did what an account waits for. Not before `pause` is over: what cannot be taken up now, because the
    /// homeserver or the store is away, still waits at the next greeting.
    async fn stirred(&self, pause: Duration) {
        tokio::time::sleep(pause).await;
        match &self.config.account {
            Some(account) => account.stirred().await,
            None => std::future::pending().await,
        }
    }

    async fn greet(&self, dice: &mut SmallRng) -> Greeting {
        if let Some(account) = &self.config.account {
            return self.greet_as(account.as_ref()).await;
        }
        let facts = match self.learn().await {
            Ok(facts) => facts,
            Err(error) if error.is_passing() => return Greeting::Away(error),
            Err(error) => return Greeting::Stranger(stranger(&error)),
        };
        self.facts.send_replace(Some(facts));
        let transaction_id = format!("{:032x}", dice.random::<u128>());
        let ping = Ping { id: &self.config.id, transaction_id: &transaction_id };
        match self.client.call(Actor::Service, &ping).await {
            Ok(pong) => {
                tracing::info!(duration_ms = pong.duration_ms, "the homeserver reaches us");
                Greeting::Good
            }
            // From before pings were a part of the specification: one direction is proven.
            Err(error) if matches!(error.code(), "M_UNRECOGNIZED" | "M_NOT_FOUND") => Greeting::Good,
            Err(error) if error.code() == "M_URL_NOT_SET" => Greeting::Stranger(
                "the registration on the homeserver has no url; install the present one".to_owned(),
            ),
            Err(CallError::Refused { message, .. }) => Greeting::Deaf(deaf(&message)),
            // Synapse answers 502 and 504 when our listener does not answer; an answer it is.
            Err(CallError::Failed { status: 502 | 504, .. }) => Greeting::Deaf(deaf("")),
            Err(error) => Greeting::Away(error),
        }
    }

    /// An ordinary account signs in; nobody calls it.
    async fn greet_as(&self, account: &dyn Account) -> Greeting {
        // The session may have been ended elsewhere while the homeserver was away.
        let is_known = match self.client.call(self.bot(), &WhoAmI).await {
            _ if !self.client.has_token() => false,
            Ok(me) => me.user_id == self.names.bot(),
            Err(error) if error.is_passing() => return Greeting::Away(error),
            Err(_) => false,
        };
        if !is_known {
            match self.sign_in(account).await {
                Ok(()) => {}
                Err(AccountError::Call(error)) if error.is_passing() => return Greeting::Away(error),
                Err(error) => return Greeting::Stranger(error.to_string()),
            }
        }
        let greeting = match account.see_to_identity().await {
            Ok(left) => left.map_or(Greeting::Good, |step| self.unfinished(Health::NeedsHuman { step })),
            // Before it is known whether it can be signed nothing is said.
            Err(error @ (CallError::Network { .. } | CallError::TimedOut { .. })) => {
                return Greeting::Away(error);
            }
            Err(error) if error.code() == "M_UNKNOWN_TOKEN" => return Greeting::Away(error),
            Err(error) => self.not_seen_to(&error),
        };
        match self.look_around(false).await {
            Ok(facts) => {
                self.facts.send_replace(Some(facts));
                greeting
            }
            Err(error) if error.is_passing() => Greeting::Away(error),
            Err(error) => Greeting::Stranger(format!("the homeserver refuses the account ({error})")),
        }
    }

    /// Somebody may have done by then what is left to be done.
    fn unfinished(&self, health: Health) -> Greeting {
        Greeting::Unfinished(health, self.config.timings.catch_up)
    }

    fn not_seen_to(&self, error: &CallError) -> Greeting {
        let why = format!("the keys of the account are not in their place yet ({error})");
        let soonest = self.config.timings.catch_up_soonest;
        match error {
            // Homeservers count.
            CallError::Refused { .. } => self.unfinished(Health::NeedsHuman { step: why }),
            CallError::Limited { after, .. } => {
                Greeting::Unfinished(Health::Degraded { why }, soonest.max(*after))
            }
            _ => Greeting::Unfinished(Health::Degraded { why }, soonest),
        }
    }

    async fn sign_in(&self, account: &dyn Account) -> Result<(), AccountError> {
        let kept = self.memory.read(SESSION).await?;
        let (far, network, token_of) =
            (Arc::clone(&self.far), self.network.clone(), self.client.token_place());
        let keep: Keep = Arc::new(move |session, token| {
            let (far, network, token_of) = (Arc::clone(&far), network.clone(), Arc::clone(&token_of));
            let note = Note { key: SESSION.to_owned(), value: Some(session), is_secret: true };
            let batch = Batch { notes: vec![note], ..Batch::default() };
            Box::pin(async move {
                far.commit(&network, batch).await?;
                token_of.set(token);
                Ok(())
            })
        });
        let opened = account.open(kept, keep).await?;
        self.client.signed_in(opened.token);
        opened.replaced.into_iter().for_each(|device| self.chores.add(Chore::Replaced(device)));
        Ok(())
    }

    async fn learn(&self) -> Result<Facts, CallError> {
        let has_devices = self.make_bot().await?;
        self.look_around(has_devices).await
    }

    async fn look_around(&self, has_devices: bool) -> Result<Facts, CallError> {
        let bot = Actor::As { user_id: self.names.bot(), device_id: None };
        let capabilities = self.client.call(bot, &GetCapabilities).await?;
        let upload_bytes = match self.client.call(bot, &MediaConfig).await {
            Ok(limits) => limits.upload_bytes,
            Err(error) if error.is_passing() => return Err(error),
            Err(_) => None,
        };
        let room_version = capabilities.default_room_version().to_owned();
        Ok(Facts { room_version, has_devices, upload_bytes })
    }
}

/// Over after that time; never where there is none.
async fn after(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

fn deaf(message: &str) -> String {
    let detail = if message.is_empty() { String::new() } else { format!(" ({message})") };
    format!("the homeserver cannot reach this gateway; check the url in its registration{detail}")
}

fn stranger(error: &CallError) -> String {
    let what = match error.code() {
        "M_UNKNOWN_TOKEN" | "M_MISSING_TOKEN" => {
            "the homeserver does not know the as_token; install the registration and restart the homeserver"
        }
        "M_EXCLUSIVE" => "the registration on the homeserver reserves other names; install the present one",
        _ => "the homeserver refuses the bot",
    };
    format!("{what} ({error})")
}
