//! A password that is typed, or that comes by standard input.

use std::io::{BufRead, IsTerminal, stdin};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::oneshot;
use wxgate_store::PASSWORD_BYTES;

use super::print;
use crate::failure::Failure;

/// One line of standard input. On a terminal it is asked for, twice, and not shown.
///
/// # Errors
/// There is none, it is too long, or the two differ.
pub(super) async fn password() -> Result<String, Failure> {
    if !stdin().is_terminal() {
        return read().await;
    }
    let _hidden = Hidden::begin()?;
    print::err("Password (it is not shown):");
    let typed = read().await?;
    print::err("Once more:");
    if read().await? != typed {
        return Err(Failure::usage("these are two different passwords"));
    }
    Ok(typed)
}

/// Reads a line, in a thread of its own: whoever ends the program meanwhile waits for nobody to type.
async fn read() -> Result<String, Failure> {
    let (tell, told) = oneshot::channel();
    let reader = std::thread::Builder::new().name("password".to_owned());
    let started = reader.spawn(move || {
        // Nobody is there to hear it when the program is ending.
        let _ = tell.send(line(stdin().lock()));
    });
    started.map_err(|e| Failure::environment(format!("cannot start a thread: {e}")))?;
    told.await.unwrap_or_else(|_| Err(Failure::bug("standard input was not read")))
}

/// The first line, without what ends it; what comes after it is not read.
fn line(input: impl BufRead) -> Result<String, Failure> {
    let limit = PASSWORD_BYTES as u64 + "\r\n".len() as u64;
    let mut text = String::new();
    let read = input.take(limit).read_line(&mut text);
    read.map_err(|e| Failure::usage(format!("cannot read the password from standard input: {e}")))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    match line.len() {
        0 => Err(Failure::usage("standard input holds no password")),
        1..=PASSWORD_BYTES => Ok(line.to_owned()),
        _ => Err(Failure::usage(format!("the password is longer than {PASSWORD_BYTES} bytes"))),
    }
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden(Termios);

impl Hidden {
    /// Source: termios(3): ECHO shows what is typed, ECHONL the end of a line also without it.
    fn begin() -> Result<Self, Failure> {
        let failed = |e| Failure::environment(format!("the terminal cannot be kept from showing it: {e}"));
        let before = tcgetattr(stdin()).map_err(failed)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        hidden.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(stdin(), OptionalActions::Flush, &hidden).map_err(failed)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that is gone shows nothing.
        let _ = tcsetattr(stdin(), OptionalActions::Flush, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// Input that goes on after its first line and never ends.
    struct Open(&'static [u8]);

    impl Read for Open {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            assert!(!self.0.is_empty(), "it waits for what never comes");
            let now = self.0.len().min(into.len());
            let (first, rest) = self.0.split_at(now);
            into[..now].copy_from_slice(first);
            self.0 = rest;
            Ok(now)
        }
    }

    #[test]
    fn a_password_is_one_line_of_what_may_go_on() {
        let of = |text: &'static [u8]| line(std::io::BufReader::new(Open(text)));
        for (text, wanted) in
            [(&b"pencil\n"[..], "pencil"), (b"pencil\r\n", "pencil"), (b" two words \nmore", " two words ")]
        {
            assert_eq!(of(text), Ok(wanted.to_owned()));
        }
        assert_eq!(line(&b"pencil"[..]), Ok("pencil".to_owned()), "the end of a file ends a line");
        for none in [&b""[..], b"\n", b"\r\nx\n"] {
            assert!(line(none).is_err_and(|why| why.message.contains("no password")));
        }
        let long = |count: usize| format!("{}\n{}", "x".repeat(count), "y".repeat(9_000));
        assert_eq!(line(long(PASSWORD_BYTES).as_bytes()), Ok("x".repeat(PASSWORD_BYTES)));
        let more = line(long(PASSWORD_BYTES + 1).as_bytes());
        assert!(more.is_err_and(|why| why.message.contains("longer")));
    }
}
