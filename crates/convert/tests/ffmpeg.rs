//! Files through the real program. Where it is not installed this says so and passes: it is optional.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::process::Command;

use wxgate_contract::conformance::Double;
use wxgate_contract::{MediaId, MediaInfo, MediaOwner, MediaState};
use wxgate_convert::{Converter, Form, find};

/// A converter, and the program for making what is to be converted.
fn converter() -> Option<(Converter, tempfile::TempDir)> {
    let Some(program) = find("ffmpeg", &std::env::var_os("PATH").unwrap_or_default()) else {
        eprintln!("NOT tested: no ffmpeg here; run: cargo xtask setup");
        return None;
    };
    let dir = tempfile::tempdir().unwrap();
    Some((Converter::new(program, dir.path().join("work")).unwrap(), dir))
}

/// What the program makes of its own test picture and test sound.
fn sample(dir: &tempfile::TempDir, name: &str, arguments: &str) -> Vec<u8> {
    let path = dir.path().join(name);
    let mut command = Command::new("ffmpeg");
    let status =
        command.args(["-loglevel", "error"]).args(arguments.split_whitespace()).arg(&path).status().unwrap();
    assert!(status.success());
    std::fs::read(path).unwrap()
}

fn put(vault: &Double, bytes: Vec<u8>, name: &str, mime: &str) -> MediaInfo {
    let media = MediaId([7; 16]);
    let size_bytes = bytes.len() as u64;
    vault.put_media(media, name, mime, bytes);
    MediaInfo { media, state: MediaState::Ready, name: name.to_owned(), mime: mime.to_owned(), size_bytes }
}

const STILL: &str = "-f lavfi -i testsrc=size=600x400:rate=10 -frames:v 1";
const MOVING: &str = "-f lavfi -i testsrc=size=160x120:rate=5:duration=1";
const TONE: &str = "-f lavfi -i sine=440:duration=2";

