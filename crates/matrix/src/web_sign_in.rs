//! A sign-in on a page of the homeserver's: its link waits here for whoever follows it, and what their browser came
//! back with for whoever signs in with it.
//!
//! Source: client-server API 1.15, "OAuth 2.0 API", "Authorization code flow".

use std::time::Duration;

use tokio::sync::watch;
use url::Url;

/// How long somebody who came back waits to be told how it went.
const PATIENCE: Duration = Duration::from_secs(45);
/// Longest address that is looked at.
const ADDRESS_BYTES: usize = 8 << 10;

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Nobody is to sign in.
    #[default]
    Closed,
    /// The link waits.
    Open { link: Url },
    /// Somebody came back, and it is tried.
    Back { query: String },
}

/// Between the account's driver and the web pages.
#[derive(Debug)]
pub struct WebSignIn {
    phase: watch::Sender<Phase>,
    /// How the attempts went; the number of them tells a new one from the last.
    ends: watch::Sender<(u64, Result<(), String>)>,
}

impl Default for WebSignIn {
    fn default() -> Self {
        Self { phase: watch::Sender::default(), ends: watch::Sender::new((0, Ok(()))) }
    }
}

impl WebSignIn {
    /// The link waits from now on, in the place of an earlier one.
    pub fn offer(&self, link: Url) {
        self.phase.send_replace(Phase::Open { link });
    }

    /// Nobody is to sign in any more.
    fn close(&self) {
        self.phase.send_replace(Phase::Closed);
    }

    /// Where to sign in; `None` when nobody is to.
    pub fn link(&self) -> Option<Url> {
        match &*self.phase.borrow() {
            Phase::Closed | Phase::Back { .. } => None,
            Phase::Open { link } => Some(link.clone()),
        }
    }

    /// Somebody came back with an address (or the query of one); returns how the sign-in went.
    ///
    /// # Errors
    /// A sentence for whoever came: nothing waits for them, the address is not the one that the homeserver sent them
    /// to, or why the homeserver refused.
    pub async fn came_back(&self, address: &str) -> Result<(), String> {
        if address.len() > ADDRESS_BYTES {
            return Err("that is no address that a homeserver sends anybody to".to_owned());
        }
        let query = address.split_once('?').map_or(address, |(_, query)| query).trim();
        let mut ends = self.ends.subscribe();
        ends.mark_unchanged();
        let mut refused = None;
        self.phase.send_if_modified(|phase| {
            let Phase::Open { link } = phase else {
                refused = Some("nothing waits for a sign-in now");
                return false;
            };
            // Whoever does not know the link's own word is nobody we sent.
            if state_of(link.query()).is_none_or(|state| state_of(Some(query)).as_ref() != Some(&state)) {
                refused =
                    Some("this is not the sign-in that is waited for; begin anew with the present link");
                return false;
            }
            *phase = Phase::Back { query: query.to_owned() };
            true
        });
        if let Some(why) = refused {
            return Err(why.to_owned());
        }
        match tokio::time::timeout(PATIENCE, ends.changed()).await {
            Ok(Ok(())) => ends.borrow().1.clone(),
            Ok(Err(_)) | Err(_) => {
                Err("it is not known yet how it went; the state of the network tells".to_owned())
            }
        }
    }

    /// What somebody came back with, for whoever signs in with it.
    pub fn answer(&self) -> Option<String> {
        match &*self.phase.borrow() {
            Phase::Back { query } => Some(query.clone()),
            _ => None,
        }
    }

    /// How the sign-in with the last answer went. Its link is used up.
    pub fn went(&self, how: Result<(), String>) {
        self.close();
        self.ends.send_modify(|(count, last)| (*count, *last) = (*count + 1, how));
    }

    /// Returns when somebody came back.
    pub async fn answered(&self) {
        // The sender is ours: it does not go while this is waited for.
        let _ = self.phase.subscribe().wait_for(|phase| matches!(phase, Phase::Back { .. })).await;
    }
}

/// The word of a link by which its answer is known. Source: RFC 6749, 4.1.1 and 4.1.2, `state`.
fn state_of(query: Option<&str>) -> Option<String> {
    let pairs = url::form_urlencoded::parse(query?.as_bytes());
    pairs.into_iter().find(|(key, _)| key == "state").map(|(_, state)| state.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(state: &str) -> Url {
        format!("https://auth.example.org/authorize?client_id=a&state={state}").parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_back_with_the_links_word_is_told_how_it_went() {
        let page = WebSignIn::default();
        assert_eq!(page.link(), None);
        assert!(page.came_back("?code=1&state=one").await.unwrap_err().contains("nothing waits"));
        page.offer(link("one"));
        let driver = async {
            for how in [Err("the homeserver says no".to_owned()), Ok(())] {
                page.answered().await;
                assert_eq!(page.answer().as_deref(), Some("code=1&state=one"));
                page.went(how);
                page.offer(link("one"));
            }
            page.close();
        };
        let person = async {
            let other = page.came_back("https://gate.example.org/matrix/signed-in?code=1&state=two").await;
            assert!(other.unwrap_err().contains("not the sign-in"));
            assert!(page.came_back("code=1").await.is_err(), "no word at all");
            let first = page.came_back("https://gate.example.org/matrix/signed-in?code=1&state=one").await;
            assert_eq!(first.unwrap_err(), "the homeserver says no");
            assert_eq!(page.link(), Some(link("one")), "another is offered");
            page.came_back("code=1&state=one").await.unwrap();
        };
        tokio::join!(driver, person);
        assert_eq!(page.link(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_back_does_not_wait_for_ever() {
        let page = WebSignIn::default();
        page.offer(link("one"));
        assert!(page.came_back("code=1&state=one").await.unwrap_err().contains("not known yet"));
        assert!(page.came_back("code=1&state=one").await.unwrap_err().contains("nothing waits"));
        let long = "a".repeat(ADDRESS_BYTES + 1);
        assert!(page.came_back(&long).await.is_err());
    }
}
