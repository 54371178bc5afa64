//! HTML → plain text as WeChat shows it: lists, quotes, code and links keep their sense, and pills
//! become mentions.

use percent_encoding::percent_decode_str;

use super::tokens::{Token, attribute, decode, tokens};

/// Nested lists and quotes deeper than this are flattened. Chosen: nobody writes them, and a message
/// made of a thousand `<ul>` must not make a thousand indents.
const DEPTH: usize = 8;
/// What a pill leads to. Source: Matrix specification, appendices, "matrix.to navigation".
const MATRIX_TO: &str = "https://matrix.to/#/";

/// A text and who is named in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plain {
    pub(crate) text: String,
    /// User id and the bytes of the text that name them.
    pub(crate) pills: Vec<(String, (usize, usize))>,
}

/// The text that some HTML stands for.
pub(crate) fn to_plain(html: &str) -> Plain {
    let mut writer = Writer::default();
    for token in tokens(html) {
        writer.take(token);
    }
    writer.finish()
}

/// One open block that marks the beginnings of lines.
enum Block {
    Quote,
    Bullets,
    Numbers(u64),
}

/// A link whose text is being written.
struct Link {
    href: String,
    start: usize,
}

#[derive(Default)]
struct Writer {
    out: Plain,
    blocks: Vec<Block>,
    link: Option<Link>,
    /// Inside `<pre>`: white space counts.
    pre: bool,
    /// Inside something that is not shown.
    hidden: usize,
    /// A line break is due before the next text.
    breaks: usize,
    /// The mark of a list item was just written: what follows stands beside it.
    after_mark: bool,
}

impl Writer {
    fn take(&mut self, token: Token<'_>) {
        match token {
            Token::Text(_) if self.hidden > 0 => {}
            Token::Text(text) => self.text(&decode(text)),
            Token::Open(name, attributes) => self.open(&name, attributes),
            Token::Close(name) => self.close(&name),
        }
    }

    fn open(&mut self, name: &str, attributes: &str) {
        match name {
            // What older clients put in front of a reply.
            "mx-reply" | "script" | "style" => self.hidden += 1,
            "br" => self.line(),
            "p" | "div" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "table" | "details" => self.paragraph(),
            "tr" | "summary" => self.due(1),
            "td" | "th" => self.space(),
            "pre" => {
                self.paragraph();
                self.pre = true;
            }
            "blockquote" => self.begin(Block::Quote),
            "ul" => self.begin(Block::Bullets),
            "ol" => {
                let start = attribute(attributes, "start").and_then(|start| start.parse().ok());
                self.begin(Block::Numbers(start.unwrap_or(1)));
            }
            "li" => self.item(),
            "hr" => {
                self.paragraph();
                self.text("———");
                self.paragraph();
            }
            "img" => {
                let alt = attribute(attributes, "alt").or_else(|| attribute(attributes, "title"));
                self.text(&alt.unwrap_or_default());
            }
            "a" => {
                self.flush();
                let href = attribute(attributes, "href").unwrap_or_default();
                self.link = Some(Link { href, start: self.out.text.len() });
            }
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "mx-reply" | "script" | "style" => self.hidden = self.hidden.saturating_sub(1),
            "p" | "div" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "table" | "details" => self.paragraph(),
            "pre" => {
                self.pre = false;
                self.paragraph();
            }
            "blockquote" | "ul" | "ol" => {
                self.blocks.pop();
                self.due(if self.blocks.is_empty() { 2 } else { 1 });
            }
            "li" => self.due(1),
            "a" => self.end_link(),
            _ => {}
        }
    }

    fn begin(&mut self, block: Block) {
        self.due(if self.blocks.is_empty() { 2 } else { 1 });
        self.blocks.push(block);
    }

    fn item(&mut self) {
        self.due(1);
        let mark = match self.blocks.last_mut() {
            Some(Block::Numbers(next)) => {
                let mark = format!("{next}. ");
                *next = next.saturating_add(1);
                mark
            }
            _ => "- ".to_owned(),
        };
        self.flush();
        self.out.text.push_str(&mark);
        self.after_mark = true;
    }

    fn text(&mut self, text: &str) {
        if self.pre {
            for (n, line) in text.split('\n').enumerate() {
                if n > 0 {
                    self.line();
                }
                if !line.is_empty() {
                    self.flush();
                    self.out.text.push_str(line);
                }
            }
            return;
        }
        for (n, word) in text.split(|c: char| c.is_ascii_whitespace()).enumerate() {
            if n > 0 {
                self.space();
            }
            if !word.is_empty() {
                self.flush();
                self.out.text.push_str(word);
            }
        }
    }

    /// One space, never two, never at the beginning of a line.
    fn space(&mut self) {
        if self.breaks == 0 && !self.out.text.is_empty() && !self.out.text.ends_with([' ', '\n']) {
            self.out.text.push(' ');
        }
    }

    fn line(&mut self) {
        // A break that was asked for adds to those that are due.
        self.breaks = (self.breaks + 1).min(3);
    }

    fn paragraph(&mut self) {
        self.due(if self.blocks.is_empty() { 2 } else { 1 });
    }

    fn due(&mut self, breaks: usize) {
        self.breaks = self.breaks.max(breaks);
    }

