//! A connection that ends when nobody takes what is written to it.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How long an answer may stand still. Chosen: a phone that changes its network is back by then. Whoever takes a little
/// now and then gets on: the system lets some ten kilobytes go before it takes more.
const STANDSTILL: Duration = Duration::from_secs(60);

/// Writing fails once it has stood still for a minute; reading is as it was.
pub(super) struct Flowing<I> {
    inner: I,
    /// There while somebody waits to write.
    end: Option<Pin<Box<Sleep>>>,
}

impl<I> Flowing<I> {
    pub(super) fn new(inner: I) -> Self {
        Self { inner, end: None }
    }
}

impl<I: AsyncWrite + Unpin> Flowing<I> {
    /// Carries on with writing, or ends it.
    fn on<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut I>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(done) = write(Pin::new(&mut self.inner), cx) {
            self.end = None;
            return Poll::Ready(done);
        }
        let end = self.end.get_or_insert_with(|| Box::pin(tokio::time::sleep(STANDSTILL)));
        ready!(end.as_mut().poll(cx));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Flowing<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, into)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Flowing<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.on(cx, |inner, cx| inner.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.on(cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.on(cx, AsyncWrite::poll_shutdown)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.on(cx, |inner, cx| inner.poll_write_vectored(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_left_and_who_is_slow_is_not() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut near = Flowing::new(near);
        let slow = async {
            let mut piece = [0; 64];
            for _ in 0..20 {
                tokio::time::sleep(STANDSTILL - Duration::from_secs(1)).await;
                far.read_exact(&mut piece).await.unwrap();
            }
            far
        };
        let (written, far) = tokio::join!(near.write_all(&[7; 21 * 64]), slow);
        written.unwrap();
        let begin = Instant::now();
        let error = near.write_all(&[7; 64]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(begin.elapsed().as_secs(), STANDSTILL.as_secs());
        drop(far);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_connection_stays() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut near = Flowing::new(near);
        let quiet = async {
            tokio::time::sleep(10 * STANDSTILL).await;
            far.write_all(b"x").await.unwrap();
        };
        let (read, ()) = tokio::join!(near.read_u8(), quiet);
        assert_eq!(read.unwrap(), b'x');
    }
}
