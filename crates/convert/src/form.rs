//! What can be made, of what, and how the program is told so. Pure.

/// A form that some network demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// GIF, small: a sticker of WeChat.
    Sticker,
    /// JPEG or PNG: a picture of WeChat.
    Picture,
    /// MP4 with H.264 and AAC: a film of WeChat.
    Film,
    /// MP3: what every phone plays.
    Sound,
    /// Opus in Ogg: a voice message of Matrix.
    Voice,
}

/// One way to make a form; a further one makes it smaller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recipe {
    /// What the program is told between its input and its output.
    pub(crate) arguments: Vec<String>,
    /// The result's type for the program and for people, and its extension.
    pub(crate) muxer: &'static str,
    pub(crate) mime: &'static str,
    pub(crate) extension: &'static str,
}

/// Largest sticker. Source: the protocol sheet, section 6.3 (larger ones are not shown).
const STICKER_BYTES: u64 = 1 << 20;
/// Largest of anything else: more than any input that is taken can become. Chosen.
const OTHER_BYTES: u64 = 128 << 20;
/// Seconds of a sticker. Chosen: what moves longer is a film.
const STICKER_SECONDS: u32 = 10;
/// Longer edge of a film in pixels. Chosen: what a phone shows.
const FILM_EDGE: u32 = 1280;

impl Form {
    /// Beyond this a result is none.
    pub(crate) fn limit_bytes(self) -> u64 {
        if self == Self::Sticker { STICKER_BYTES } else { OTHER_BYTES }
    }

    /// The ways to make it, the best first. `head` is the beginning of the file.
    pub(crate) fn recipes(self, head: &[u8]) -> Vec<Recipe> {
        let only = |arguments: &str, muxer, mime, extension| {
            let arguments = arguments.split_whitespace().map(str::to_owned).collect();
            vec![Recipe { arguments, muxer, mime, extension }]
        };
        match self {
            Self::Sticker => [(240, ""), (180, "fps=10,"), (120, "fps=8,")].map(sticker).into(),
            Self::Picture if is_photograph(head) => {
                only("-frames:v 1 -an -c:v mjpeg -q:v 3 -pix_fmt yuvj420p", "mjpeg", "image/jpeg", "jpg")
            }
            Self::Picture => only("-frames:v 1 -an -c:v png", "image2pipe", "image/png", "png"),
            Self::Film => vec![film()],
            Self::Sound => only("-vn -c:a libmp3lame -b:a 64k -ac 1", "mp3", "audio/mpeg", "mp3"),
            Self::Voice => only("-vn -c:a libopus -b:a 32k -ac 1", "ogg", "audio/ogg", "ogg"),
        }
    }
}

/// A GIF with colours of its own and see-through parts, at most `edge` pixels on each side.
fn sticker((edge, rate): (u32, &str)) -> Recipe {
    let filter = format!(
        "[0:v]{rate}scale=w='min({edge},iw)':h='min({edge},ih)':force_original_aspect_ratio=decrease,\
         split[a][b];[a]palettegen=reserve_transparent=1[p];[b][p]paletteuse=alpha_threshold=128"
    );
    let seconds = STICKER_SECONDS.to_string();
    let arguments = ["-an", "-t", &seconds, "-filter_complex", &filter].map(str::to_owned).into();
    Recipe { arguments, muxer: "gif", mime: "image/gif", extension: "gif" }
}

fn film() -> Recipe {
    let scale = format!(
        "scale=w='min({FILM_EDGE},iw)':h='min({FILM_EDGE},ih)':force_original_aspect_ratio=decrease:\
         force_divisible_by=2"
    );
    let picture =
        ["-vf", &scale, "-c:v", "libx264", "-preset", "veryfast", "-crf", "26", "-pix_fmt", "yuv420p"];
    let sound = ["-c:a", "aac", "-b:a", "96k", "-ac", "2", "-movflags", "+faststart"];
    let arguments = picture.into_iter().chain(sound).map(str::to_owned).collect();
    Recipe { arguments, muxer: "mp4", mime: "video/mp4", extension: "mp4" }
}

/// True for what holds no see-through parts and was made with loss: as PNG it would be many times larger.
/// Source: RFC 9649, section 2.5 (a lossy WebP without extensions).
fn is_photograph(head: &[u8]) -> bool {
    match head.starts_with(b"RIFF") {
        true => head.get(12..16) == Some(b"VP8 "),
        // HEIC and AVIF: what cameras write.
        false => head.get(4..8) == Some(b"ftyp"),
    }
}

/// How the program is told what a file is. It is never left to guess: a file that calls itself a play
/// list would have it read other files. `None`: it is not given such files.
pub(crate) fn demuxer(mime: &str, head: &[u8]) -> Option<&'static str> {
    Some(match mime {
        "image/png" if head.windows(4).any(|chunk| chunk == b"acTL") => "apng",
        "image/png" => "png_pipe",
        "image/jpeg" => "jpeg_pipe",
        "image/webp" => "webp_pipe",
        "image/bmp" => "bmp_pipe",
        "image/tiff" => "tiff_pipe",
        "image/gif" => "gif",
        "image/heic" | "image/avif" | "video/mp4" | "video/quicktime" | "audio/mp4" => "mov",
        "video/webm" | "video/x-matroska" | "audio/webm" => "matroska",
        "video/x-msvideo" => "avi",
        "audio/ogg" => "ogg",
        "audio/mpeg" => "mp3",
        "audio/amr" => "amr",
        "audio/flac" => "flac",
        "audio/wav" => "wav",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_read_as_something_that_names_other_files() {
        let all = ["application/vnd.apple.mpegurl", "text/plain", "application/dash+xml", "", "audio/silk"];
        assert!(all.into_iter().all(|mime| demuxer(mime, b"").is_none()));
    }

    #[test]
    fn what_moves_is_told_apart_from_what_stands_still() {
        assert_eq!(demuxer("image/png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR....\0\0\0\x08acTL"), Some("apng"));
        assert_eq!(demuxer("image/png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR....IDAT"), Some("png_pipe"));
    }

    #[test]
    fn a_photograph_becomes_a_jpeg_and_a_drawing_a_png() {
        let mime = |head: &[u8]| Form::Picture.recipes(head)[0].mime;
        assert_eq!(mime(b"RIFF....WEBPVP8 "), "image/jpeg");
        assert_eq!(mime(b"RIFF....WEBPVP8L"), "image/png");
        assert_eq!(mime(b"\0\0\0\x1cftypheic"), "image/jpeg");
    }
}
