//! One conversion: out of the vault into a directory, through the program, and back into the vault.

use std::io;
use std::path::{Path, PathBuf};

use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wxgate_contract::{MediaId, MediaInfo, MediaOwner, MediaVault};

use crate::ffmpeg;
use crate::form::{Form, Recipe, demuxer};
use crate::webp;

/// How much of a file is looked at. Source: PNG specification, third edition, section 11.3.1: `acTL`
/// comes before the pixels, behind a colour profile at most.
const HEAD_BYTES: usize = 64 << 10;
/// What is read at once. As the vault gives it.
const PIECE_BYTES: usize = 64 << 10;
/// Names in the directory; nothing that anybody sent is part of a command.
const INPUT: &str = "in";
const OUTPUT: &str = "out";

/// Reads HEIC, which the ffmpeg of Debian 12 (5.1) does not (tried).
const HEIF: &str = "heif-convert";

/// A directory of its own, which goes when this is dropped.
pub(crate) struct Job {
    dir: PathBuf,
}

impl Job {
    pub(crate) fn begin(dir: PathBuf) -> io::Result<Self> {
        std::fs::create_dir(&dir)?;
        Ok(Self { dir })
    }

    /// Makes it; the error says why not, without anything that stands in the file.
    pub(crate) async fn carry_out(
        &self,
        program: &Path,
        vault: &dyn MediaVault,
        (source, target): (&MediaInfo, MediaId),
        form: Form,
    ) -> Result<MediaInfo, String> {
        let head = self.lay_out(vault, source.media).await?;
        let demuxer = demuxer(&source.mime, &head).ok_or("it is of a kind that is not converted")?;
        let input = match demuxer {
            "webp_pipe" if webp::is_moving(&head) => self.lay_pictures(program, form).await?,
            "mov" if source.mime == "image/heic" => self.lay_still().await?,
            demuxer => ["-f", demuxer, "-i", INPUT].map(str::to_owned).into(),
        };
        let mut last = String::new();
        for recipe in form.recipes(&head) {
            self.make(program, &input, &recipe).await?;
            let made = tokio::fs::metadata(self.dir.join(OUTPUT)).await.map_or(0, |made| made.len());
            match made {
                0 => last = "nothing came out".to_owned(),
                bytes if bytes > form.limit_bytes() => last = format!("it would have {bytes} bytes"),
                _ => return self.take_in(vault, (source, target), &recipe).await,
            }
        }
        Err(last)
    }

    /// Writes the file into the directory; gives its beginning.
    async fn lay_out(&self, vault: &dyn MediaVault, media: MediaId) -> Result<Vec<u8>, String> {
        let mut reader = vault.reader(media, 0).await.map_err(|error| error.to_string())?;
        let mut file = File::create(self.dir.join(INPUT)).await.map_err(stuck)?;
        let mut head = Vec::new();
        while let Some(piece) = reader.read().await.map_err(|error| error.to_string())? {
            let missing = HEAD_BYTES.saturating_sub(head.len()).min(piece.len());
            head.extend_from_slice(&piece[..missing]);
            file.write_all(&piece).await.map_err(stuck)?;
        }
        file.flush().await.map_err(stuck)?;
        Ok(head)
    }

    /// Lays the pictures of what moves over each other, as raw pixels; gives how they are to be read.
    async fn lay_pictures(&self, program: &Path, form: Form) -> Result<Vec<String>, String> {
        const ONE: &str = "one";
        const RAW: &str = "raw";
        let file = tokio::fs::read(self.dir.join(INPUT)).await.map_err(stuck)?;
        let animation = webp::take_apart(&file)?;
        let mut raw = File::create(self.dir.join(RAW)).await.map_err(stuck)?;
        let mut canvas = webp::Canvas::of(&animation);
        let (mut left, wanted) = match form {
            Form::Sticker => (2 * webp::PICTURES, animation.pictures.len()),
            _ => (1, 1),
        };
        for picture in animation.pictures.iter().take(wanted) {
            if left == 0 {
                break;
            }
            tokio::fs::write(self.dir.join(ONE), &picture.file).await.map_err(stuck)?;
            let input = ["-f", "webp_pipe", "-i", ONE].map(str::to_owned);
            self.make(program, &input, &pixels()).await?;
            let pixels = tokio::fs::read(self.dir.join(OUTPUT)).await.map_err(stuck)?;
            if !canvas.show(picture, &pixels) {
                return Err("a picture of it is not as large as it says".to_owned());
            }
            let times = picture.times().min(left);
            left -= times;
            for _ in 0..times {
                raw.write_all(&canvas.pixels).await.map_err(stuck)?;
            }
            canvas.pass(picture);
        }
        raw.flush().await.map_err(stuck)?;
        let (size, rate) = (format!("{}x{}", animation.width, animation.height), webp::RATE.to_string());
        let input = ["-f", "rawvideo", "-pixel_format", "rgba", "-video_size", &size, "-framerate", &rate];
        Ok(input.into_iter().chain(["-i", RAW]).map(str::to_owned).collect())
    }

