//! Reading the service's JavaScript answers by pattern, never by evaluating them.
//!
//! Source: the protocol sheet, sections 2.2, 2.4 and 2.11: spaces, quotes and line breaks vary.

/// The value that follows `name` and an `=` or `:`, without its quotes.
///
/// The name must not be the tail of a longer word, so `uuid` does not match `fooguuid`.
pub(crate) fn value<'a>(script: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = script;
    loop {
        let (before, after) = rest.split_once(name)?;
        let starts_word = !before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let tail = after.trim_start_matches([' ', '\t', '\r', '\n', '"', '\'']);
        if starts_word
            && let Some(tail) = tail.strip_prefix(['=', ':'])
            && !tail.starts_with('=')
        {
            return Some(token(tail.trim_start()));
        }
        rest = after;
    }
}

/// A quoted text up to its closing quote, or a bare word.
fn token(tail: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inside) = tail.strip_prefix(quote) {
            return inside.split(quote).next().unwrap_or_default();
        }
    }
    tail.split([';', ',', '}', ' ', '\t', '\r', '\n']).next().unwrap_or_default()
}

/// A value that is a number, quoted or not.
pub(crate) fn number(script: &str, name: &str) -> Option<i64> {
    value(script, name)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_07_spaces_and_quotes_do_not_matter() {
        for script in [
            "window.QRLogin.code = 200; window.QRLogin.uuid = \"gZk7Qm2XwA==\";",
            "window.QRLogin.code=200;window.QRLogin.uuid='gZk7Qm2XwA==';",
            "window.QRLogin.code  =\n 200 ;\r\nwindow.QRLogin.uuid=\"gZk7Qm2XwA==\"",
        ] {
            assert_eq!(number(script, "QRLogin.code"), Some(200), "{script}");
            assert_eq!(value(script, "QRLogin.uuid"), Some("gZk7Qm2XwA=="), "{script}");
        }
    }

    #[test]
    fn item_18_codes_are_numbers_whatever_their_quotes() {
        for script in [
            "window.synccheck={retcode:\"1101\",selector:\"0\"}",
            "window.synccheck={retcode : 1101 , selector : 0}",
            "window.synccheck={\"retcode\":\"1101\",\"selector\":\"0\"}",
        ] {
            assert_eq!(number(script, "retcode"), Some(1101), "{script}");
            assert_eq!(number(script, "selector"), Some(0), "{script}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        assert_eq!(number("", "retcode"), None);
        assert_eq!(number("myretcode:1", "retcode"), None);
        assert_eq!(number("retcode", "retcode"), None);
        assert_eq!(number("retcode:\"x\"", "retcode"), None);
        assert_eq!(number("if (window.code == 3) {}", "code"), None);
    }
}
