//! Free ports for programs that must be told theirs.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Result, bail};

/// Below the range from which the kernel takes the near ends of connections (32768 and up on Linux):
/// a port from there may be taken by any connection between our look and the program's bind.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// Every port is offered once per process, so that parallel stories do not meet.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port of 127.0.0.1 that nobody listens on.
pub fn free() -> Result<u16> {
    // Processes that run side by side begin at different places.
    let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or(0).wrapping_mul(7) % COUNT;
    for _ in 0..COUNT {
        let at = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = FIRST + (start + at) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port between {FIRST} and {} is free", FIRST + COUNT)
}
