//! What a browser does with pages of forms: keeps cookies, sends forms, follows to where it is led. Not a
//! browser: no script runs here.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::http::{self, Answer, Lines, Place, encode};

const SOON: Duration = Duration::from_secs(30);
/// Redirects that are followed for one request.
const HOPS: usize = 5;

/// Somebody at the web pages of a gateway.
#[derive(Debug)]
pub struct Browser {
    place: Place,
    cookies: BTreeMap<String, String>,
    /// The cookies as they were set, with their attributes.
    pub set: Vec<String>,
    /// What `Accept-Language` says.
    pub language: &'static str,
}

impl Browser {
    /// At the pages of the listener at `address`.
    pub fn at(address: &str) -> Self {
        Self {
            place: Place::Tcp(address.to_owned()),
            cookies: BTreeMap::new(),
            set: Vec::new(),
            language: "en",
        }
    }

    fn cookie_line(&self) -> String {
        let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    async fn ask(&mut self, method: &str, path: &str, body: String) -> Result<Answer> {
        let cookies = self.cookie_line();
        let headers = [
            ("cookie", cookies.as_str()),
            ("accept-language", self.language),
            ("sec-fetch-site", "same-origin"),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        let answer = http::ask(&self.place, method, path, &headers, body, SOON).await?;
        for line in answer.headers.get_all("set-cookie") {
            let line = line.to_str()?.to_owned();
            let (name, value) =
                line.split(';').next().and_then(|pair| pair.split_once('=')).context("a cookie")?;
            match value.is_empty() {
                true => drop(self.cookies.remove(name)),
                false => drop(self.cookies.insert(name.to_owned(), value.to_owned())),
            }
            self.set.push(line);
        }
        Ok(answer)
    }

    /// Opens a page, and goes where it leads.
    pub async fn open(&mut self, path: &str) -> Result<Answer> {
        let answer = self.ask("GET", path, String::new()).await?;
        self.led(answer).await
    }

    /// Sends a form, and goes where that leads.
    pub async fn send(&mut self, path: &str, fields: &[(&str, &str)]) -> Result<Answer> {
        let answer = self.send_only(path, fields).await?;
        self.led(answer).await
    }

    /// Sends a form.
    pub async fn send_only(&mut self, path: &str, fields: &[(&str, &str)]) -> Result<Answer> {
        let pairs: Vec<String> =
            fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        self.ask("POST", path, pairs.join("&")).await
    }

    async fn led(&mut self, mut answer: Answer) -> Result<Answer> {
        for _ in 0..HOPS {
            if answer.status != 303 {
                return Ok(answer);
            }
            let to = answer.header("location").to_owned();
            ensure!(to.starts_with('/'), "led elsewhere: {to}");
            answer = self.ask("GET", &to, String::new()).await?;
        }
        bail!("led in a circle")
    }

    /// Signs in, and stands on the first page.
    pub async fn sign_in(&mut self, user: &str, password: &str) -> Result<Answer> {
        self.send("/sign-in", &[("user", user), ("password", password), ("back", "/")]).await
    }

    /// Follows the fragments of a page as its script would.
    pub async fn follow(&self, path: &str) -> Result<Fragments> {
        let cookies = self.cookie_line();
        let headers = [("cookie", cookies.as_str()), ("accept-language", self.language)];
        Ok(Fragments(Lines::follow_with(&self.place, "GET", path, &headers).await?))
    }
}

/// Server-sent events. Source: HTML, 9.2.
#[derive(Debug)]
pub struct Fragments(Lines);

impl Fragments {
    /// The next fragment; `None` when there is nothing more to follow.
    pub async fn next(&mut self) -> Result<Option<String>> {
        let (mut event, mut data) = (String::new(), String::new());
        while let Some(line) = self.0.next_text(SOON).await? {
            match line.split_once(':') {
                Some(("event", value)) => event = value.trim().to_owned(),
                Some(("data", value)) => data.push_str(value.trim_start()),
                _ if line.is_empty() && event == "fragment" => return Ok(Some(data)),
                // Without data no browser would hear of it.
                _ if line.is_empty() && event == "end" && !data.is_empty() => return Ok(None),
                _ => {}
            }
        }
        bail!("the stream broke off")
    }

    /// Waits for a fragment that has `part` in it.
    pub async fn expect(&mut self, part: &str) -> Result<String> {
        loop {
            let next = self.next().await.with_context(|| format!("wait for a fragment with {part:?}"))?;
            let fragment = next.with_context(|| format!("it ended without {part:?}"))?;
            if fragment.contains(part) {
                return Ok(fragment);
            }
        }
    }
}

/// The value of the hidden field that guards the forms of a page.
pub fn form_key(page: &str) -> Result<String> {
    let (_, rest) = page.split_once("name=\"key\" value=\"").context("the page has no form key")?;
    Ok(rest.split('"').next().unwrap_or_default().to_owned())
}