    /// Writes the breaks that are due, and what stands at the beginning of the new line.
    fn flush(&mut self) {
        if std::mem::take(&mut self.after_mark) {
            self.breaks = 0;
            return;
        }
        if self.breaks == 0 && !self.out.text.is_empty() {
            return;
        }
        let text = &mut self.out.text;
        text.truncate(text.trim_end_matches(' ').len());
        if !text.is_empty() {
            (0..self.breaks).for_each(|_| text.push('\n'));
        }
        self.breaks = 0;
        let lists = self.blocks.iter().filter(|block| !matches!(block, Block::Quote)).count();
        for block in self.blocks.iter().take(DEPTH) {
            if matches!(block, Block::Quote) {
                text.push_str("> ");
            }
        }
        (1..lists.min(DEPTH)).for_each(|_| text.push_str("  "));
    }

    fn end_link(&mut self) {
        let Some(Link { href, start }) = self.link.take() else { return };
        let shown = self.out.text.get(start..).unwrap_or("").to_owned();
        if let Some(user_id) = pill(&href) {
            // A mention in WeChat begins with the sign; a pill is written without it.
            if !shown.starts_with('@') {
                self.out.text.insert(start, '@');
            }
            self.out.pills.push((user_id, (start, self.out.text.len())));
        } else if is_worth_showing(&href, &shown) {
            self.out.text.push_str(&format!(" ({href})"));
        }
    }

    fn finish(mut self) -> Plain {
        let end = self.out.text.trim_end().len();
        self.out.text.truncate(end);
        self.out.pills.retain(|(_, (_, to))| *to <= end);
        self.out
    }
}

/// The user that a link stands for.
fn pill(href: &str) -> Option<String> {
    let target = match href.strip_prefix("matrix:u/") {
        // Source: MSC2312, `matrix:` URIs.
        Some(user) => format!("@{user}"),
        None => href.strip_prefix(MATRIX_TO)?.to_owned(),
    };
    let target = target.split(['?', '/']).next().unwrap_or_default();
    let user_id = percent_decode_str(target).decode_utf8().ok()?;
    (user_id.starts_with('@') && user_id.contains(':')).then(|| user_id.into_owned())
}

fn is_worth_showing(href: &str, shown: &str) -> bool {
    let is_address =
        href.starts_with("http://") || href.starts_with("https://") || href.starts_with("mailto:");
    let bare = |text: &str| text.trim_end_matches('/').to_owned();
    is_address && bare(href) != bare(shown) && bare(href) != format!("https://{}", bare(shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(html: &str) -> String {
        to_plain(html).text
    }

    #[test]
    fn blocks_become_lines() {
        assert_eq!(plain("one<br>two<br/>three"), "one\ntwo\nthree");
        assert_eq!(plain("<p>one</p><p>two</p>\n"), "one\n\ntwo");
        assert_eq!(plain("<h1>Title</h1>text"), "Title\n\ntext");
        assert_eq!(plain("a - <br>1. <br>b"), "a -\n1.\nb");
    }

    #[test]
    fn lists_keep_their_marks() {
        assert_eq!(plain("<p>do:</p><ul>\n<li>one</li>\n<li><p>two</p></li>\n</ul>"), "do:\n\n- one\n- two");
        assert_eq!(plain("<ol start=\"3\"><li>c</li><li>d</li></ol>"), "3. c\n4. d");
        assert_eq!(plain("<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>"), "- a\n  - b\n- c");
    }

    #[test]
    fn quotes_and_code_keep_their_form() {
        assert_eq!(plain("<blockquote>wise<br>words</blockquote>yes"), "> wise\n> words\n\nyes");
        assert_eq!(plain("<pre><code>if a &lt; b {\n  c\n}\n</code></pre>"), "if a < b {\n  c\n}");
        assert_eq!(plain("use <code>x  y</code>"), "use x y");
    }

    #[test]
    fn links_show_where_they_lead_unless_they_say_it() {
        assert_eq!(plain("<a href=\"https://x.org/a\">here</a>"), "here (https://x.org/a)");
        assert_eq!(plain("<a href=\"https://x.org/\">https://x.org</a>"), "https://x.org");
        assert_eq!(plain("<a href=\"https://x.org\">x.org</a>"), "x.org");
        assert_eq!(plain("<a href=\"javascript:alert(1)\">x</a>"), "x");
    }

    #[test]
    fn a_pill_becomes_a_mention() {
        let html = "hi <a href=\"https://matrix.to/#/@wechat_a_p-bob:test\">Bob</a>: look";
        let said = to_plain(html);
        assert_eq!(said.text, "hi @Bob: look");
        assert_eq!(said.pills, [("@wechat_a_p-bob:test".to_owned(), (3, 7))]);
        let encoded = to_plain("<a href='https://matrix.to/#/%40wechat_a_%3D5f:test'>@X</a>");
        assert_eq!(encoded.pills, [("@wechat_a_=5f:test".to_owned(), (0, 2))]);
    }

    #[test]
    fn what_is_hidden_stays_hidden() {
        assert_eq!(plain("<mx-reply><blockquote>old</blockquote></mx-reply>new"), "new");
        assert_eq!(plain("<img src=\"mxc://x/y\" alt=\":party:\"> hi"), ":party: hi");
    }

    #[test]
    fn deep_nesting_is_bounded() {
        let html = format!("{}x", "<ul><li>".repeat(5000));
        assert!(plain(&html).len() < 30_000);
        assert!(plain(&"<blockquote>".repeat(5000)).is_empty());
    }
}
