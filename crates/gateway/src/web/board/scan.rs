//! Signing an account in to WeChat: the code, and what the phone does with it.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::response::sse::Event;
use futures_util::{Stream, stream};
use maud::{Markup, html};
use wxgate_contract::{BoxFuture, Command, Loading, Reply, SignInStep, SignInWatch, Stop};

use super::account::own;
use super::gate::{Answer, Key, Person};
use super::words::{Words, fill};
use super::{live, loading};
use crate::qr;
use crate::web::loading::Followed;
use crate::web::places::Place;
use crate::wiring::Parts;

/// The page. It begins nothing by itself: its script asks for the events, with the session's form key.
pub(super) async fn page(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Path(name): Path<String>,
) -> Answer {
    own(&parts, &person, &name)?;
    let words = person.words();
    let title = fill(words.scan_title, &name);
    Ok(person.page(&title).show(&html! {
        h1 { (title) }
        div.card data-live={ "/accounts/" (name) "/sign-in/events?key=" (person.form_key) } data-hidden="follow" aria-live="polite" {
            p { (words.scan_starting) }
        }
        (live::note(words))
        noscript { p.alarm { (fill(words.scan_script, &name)) } }
        p { a href={ "/accounts/" (name) } { (words.back) } }
    }))
}

/// Begins the sign-in, or joins the one that is under way, and tells each step.
pub(super) async fn events(
    State(parts): State<Arc<Parts>>,
    person: Person,
    Path(name): Path<String>,
    Query(Key { key }): Query<Key>,
) -> Answer {
    person.sent_this(&parts, &key)?;
    let (account, _) = own(&parts, &person, &name)?;
    // Whoever has to sign in does not wait for those who look at tables.
    let Some(place) = parts.streams.take_kept(&person.user) else {
        let words = person.words();
        return Ok(refused(words.house_full.to_owned(), &name, words));
    };
    let loading = Followed::of(&parts, &account);
    match person.desk(&parts).run(Some(person.user.clone()), Command::SignIn { account }).await {
        Ok(Reply::SignIn(watch)) => {
            let (stop, token) = (parts.stop.clone(), person.token.clone());
            let stands: Stands = Box::new(move || {
                let (parts, token) = (Arc::clone(&parts), token.clone());
                Box::pin(async move { live::goes_on(&parts, &token).await })
            });
            let at = At { watch, loading, name, words: person.words(), stop, place, stands };
            Ok(live::answer(steps(at)))
        }
        Ok(_) => Ok(live::answer(stream::iter([Ok(live::lost())]))),
        Err(error) => Ok(refused(person.why(&error).1, &name, person.words())),
    }
}

/// Why a sign-in does not begin. A page has no other way to hear it: of a stream that is refused its browser tells it
/// only that there is none.
fn refused(why: String, name: &str, words: &Words) -> Response {
    let told = live::fragment(&shown(&SignInStep::Failed { why }, None, name, words));
    live::answer(stream::iter([Ok(told), Ok(live::end())]))
}

/// Whether the session that follows still stands.
type Stands = Box<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

struct At {
    watch: SignInWatch,
    /// How far the contacts are, while they are read.
    loading: Followed,
    name: String,
    words: &'static Words,
    stop: Stop,
    /// Taken until the stream ends.
    place: Place,
    stands: Stands,
}

impl At {
    /// Waits for the next step; `None` when the session ended meanwhile, or the program does: whoever signed out of
    /// the pages sees no code any more.
    async fn next(&mut self) -> Option<SignInStep> {
        loop {
            let is_loading = *self.watch.borrow() == SignInStep::Loading;
            let changed = tokio::select! {
                changed = self.watch.changed() => Some(changed.is_ok()),
                () = self.loading.changed(), if is_loading => Some(true),
                () = self.stop.stopping() => return None,
                () = tokio::time::sleep(live::EVERY) => None,
            };
            if !(self.stands)().await {
                return None;
            }
            match changed {
                None => {}
                Some(true) => return Some(self.watch.borrow_and_update().clone()),
                Some(false) => return Some(SignInStep::Failed { why: "the gateway gave it up".to_owned() }),
            }
        }
    }
}

enum Following {
    First(At),
    Next(At),
    Ending(Place),
    Over,
}

fn steps(at: At) -> impl Stream<Item = Result<Event, Infallible>> + Send + 'static {
    stream::unfold(Following::First(at), |following| async move {
        let (mut at, is_first) = match following {
            Following::First(at) => (at, true),
            Following::Next(at) => (at, false),
            Following::Ending(place) => {
                drop(place);
                return Some((Ok(live::end()), Following::Over));
            }
            Following::Over => return None,
        };
        let step = match is_first {
            true => Some(at.watch.borrow_and_update().clone()),
            false => at.next().await,
        };
        let Some(step) = step else { return Some((Ok(live::lost()), Following::Over)) };
        let event = live::fragment(&shown(&step, at.loading.now(), &at.name, at.words));
        let is_over = matches!(step, SignInStep::Done | SignInStep::Failed { .. });
        let next = if is_over { Following::Ending(at.place) } else { Following::Next(at) };
        Some((Ok(event), next))
    })
}