    /// Has the picture of a HEIC taken out by a program that can; gives how it is to be read.
    async fn lay_still(&self) -> Result<Vec<String>, String> {
        const STILL: &str = "still.png";
        let program = crate::find(HEIF, &std::env::var_os("PATH").unwrap_or_default());
        let program = program.ok_or("heif-convert (Debian: libheif-examples) is not installed")?;
        ffmpeg::run(&program, &self.dir, &[INPUT, STILL]).await?;
        Ok(["-f", "png_pipe", "-i", STILL].map(str::to_owned).into())
    }

    async fn make(&self, program: &Path, input: &[String], recipe: &Recipe) -> Result<(), String> {
        // Source: the manual of ffmpeg 5.1, "Main options"; `-map_metadata -1` leaves out where and with
        // what a picture was taken.
        let before = ["-nostdin", "-hide_banner", "-loglevel", "quiet", "-y", "-threads", "1"];
        let input = input.iter().map(String::as_str);
        let output = ["-sn", "-dn", "-threads", "1", "-f", recipe.muxer, OUTPUT];
        let told = recipe.arguments.iter().map(String::as_str);
        let before = before.into_iter().chain(["-protocol_whitelist", "file"]).chain(input);
        let all: Vec<&str> = before.chain(["-map_metadata", "-1"]).chain(told).chain(output).collect();
        ffmpeg::run(program, &self.dir, &all).await
    }

    async fn take_in(
        &self,
        vault: &dyn MediaVault,
        (source, target): (&MediaInfo, MediaId),
        recipe: &Recipe,
    ) -> Result<MediaInfo, String> {
        let mut file = File::open(self.dir.join(OUTPUT)).await.map_err(stuck)?;
        let name = renamed(&source.name, recipe.extension);
        let failed = |error: wxgate_contract::MediaError| error.to_string();
        let owner = MediaOwner::Media(source.media);
        let mut writer = vault.writer(target, &name, recipe.mime, owner).await.map_err(failed)?;
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            let read = file.read(&mut piece).await.map_err(stuck)?;
            if read == 0 {
                return writer.finish().await.map_err(failed);
            }
            piece.truncate(read);
            writer.write(piece.into()).await.map_err(failed)?;
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            tracing::warn!(%error, "files of a conversion could not be removed");
        }
    }
}

/// How one picture becomes pixels.
fn pixels() -> Recipe {
    let arguments = ["-frames:v", "1", "-pix_fmt", "rgba", "-c:v", "rawvideo"].map(str::to_owned).into();
    Recipe { arguments, muxer: "rawvideo", mime: "", extension: "" }
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err gives it")]
fn stuck(error: io::Error) -> String {
    format!("the disk: {error}")
}

/// The name with another extension.
fn renamed(name: &str, extension: &str) -> String {
    // What stands behind the last dot is an extension when it looks like one.
    let stem = match name.rsplit_once('.') {
        Some((stem, old)) if !stem.is_empty() && (1..=5).contains(&old.len()) => stem,
        _ => name,
    };
    let stem = if stem.is_empty() { "file" } else { stem };
    format!("{stem}.{extension}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_all_but_its_extension() {
        assert_eq!(renamed("家.webp", "jpg"), "家.jpg");
        assert_eq!(renamed("v1.2 final version", "mp3"), "v1.2 final version.mp3");
        assert_eq!(renamed(".webp", "gif"), ".webp.gif");
        assert_eq!(renamed("", "gif"), "file.gif");
    }
}
