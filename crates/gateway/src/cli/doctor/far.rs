//! Far ends: whether they take connections, and what time it is there.

use std::time::Duration;

use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use reqwest::redirect::Policy;
use tokio::net::TcpStream;
use url::Url;

use super::{Finding, Verdict, ok, warning, wrong};
use crate::config::{IrcNetworkEntry, Settings};
use crate::{clock, wiring};

/// How long a far end may take to take a connection, and to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);
/// Where the time is asked for without TLS: the service's own host. Source: RFC 9110, 6.6.1: servers with a clock
/// send the date with every answer.
const CLOCK: &str = "login.wx.qq.com:80";
/// What a clock may be off. Chosen: codes, links and tokens are good for minutes.
const FAR_OFF_MS: i64 = 120_000;
/// What `/healthz` of a gateway says.
const HEALTHY: &str = "ok\n";
/// The start of 2026: an earlier clock is wrong, since this program is younger.
const OLDEST_NOW_MS: i64 = 1_767_225_600_000;

/// Whether the host of an address takes connections, and for `https://` whether its certificate is trusted.
pub(super) async fn reach_url(check: &'static str, url: &str) -> Finding {
    let parsed = Url::parse(url).ok();
    let host =
        parsed.as_ref().and_then(|url| Some((url.host_str()?.to_owned(), url.port_or_known_default()?)));
    match host {
        Some((host, port)) => {
            let reached = reach(check, &format!("{host}:{port}")).await;
            match reached.verdict {
                Verdict::Ok if url.starts_with("https://") => greeted(check, url, reached).await,
                _ => reached,
            }
        }
        None => wrong(
            check,
            // Not repeated: it may hold a password.
            "the address names no host and port".to_owned(),
            format!("write a whole address into {check}"),
        ),
    }
}

/// The same about a far end that was `reached`, with what its TLS says.
async fn greeted(check: &'static str, url: &str, reached: Finding) -> Finding {
    match asked(url).await {
        Err(error) if error.is_connect() || error.is_builder() => {
            let cause = whole(&error);
            distrusted(check, &reached.found, &cause)
        }
        // Whatever it answers to a question that nobody else asks: it was TLS that carried it.
        _ => reached,
    }
}

fn distrusted(check: &'static str, found: &str, cause: &str) -> Finding {
    wrong(
        check,
        format!("{found}, and TLS fails: {cause}"),
        "look at its certificate and at the clock; authorities are those of ca-certificates, or of the file that \
         SSL_CERT_FILE names",
    )
}

/// Whether an IRC network takes connections, with TLS where that is set, by the certificate that the relay would take.
pub(super) async fn reach_network(network: &IrcNetworkEntry) -> Finding {
    const CHECK: &str = "IRC network";
    let reached = reach(CHECK, &network.address).await;
    let Some(tls) = wiring::tls_of(network).filter(|_| reached.verdict == Verdict::Ok) else {
        return reached;
    };
    match tokio::time::timeout(PATIENCE, tls.greet(&network.address)).await {
        Ok(Ok(())) => reached,
        Ok(Err(error)) => distrusted(CHECK, &reached.found, &error.to_string()),
        Err(_) => distrusted(CHECK, &reached.found, &format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

pub(super) async fn reach(check: &'static str, host: &str) -> Finding {
    match tokio::time::timeout(PATIENCE, TcpStream::connect(host)).await {
        Ok(Ok(_)) => ok(check, format!("{host} takes connections")),
        Ok(Err(e)) => {
            wrong(check, format!("{host} cannot be reached: {e}"), "look at the network, DNS and firewall")
        }
        Err(_) => wrong(
            check,
            format!("{host} did not answer within {} s", PATIENCE.as_secs()),
            "look at the network and firewall; a proxy is set with wechat.proxy",
        ),
    }
}

/// Whether people who follow `web.public_url` end at this gateway: through the proxy before it, with a certificate
/// that they trust.
pub(super) async fn reach_pages(url: &str) -> Finding {
    const CHECK: &str = "web.public_url";
    let address = format!("{}/healthz", url.trim_end_matches('/'));
    match asked(&address).await {
        Ok((200, words)) if words == HEALTHY => ok(CHECK, format!("{url} leads to a gateway")),
        Ok((status, _)) => wrong(
            CHECK,
            format!("{address} answers {status}, and not as a gateway does"),
            "let the proxy of that address pass everything on to web.listen, or correct web.public_url",
        ),
        Err(error) => wrong(
            CHECK,
            format!("{address} cannot be asked: {}", whole(&error)),
            "look at DNS, the proxy of that address and its certificate, or correct web.public_url",
        ),
    }
}

/// Status and the first words of an answer.
async fn asked(address: &str) -> Result<(u16, String), reqwest::Error> {
    // Fails when the program installed a provider already, which is what is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    #[expect(
        clippy::disallowed_methods,
        reason = "one question from the command line, as a browser would ask it"
    )]
    let client = reqwest::Client::builder().redirect(Policy::none()).timeout(PATIENCE).no_proxy().build();
    let mut reply = client?.get(address).send().await?;
    let mut words = Vec::new();
    // A page of somebody else may be long; the words looked for are not.
    while words.len() <= HEALTHY.len()
        && let Some(piece) = reply.chunk().await?
    {
        words.extend_from_slice(&piece);
    }
    Ok((reply.status().as_u16(), String::from_utf8_lossy(&words).into_owned()))
}

/// The last cause of an error, which says most: "certificate expired" and not "error sending request".
fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    causes.last().map_or_else(|| error.to_string(), ToString::to_string)
}

