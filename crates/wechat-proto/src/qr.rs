//! What a login QR code contains.

use crate::{hosts::QR_HOST, percent};

/// The text to draw; drawing it ourselves saves the picture download and works in a terminal.
///
/// Source: the protocol sheet, section 2.3 and 8.1 (the uuid stays as it came).
#[must_use]
pub fn text(uuid: &str) -> String {
    format!("https://{QR_HOST}/l/{uuid}")
}

/// Where the service draws it as a JPEG.
///
/// Source: the protocol sheet, section 2.3; encoding the padding is equally correct (section 2.2).
#[must_use]
pub fn picture_url(uuid: &str) -> String {
    format!("https://{QR_HOST}/qrcode/{}", percent::encode(uuid))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_text_is_the_one_of_the_transcript() {
        assert_eq!(super::text("gZk7Qm2XwA=="), "https://login.weixin.qq.com/l/gZk7Qm2XwA==");
        assert_eq!(super::picture_url("a/b="), "https://login.weixin.qq.com/qrcode/a%2Fb%3D");
    }
}
