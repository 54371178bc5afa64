//! What the bot says: plain text and the same as HTML, built side by side so that neither has to be
//! guessed from the other, and nothing that a person is called can become markup.

use crate::format::markup::escape;
use serde_json::{Value, json};

/// An answer under construction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    plain: String,
    html: String,
    /// A list is open.
    is_listing: bool,
}

impl Answer {
    /// One sentence.
    pub(crate) fn of(text: &str) -> Self {
        Self::default().text(text)
    }

    /// Plain words.
    pub(crate) fn text(mut self, text: &str) -> Self {
        self.plain.push_str(text);
        self.html.push_str(&escape(text));
        self
    }

    /// Words to be typed.
    pub(crate) fn code(mut self, text: &str) -> Self {
        self.plain.push_str(&format!("`{text}`"));
        self.html.push_str(&format!("<code>{}</code>", escape(text)));
        self
    }

    /// Words that stand out.
    pub(crate) fn strong(mut self, text: &str) -> Self {
        self.plain.push_str(text);
        self.html.push_str(&format!("<strong>{}</strong>", escape(text)));
        self
    }

    /// A way to a room or a person of Matrix.
    pub(crate) fn link(mut self, id: &str, name: &str) -> Self {
        let url = format!("https://matrix.to/#/{id}");
        self.plain.push_str(&format!("{name} ({url})"));
        self.html.push_str(&format!("<a href=\"{}\">{}</a>", escape(&url), escape(name)));
        self
    }

    /// Begins an entry of a list.
    pub(crate) fn item(mut self) -> Self {
        self.plain.push_str(if self.plain.is_empty() { "• " } else { "\n• " });
        self.html.push_str(if self.is_listing { "</li><li>" } else { "<ul><li>" });
        self.is_listing = true;
        self
    }

    /// Begins a line; ends a list.
    pub(crate) fn line(mut self) -> Self {
        if !self.plain.is_empty() {
            self.plain.push('\n');
            self.html.push_str(if self.is_listing { "</li></ul>" } else { "<br/>" });
        }
        self.is_listing = false;
        self
    }

    /// The plain text.
    pub(crate) fn plain(&self) -> &str {
        &self.plain
    }

    /// The content of the message.
    pub(crate) fn content(&self) -> Value {
        let end = if self.is_listing { "</li></ul>" } else { "" };
        let html = format!("{}{end}", self.html);
        match html == escape(&self.plain) {
            true => json!({ "msgtype": "m.notice", "body": self.plain }),
            false => json!({
                "msgtype": "m.notice", "body": self.plain,
                "format": "org.matrix.custom.html", "formatted_body": html,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_becomes_markup() {
        let answer = Answer::of("hello ").strong("<b>`x` & \"y\"").text("!");
        assert_eq!(answer.plain(), "hello <b>`x` & \"y\"!");
        let html = "hello <strong>&lt;b&gt;`x` &amp; &quot;y&quot;</strong>!";
        assert_eq!(answer.content()["formatted_body"], html);
    }

    #[test]
    fn lists_are_closed() {
        let answer = Answer::of("Two:").item().code("a").item().text("b");
        assert_eq!(answer.plain(), "Two:\n• `a`\n• b");
        assert_eq!(answer.content()["formatted_body"], "Two:<ul><li><code>a</code></li><li>b</li></ul>");
        let answer = answer.line().text("end");
        assert_eq!(answer.content()["formatted_body"], "Two:<ul><li><code>a</code></li><li>b</li></ul>end");
    }

    #[test]
    fn what_needs_no_markup_has_none() {
        assert_eq!(Answer::of("plain").content().get("formatted_body"), None);
    }
}