#[tokio::test]
async fn what_several_want_at_once_is_made_once() {
    let Some((converter, dir)) = converter() else { return };
    // A program that takes note of each run.
    let (runs, program) = (dir.path().join("runs"), dir.path().join("counting"));
    let real = find("ffmpeg", &std::env::var_os("PATH").unwrap()).unwrap();
    let script = format!("#!/bin/sh\necho run >> {}\nexec {} \"$@\"\n", runs.display(), real.display());
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    drop(converter);
    let converter = Converter::new(program, dir.path().join("work")).unwrap();
    let vault = Double::new();
    let info = put(&vault, sample(&dir, "a.ogg", TONE), "a.ogg", "audio/ogg");
    let wanted = || converter.convert(&vault, &info, Form::Sound);
    let (one, two, three) = tokio::join!(wanted(), wanted(), wanted());
    assert!(one.is_some() && one == two && two == three);
    assert_eq!(std::fs::read_to_string(runs).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn every_form_is_made_of_what_people_send() {
    let Some((converter, dir)) = converter() else { return };
    for (name, arguments, mime, form, start, as_name) in [
        ("a.webp", STILL, "image/webp", Form::Sticker, &b"GIF89a"[..], "a.gif"),
        ("b.png", STILL, "image/png", Form::Sticker, b"GIF89a", "b.gif"),
        ("c.webm", MOVING, "video/webm", Form::Sticker, b"GIF89a", "c.gif"),
        ("d.webp", STILL, "image/webp", Form::Picture, b"\xff\xd8\xff", "d.jpg"),
        ("e.mov", MOVING, "video/quicktime", Form::Film, b"\0\0\0", "e.mp4"),
        ("f.ogg", TONE, "audio/ogg", Form::Sound, b"ID3", "f.mp3"),
        ("g.mp3", TONE, "audio/mpeg", Form::Voice, b"OggS", "g.ogg"),
    ] {
        let vault = Double::new();
        let info = put(&vault, sample(&dir, name, arguments), name, mime);
        let made = converter.convert(&vault, &info, form).await.unwrap_or_else(|| panic!("{name}"));
        let bytes = vault.media_bytes(made.media).unwrap();
        assert_eq!(vault.media_owner(made.media), Some(MediaOwner::Media(info.media)));
        assert!(bytes.starts_with(start), "{name} begins with {:?}", &bytes[..8]);
        assert_eq!(made.name, as_name);
        // The second time it is there already, and is the same.
        assert_eq!(converter.convert(&vault, &info, form).await.map(|made| made.media), Some(made.media));
    }
    assert_eq!(std::fs::read_dir(dir.path().join("work")).unwrap().count(), 0, "files were left behind");
}

#[tokio::test]
async fn a_moving_sticker_moves_and_is_small() {
    let Some((converter, dir)) = converter() else { return };
    let vault = Double::new();
    // Noise is what a GIF is worst at: it fits in the smallest size alone.
    let noise = "-f lavfi -i testsrc=size=240x240:rate=20:duration=2 -vf noise=alls=80:allf=t -c:v mjpeg";
    let info = put(&vault, sample(&dir, "noise.avi", noise), "noise.avi", "video/x-msvideo");
    let made = converter.convert(&vault, &info, Form::Sticker).await.unwrap();
    assert!(made.size_bytes <= 1 << 20, "{}", made.size_bytes);
    let gif = vault.media_bytes(made.media).unwrap();
    assert!(gif[6] < 240, "it is {} pixels wide", gif[6]);
    let info = put(&vault, sample(&dir, "m.webm", MOVING), "m.webm", "video/webm");
    let vault = Double::new();
    vault.put_media(info.media, "m.webm", "video/webm", std::fs::read(dir.path().join("m.webm")).unwrap());
    let made = converter.convert(&vault, &info, Form::Sticker).await.unwrap();
    let gif = vault.media_bytes(made.media).unwrap();
    // Each picture begins with a graphic control extension. Source: GIF89a, section 23.
    let pictures = gif.windows(3).filter(|bytes| *bytes == b"\x21\xf9\x04").count();
    assert!(pictures > 1, "{pictures} pictures");
}

/// What another program makes of a file; `None` where it is not installed.
fn made_by(dir: &tempfile::TempDir, program: &str, arguments: &[&str], made: &str) -> Option<Vec<u8>> {
    let Some(program) = find(program, &std::env::var_os("PATH").unwrap_or_default()) else {
        eprintln!("NOT tested: no {program} here; Debian has it in webp and libheif-examples");
        return None;
    };
    let status = Command::new(program).args(arguments).current_dir(dir.path()).status().unwrap();
    assert!(status.success());
    Some(std::fs::read(dir.path().join(made)).unwrap())
}

#[tokio::test]
async fn a_moving_webp_becomes_a_moving_sticker_and_a_still_picture() {
    let Some((converter, dir)) = converter() else { return };
    sample(&dir, "m.gif", MOVING);
    for kind in ["-lossy", "-mixed"] {
        let Some(webp) = made_by(&dir, "gif2webp", &["-quiet", kind, "m.gif", "-o", "m.webp"], "m.webp")
        else {
            return;
        };
        let vault = Double::new();
        let info = put(&vault, webp, "m.webp", "image/webp");
        let made = converter.convert(&vault, &info, Form::Sticker).await.unwrap();
        let gif = vault.media_bytes(made.media).unwrap();
        let pictures = gif.windows(3).filter(|bytes| *bytes == b"\x21\xf9\x04").count();
        assert!(gif.starts_with(b"GIF89a") && pictures > 1, "{pictures} pictures");
        let still = converter.convert(&vault, &info, Form::Picture).await.unwrap();
        assert!(vault.media_bytes(still.media).unwrap().starts_with(b"\x89PNG"));
    }
}

#[tokio::test]
async fn a_heic_becomes_a_photograph() {
    let Some((converter, dir)) = converter() else { return };
    sample(&dir, "s.png", STILL);
    let arguments = ["-q", "60", "s.png", "-o", "s.heic"];
    let Some(heic) = made_by(&dir, "heif-enc", &arguments, "s.heic") else { return };
    let vault = Double::new();
    let info = put(&vault, heic, "IMG_1.heic", "image/heic");
    let made = converter.convert(&vault, &info, Form::Picture).await.unwrap();
    assert!(vault.media_bytes(made.media).unwrap().starts_with(b"\xff\xd8\xff"));
    assert_eq!(made.name, "IMG_1.jpg");
}

#[tokio::test]
async fn what_is_no_such_file_goes_as_it_is() {
    let Some((converter, dir)) = converter() else { return };
    for (bytes, mime, form) in [
        (b"RIFF....WEBPVP8 and nothing else".to_vec(), "image/webp", Form::Sticker),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n".to_vec(), "audio/ogg", Form::Sound),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n".to_vec(), "application/x-mpegurl", Form::Film),
        (Vec::new(), "image/png", Form::Sticker),
    ] {
        let vault = Double::new();
        let info = put(&vault, bytes, "x", mime);
        assert_eq!(converter.convert(&vault, &info, form).await, None, "{mime}");
    }
    assert_eq!(std::fs::read_dir(dir.path().join("work")).unwrap().count(), 0, "files were left behind");
}

#[tokio::test]
async fn a_program_that_hangs_is_ended_when_nobody_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let (program, alive) = (dir.path().join("ffmpeg"), dir.path().join("alive"));
    std::fs::write(&program, format!("#!/bin/sh\necho $$ > {}\nexec sleep 1000\n", alive.display())).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let converter = Converter::new(program, dir.path().join("work")).unwrap();
    let vault = Double::new();
    let info = put(&vault, b"x".to_vec(), "x.png", "image/png");
    let begun = async {
        while !std::fs::read_to_string(&alive).is_ok_and(|pid| pid.ends_with('\n')) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = converter.convert(&vault, &info, Form::Sticker) => panic!("it ended by itself"),
        () = begun => {}
    }
    assert_eq!(std::fs::read_dir(dir.path().join("work")).unwrap().count(), 0, "files were left behind");
    let pid = std::fs::read_to_string(&alive).unwrap();
    let stat = std::path::PathBuf::from(format!("/proc/{}/stat", pid.trim()));
    // Killed, and perhaps not yet collected.
    while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        tokio::task::yield_now().await;
    }
}
