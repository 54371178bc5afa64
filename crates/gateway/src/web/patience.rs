//! What one stranger can hold of a listener: few connections, and no body that never ends.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// Connections of one address. Chosen: an office of people with six each, as browsers open them, behind one address;
/// an eighth of what there is.
const EACH: usize = 64;
/// From the head of a request to the end of its body. Chosen: the largest form over a slow line.
const WHOLE: Duration = Duration::from_secs(30);
/// Between two pieces of a file that is handed over.
const PIECE: Duration = Duration::from_secs(30);

/// How many connections each address has.
#[derive(Debug, Default)]
pub(super) struct Neighbours(Mutex<HashMap<IpAddr, usize>>);

/// One connection of an address; gone when it is dropped.
#[derive(Debug)]
pub(super) struct Neighbour {
    all: Arc<Neighbours>,
    from: Option<IpAddr>,
}

impl Neighbours {
    /// Room for one more connection from there; `None` when it has as many as one address may.
    pub(super) fn take(self: &Arc<Self>, from: Option<IpAddr>) -> Option<Neighbour> {
        let from = from.map(subscriber);
        if let Some(from) = from {
            let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let theirs = count.entry(from).or_default();
            if *theirs >= EACH {
                return None;
            }
            *theirs += 1;
        }
        Some(Neighbour { all: Arc::clone(self), from })
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let Some(from) = self.from else { return };
        let mut count = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        match count.get_mut(&from) {
            Some(theirs) if *theirs > 1 => *theirs -= 1,
            _ => drop(count.remove(&from)),
        }
    }
}

/// What one customer of a provider has: an address, or the network of an IPv6 one. Source: RFC 6177 (a /64 at least).
fn subscriber(from: IpAddr) -> IpAddr {
    match from {
        IpAddr::V4(_) => from,
        IpAddr::V6(six) => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() >> 64 << 64)),
    }
}

/// How long a body may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// So long from its beginning to its end.
    AMoment,
    /// As long as there is a piece of it now and then.
    AsLongAsItComes,
}

/// A body that ends in time, or with an error.
pub(super) struct Timely<B> {
    body: B,
    takes: Takes,
    began: Instant,
    /// Not there while nobody had to wait.
    end: Option<Pin<Box<Sleep>>>,
}

impl<B> Timely<B> {
    pub(super) fn new(body: B, takes: Takes) -> Self {
        Self { body, takes, began: Instant::now(), end: None }
    }
}

/// Its pieces did not come.
#[derive(Debug, thiserror::Error)]
pub(super) enum Late {
    /// They stopped coming.
    #[error("the body of the request did not come in time")]
    Slow,
    /// The connection broke.
    #[error("{0}")]
    Broken(BoxError),
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin> Body for Timely<B> {
    type Data = Bytes;
    type Error = Late;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Late>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            if this.takes == Takes::AsLongAsItComes {
                this.end = None;
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| Late::Broken(error.into()))));
        }
        let end = match this.takes {
            Takes::AMoment => this.began + WHOLE,
            Takes::AsLongAsItComes => Instant::now() + PIECE,
        };
        let sleep = this.end.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        sleep.as_mut().poll(cx).map(|()| Some(Err(Late::Slow)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, StreamBody};
    use tokio::sync::mpsc;

    use super::*;

    type Pieces = mpsc::Sender<Result<Frame<Bytes>, BoxError>>;

    fn body(takes: Takes) -> (Pieces, Timely<impl Body<Data = Bytes, Error = BoxError> + Unpin>) {
        let (pieces, mut coming) = mpsc::channel(1);
        let stream = futures_util::stream::poll_fn(move |cx| coming.poll_recv(cx));
        (pieces, Timely::new(StreamBody::new(stream), takes))
    }

    async fn drip(pieces: Pieces) {
        loop {
            tokio::time::sleep(Duration::from_secs(20)).await;
            if pieces.send(Ok(Frame::data(Bytes::from_static(b"x")))).await.is_err() {
                return;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_ended() {
        for takes in [Takes::AMoment, Takes::AsLongAsItComes] {
            let (_silent, body) = body(takes);
            let began = Instant::now();
            assert!(matches!(body.collect().await, Err(Late::Slow)), "{takes:?}");
            assert!(began.elapsed() <= WHOLE.max(PIECE) + Duration::from_secs(1), "{takes:?}");
        }
        let (pieces, form) = body(Takes::AMoment);
        let ended = tokio::select! {
            () = drip(pieces) => panic!("it took everything"),
            ended = form.collect() => ended,
        };
        assert!(matches!(ended, Err(Late::Slow)), "a little now and then is not enough");
        let (pieces, mut file) = body(Takes::AsLongAsItComes);
        let arriving = async {
            for _ in 0..10 {
                assert!(file.frame().await.is_some_and(|piece| piece.is_ok()), "a slow file arrives");
            }
        };
        tokio::select! {
            () = drip(pieces) => panic!("it took everything"),
            () = arriving => {}
        }
    }

    #[test]
    fn one_address_has_some_connections_and_others_have_theirs() {
        let neighbours = Arc::<Neighbours>::default();
        let from = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let all: Vec<Neighbour> = std::iter::from_fn(|| neighbours.take(from("2001:db8::1"))).collect();
        assert_eq!(all.len(), EACH);
        assert!(neighbours.take(from("2001:db8::ffff")).is_none(), "the same customer");
        assert!(neighbours.take(from("2001:db8:0:1::1")).is_some());
        assert!(neighbours.take(from("192.0.2.1")).is_some());
        assert!(neighbours.take(None).is_some(), "a socket of the file system");
        drop(all);
        assert!(neighbours.0.lock().unwrap().is_empty(), "who left is forgotten");
    }
}
