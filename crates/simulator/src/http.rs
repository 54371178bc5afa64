//! Requests as the endpoints read them, and answers as they write them.

use bytes::Bytes;
use serde::Serialize;

use crate::wire;

/// One request, taken apart.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) host: String,
    pub(crate) cookies: Vec<(String, String)>,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: Bytes,
    /// A reason why the body could not be read whole.
    pub(crate) body_fault: Option<&'static str>,
}

impl Request {
    /// The last segment of the path, which is the endpoint's name.
    pub(crate) fn endpoint(&self) -> &str {
        let path = self.path.as_str();
        if path.starts_with("/qrcode/") {
            return "qrcode";
        }
        path.rsplit('/').next().unwrap_or("")
    }

    /// A query parameter; names are compared without case.
    ///
    /// Source: the protocol sheet, section 2.22: `MsgID` and `msgid` are the same.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Percent-decodes; `+` is a space, as in a form.
pub(crate) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let value = text.get(at..at + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
                out.push(value.unwrap_or(b'%'));
                at += if value.is_some() { 2 } else { 0 };
            }
            other => out.push(*other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Reads `a=1&b=2`.
pub(crate) fn form(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// Reads a `Cookie` header.
pub(crate) fn cookies(text: &str) -> Vec<(String, String)> {
    text.split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
        .collect()
}

/// One answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
    pub(crate) set_cookies: Vec<String>,
    pub(crate) location: Option<String>,
    pub(crate) content_range: Option<String>,
}

impl Answer {
    pub(crate) fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type,
            body: body.into(),
            set_cookies: Vec::new(),
            location: None,
            content_range: None,
        }
    }

    /// JSON, under the media type and in the printing of the real service.
    pub(crate) fn json<T: Serialize>(value: &T) -> Self {
        Self::new(200, "text/plain", wire::print(value))
    }

    pub(crate) fn script(text: impl Into<Bytes>) -> Self {
        Self::new(200, "text/javascript", text)
    }

    pub(crate) fn file(content_type: &'static str, body: Bytes) -> Self {
        Self::new(200, content_type, body)
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::new(
            status,
            "text/html",
            format!("<html><head><title>{status}</title></head><body></body></html>"),
        )
    }
}

/// The parts of a `multipart/form-data` body.
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) is_file: bool,
    pub(crate) file_name: String,
    /// Whether the name came in the `filename*=` form, which the service cannot read.
    pub(crate) extended_name: bool,
    pub(crate) data: Bytes,
}

/// Takes a multipart body apart; `None` when it is not one.
pub(crate) fn multipart(content_type: &str, body: &Bytes) -> Option<Vec<Part>> {
    let boundary =
        content_type.split(';').find_map(|piece| piece.trim().strip_prefix("boundary="))?.trim_matches('"');
    let mark = format!("--{boundary}");
    let next_mark = format!("\r\n--{boundary}");
    let mut parts = Vec::new();
    let mut at = find(body, mark.as_bytes(), 0)? + mark.len();
    loop {
        if body.get(at..at + 2)? == b"--" {
            return Some(parts);
        }
        let head_at = at + 2;
        let head_end = find(body, b"\r\n\r\n", head_at)?;
        let data_at = head_end + 4;
        let data_end = find(body, next_mark.as_bytes(), data_at)?;
        let head = String::from_utf8_lossy(body.get(head_at..head_end)?).into_owned();
        let disposition =
            head.lines().find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))?;
        let attribute = |name: &str| {
            disposition.split(';').find_map(|piece| {
                piece.trim().strip_prefix(name).map(|value| value.trim_matches('"').to_owned())
            })
        };
        let extended_name = attribute("filename*=").is_some();
        let file_name = attribute("filename=");
        parts.push(Part {
            name: attribute("name=")?,
            is_file: file_name.is_some() || extended_name,
            file_name: file_name.unwrap_or_default(),
            extended_name,
            data: body.slice(data_at..data_end),
        });
        at = data_end + next_mark.len();
    }
}

/// Where `needle` begins in `hay` at or after `from`.
fn find(hay: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let first = *needle.first()?;
    let mut at = from;
    loop {
        let step = hay.get(at..)?.iter().position(|byte| *byte == first)?;
        at += step;
        if hay.get(at..)?.starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{cookies, decode, form, multipart};

    #[test]
    fn queries_and_cookies_are_decoded_once() {
        assert_eq!(decode("a%2Bb+c%2"), "a+b c%2");
        assert_eq!(
            form("sid=bXk%2B%252B&x"),
            vec![("sid".to_owned(), "bXk+%2B".to_owned()), ("x".to_owned(), String::new())]
        );
        assert_eq!(
            cookies("wxsid=a+b==; wxuin=1"),
            vec![("wxsid".to_owned(), "a+b==".to_owned()), ("wxuin".to_owned(), "1".to_owned())]
        );
    }

    #[test]
    fn a_multipart_body_comes_apart() {
        let body = Bytes::from_static(
            b"--x\r\nContent-Disposition: form-data; name=\"id\"\r\n\r\nWU_FILE_0\r\n--x\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\nhello\r\n\r\n--x--\r\n",
        );
        let parts = multipart("multipart/form-data; boundary=x", &body).unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!(&parts[0].data[..], b"WU_FILE_0");
        assert_eq!((parts[1].file_name.as_str(), &parts[1].data[..]), ("a.txt", &b"hello\r\n"[..]));
        assert!(multipart("text/plain", &body).is_none());
        assert!(multipart("multipart/form-data; boundary=y", &body).is_none());
    }
}