fn shown(step: &SignInStep, how: Option<Loading>, name: &str, words: &Words) -> Markup {
    match step {
        SignInStep::Starting => html! { p { (words.scan_starting) } },
        SignInStep::ShowQr { text, number } => html! {
            p { (words.scan_show) }
            (code(text, words))
            @if *number > 1 { p.soft { (fill(words.scan_renewed, number)) } }
        },
        SignInStep::ConfirmOnPhone { is_push: true, .. } => html! { p { (words.scan_push) } },
        SignInStep::ConfirmOnPhone { is_push: false, picture } => html! {
            @if let Some(jpeg) = picture {
                // Whose phone it is, so that nobody confirms with the wrong one.
                p { img.face alt=(words.scan_face) src={ "data:image/jpeg;base64," (jpeg) } width="64" height="64"; }
            }
            p.up { (words.scan_scanned) }
        },
        SignInStep::Loading => html! {
            p.up { (words.scan_loading) }
            (loading::shown(how, words))
        },
        SignInStep::Done => html! {
            p.up { (words.scan_done) }
            p { a.button href={ "/accounts/" (name) } { (words.open) } }
        },
        SignInStep::Failed { why } => html! {
            p.alarm { (fill(words.scan_failed, words.told(why))) }
            p { a.button href={ "/accounts/" (name) "/sign-in" } { (words.sign_in_again) } }
        },
    }
}

/// The code as a picture; black on white in every theme, as scanners want it.
fn code(text: &str, words: &Words) -> Markup {
    html! {
        @match qr::outline(text) {
            Some((width, path)) => {
                svg.qr xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {width} {width}")) role="img" aria-label=(words.scan_alt) shape-rendering="crispEdges" {
                    rect width="100%" height="100%" fill="#fff" {}
                    path d=(path) fill="#000" {}
                }
            }
            None => { pre { (text) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use http_body_util::BodyExt as _;
    use tokio::sync::watch;
    use wxgate_contract::{LoadingPart, StopHandle};

    use super::super::words::Language;
    use super::*;
    use crate::web::places::Places;

    /// Nothing is told of contacts.
    fn quiet() -> Followed {
        Followed::new(watch::channel(None).1)
    }

    #[tokio::test(start_paused = true)]
    async fn how_far_the_contacts_are_follows_them() {
        let (step, watch) = watch::channel(SignInStep::Loading);
        let (told, followed) = watch::channel(None);
        let (_handle, stop) = StopHandle::new();
        let place = Arc::new(Places::new(1, 1)).take(&"ann".into()).unwrap();
        let stands: Stands = Box::new(|| Box::pin(async { true }));
        let (loading, words) = (Followed::new(followed), Language::Chinese.words());
        let at = At { watch, loading, name: "a".to_owned(), words, stop, place, stands };
        let mut body = live::answer(steps(at)).into_body();
        let mut next = async || {
            let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
            String::from_utf8(data.to_vec()).unwrap()
        };
        assert!(!next().await.contains("<progress"), "nothing is read yet");
        told.send_replace(Some(Loading { part: LoadingPart::Groups, done: 20, of: Some(50) }));
        let heard = next().await;
        assert!(
            heard.contains("value=\"20\" max=\"50\"") && heard.contains("已载入群聊：20 / 50"),
            "{heard}"
        );
        step.send_replace(SignInStep::Done);
        assert!(!next().await.contains("<progress"));
    }

    /// What the page hears when somebody's session ends between two codes.
    #[tokio::test(start_paused = true)]
    async fn a_session_that_has_ended_sees_no_further_code() {
        let code = |number| SignInStep::ShowQr { text: "https://login.example/l/x".to_owned(), number };
        for (ends, codes) in [(false, 2), (true, 1)] {
            let (step, watch) = watch::channel(code(1));
            let (_handle, stop) = StopHandle::new();
            let goes_on = Arc::new(AtomicBool::new(true));
            let (places, session) = (Arc::new(Places::new(1, 1)), Arc::clone(&goes_on));
            let stands: Stands = Box::new(move || {
                let goes_on = session.load(Ordering::Relaxed);
                Box::pin(async move { goes_on })
            });
            let place = places.take(&"ann".into()).unwrap();
            let words = Language::English.words();
            let at = At { watch, loading: quiet(), name: "a".to_owned(), words, stop, place, stands };
            let mut body = live::answer(steps(at)).into_body();
            let mut heard = vec![body.frame().await.unwrap().unwrap().into_data().unwrap()];
            goes_on.store(!ends, Ordering::Relaxed);
            step.send_replace(code(2));
            heard.extend(body.frame().await.and_then(|frame| frame.unwrap().into_data().ok()));
            drop(step);
            heard.push(body.collect().await.unwrap().to_bytes());
            let heard = String::from_utf8(heard.concat()).unwrap();
            assert_eq!(heard.matches("<svg").count(), codes, "{heard}");
            let last = if ends { "lost" } else { "done" };
            assert!(heard.ends_with(&format!("event: end\ndata: {last}\n\n")), "{heard}");
        }
    }

    #[tokio::test]
    async fn why_a_sign_in_does_not_begin_is_its_only_step() {
        let answer = refused("it is busy".to_owned(), "phone", Language::English.words());
        assert_eq!(answer.status(), 200, "of others a browser tells no more than that they failed");
        let heard = answer.into_body().collect().await.unwrap().to_bytes();
        let heard = String::from_utf8_lossy(&heard);
        assert!(heard.contains("This did not work: it is busy"), "{heard}");
        assert!(heard.ends_with("event: end\ndata: done\n\n"), "{heard}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_ends_while_nothing_happens_is_let_go() {
        let (_step, watch) = watch::channel(SignInStep::Starting);
        let (_handle, stop) = StopHandle::new();
        let place = Arc::new(Places::new(1, 1)).take(&"ann".into()).unwrap();
        let stands: Stands = Box::new(|| Box::pin(async { false }));
        let words = Language::English.words();
        let at = At { watch, loading: quiet(), name: "a".to_owned(), words, stop, place, stands };
        let heard = live::answer(steps(at)).into_body().collect().await.unwrap().to_bytes();
        assert_eq!(String::from_utf8_lossy(&heard).matches("event: ").count(), 2, "{heard:?}");
    }
}