/// Compares our clock with that of whoever tells the time without TLS: a service or a homeserver of the settings.
pub(super) async fn check_clock(settings: Option<&Settings>) -> Finding {
    const CHECK: &str = "clock";
    const CURE: &str = "set the time (timedatectl set-ntp true); logins, links and certificates depend on it";
    let now = clock::now().ms();
    if now < OLDEST_NOW_MS {
        return wrong(CHECK, "is years behind", CURE);
    }
    for host in settings.map(clocks).unwrap_or_default() {
        let Some(theirs) = date_at(&host).await else { continue };
        let off = clock::now().ms() - theirs;
        return match off.abs() {
            ..FAR_OFF_MS => ok(CHECK, format!("agrees with {host}")),
            _ => wrong(CHECK, format!("is {} s {} that of {host}", off.abs() / 1000, side(off)), CURE),
        };
    }
    match settings {
        Some(_) => warning(
            CHECK,
            "is plausible, and nobody was there to compare it with",
            "compare it by hand: date",
        ),
        None => ok(CHECK, "is plausible"),
    }
}

fn side(off: i64) -> &'static str {
    if off < 0 { "behind" } else { "before" }
}

/// Whom to ask for the time.
fn clocks(settings: &Settings) -> Vec<String> {
    let appservice = &settings.matrix.appservice;
    let homeserver = if appservice.enabled { appservice.homeserver.as_str() } else { "" };
    let named = [settings.wechat.service.as_str(), homeserver];
    let plain = named.into_iter().filter_map(|url| {
        let url = Url::parse(url).ok().filter(|url| url.scheme() == "http")?;
        Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
    });
    let real = settings.wechat.service.is_empty() && settings.wechat.proxy.is_empty();
    plain.chain(real.then(|| CLOCK.to_owned())).collect()
}

/// The date of an answer, in milliseconds since the epoch.
async fn date_at(host: &str) -> Option<i64> {
    let asked = async {
        let stream = TcpStream::connect(host).await.ok()?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
        let request = Request::head("/").header("host", host).body(Empty::<Bytes>::new()).ok()?;
        let answer = async move { sender.send_request(request).await.ok() };
        let (_, answer) = tokio::join!(connection, answer);
        date(answer?.headers().get("date")?.to_str().ok()?)
    };
    tokio::time::timeout(PATIENCE, asked).await.ok()?
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` in milliseconds since the epoch.
///
/// Source: RFC 9110, 5.6.7, the preferred format.
fn date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let rest = text.split_once(", ")?.1.strip_suffix(" GMT")?;
    let mut words = rest.split(' ');
    let day: i64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = i64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()? + 1;
    let year: i64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<i64>().ok());
    let (hours, minutes, seconds) = (clock.next()??, clock.next()??, clock.next()??);
    Some((((days(year, month, day) * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000)
}

/// Days from the epoch to a day of the Gregorian calendar, counted in years that begin with March.
pub(super) fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leaps + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_answers_are_read() {
        assert_eq!(date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777_000));
        assert_eq!(date("Thu, 29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199_000));
        for odd in ["", "yesterday", "Sun, 06 Nov 1994 08:49 GMT", "Sun, 06 Foo 1994 08:49:37 GMT"] {
            assert_eq!(date(odd), None, "{odd}");
        }
    }
}
