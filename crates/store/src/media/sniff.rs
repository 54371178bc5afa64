//! Media types from the first bytes. Only what browsers and chat clients show; anything else
//! keeps the type it was announced with.

/// How many bytes are looked at.
pub(super) const HEAD_BYTES: usize = 32;

/// The type that the bytes themselves show.
///
/// Source: the file signatures in the WHATWG MIME Sniffing Standard, sections 6.1 to 6.3; AMR from
/// RFC 4867, section 5; SILK from the header its encoder writes; TIFF 6.0, section 2; brands from ISO/IEC 23008-12,
/// annexes B to D, and the AV1 Image File Format, section 6.
pub(super) fn sniff(head: &[u8]) -> Option<&'static str> {
    const START: &[(&[u8], &str)] = &[
        (b"\xFF\xD8\xFF", "image/jpeg"),
        (b"\x89PNG\r\n\x1A\n", "image/png"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"II*\0", "image/tiff"),
        (b"MM\0*", "image/tiff"),
        (b"ID3", "audio/mpeg"),
        (b"\xFF\xFB", "audio/mpeg"),
        (b"\xFF\xF3", "audio/mpeg"),
        (b"OggS", "audio/ogg"),
        (b"fLaC", "audio/flac"),
        (b"#!AMR", "audio/amr"),
        (b"#!SILK_V3", "audio/silk"),
        (b"\x02#!SILK_V3", "audio/silk"),
        (b"\x1A\x45\xDF\xA3", "video/webm"),
        (b"%PDF-", "application/pdf"),
        (b"PK\x03\x04", "application/zip"),
    ];
    let kind_of = |tag: &[u8]| -> Option<&'static str> {
        Some(match tag {
            b"WEBP" => "image/webp",
            b"WAVE" => "audio/wav",
            b"AVI " => "video/x-msvideo",
            _ => return None,
        })
    };
    if let Some((_, mime)) = START.iter().find(|(start, _)| head.starts_with(start)) {
        return Some(mime);
    }
    // Words begin with these letters too; two fields behind the size are always zero in a picture.
    if head.starts_with(b"BM") {
        return (head.get(6..10)? == [0; 4]).then_some("image/bmp");
    }
    if head.starts_with(b"RIFF") {
        return kind_of(head.get(8..12)?);
    }
    if head.get(4..8)? == b"ftyp" {
        return Some(match head.get(8..12)? {
            b"qt  " => "video/quicktime",
            b"M4A " => "audio/mp4",
            b"avif" | b"avis" => "image/avif",
            b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"hevm" | b"hevs" => "image/heic",
            // One picture or several, in whichever way; those that it is compatible with say which.
            b"mif1" | b"msf1" if head.chunks(4).any(|brand| matches!(brand, b"avif" | b"avis")) => {
                "image/avif"
            }
            b"mif1" | b"msf1" => "image/heic",
            _ => "video/mp4",
        });
    }
    None
}

/// A sniffed zip says less than an announced office document does; everything else is believed
/// to the bytes.
pub(super) fn best(head: &[u8], announced: &str) -> String {
    match sniff(head) {
        Some("application/zip") if !announced.is_empty() => announced.to_owned(),
        Some(sniffed) => sniffed.to_owned(),
        // Claiming to be a picture (or a page) without looking like one is not believed.
        None if announced.starts_with("image/") || announced.starts_with("text/html") => {
            "application/octet-stream".to_owned()
        }
        None => announced.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_come_from_the_bytes() {
        assert_eq!(best(b"\x89PNG\r\n\x1A\n....", "image/jpeg"), "image/png");
        assert_eq!(best(b"RIFF\0\0\0\0WEBPVP8 ", ""), "image/webp");
        assert_eq!(best(b"\0\0\0\x20ftypisom", ""), "video/mp4");
        assert_eq!(best(b"\0\0\0\x20ftypM4A ", ""), "audio/mp4");
        assert_eq!(
            best(b"PK\x03\x04", "application/vnd.oasis.opendocument.text"),
            "application/vnd.oasis.opendocument.text"
        );
        assert_eq!(best(b"\0\0\0\x20ftypmif1\0\0\0\0mif1heic", "image/heic"), "image/heic");
        assert_eq!(best(b"\0\0\0\x20ftypmif1\0\0\0\0mif1avif", ""), "image/avif");
        assert_eq!(best(b"\0\0\0\x20ftypavis\0\0\0\0", ""), "image/avif");
        assert_eq!(best(b"\0\0\0\x20ftyphevc\0\0\0\0", ""), "image/heic");
        assert_eq!(best(b"II*\0\x08\0\0\0", "image/tiff"), "image/tiff");
        assert_eq!(best(b"MM\0*\0\0\0\x08", ""), "image/tiff");
        assert_eq!(best(b"BM\x36\x10\0\0\0\0\0\0\x36\0\0\0", ""), "image/bmp");
        assert_eq!(best(b"BMW is a make of cars", "text/plain"), "text/plain");
        assert_eq!(best(b"BM", "text/plain"), "text/plain");
        assert_eq!(best(b"<script>", "image/png"), "application/octet-stream");
        assert_eq!(best(b"hello", "text/plain"), "text/plain");
        assert_eq!(best(b"", ""), "");
    }
}
