//! The data directory and what the gateway itself keeps there.

use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use tokio::net::UnixListener;
use wxgate_store::files;

use crate::clock;
use crate::config::{Settings, secret_fault};
use crate::failure::Failure;

/// Makes the directory with mode 0700 when it is missing.
pub(super) fn data_dir(path: &Path) -> Result<(), Failure> {
    files::make_dir(path, path)
        .map_err(|e| Failure::environment(format!("data_dir: cannot make {}: {e}", path.display())))
}

/// A number of this instance's, made once and kept in its directory under that name.
#[cfg(feature = "otel")]
pub(crate) fn kept_number(place: &Path, name: &str) -> Result<[u8; 32], Failure> {
    data_dir(place)?;
    secret_key(&place.join(name), place)
}

/// 32 random bytes that are made once and kept with mode 0600, for whoever has `data_dir`.
pub(crate) fn secret_key(path: &Path, data_dir: &Path) -> Result<[u8; 32], Failure> {
    let failed = |e: std::io::Error| Failure::environment(format!("{}: {e}", path.display()));
    if let Some(fault) = secret_fault(path) {
        return Err(Failure::config(fault.to_string()));
    }
    match fs::read_to_string(path) {
        Ok(text) => {
            STANDARD.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
                Failure::config(format!(
                    "{} does not hold 32 bytes in base64; remove it to make a new one",
                    path.display()
                ))
            })
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let key = clock::random::<32>()?;
            write_secret(path, &STANDARD.encode(key), data_dir).map_err(failed)?;
            Ok(key)
        }
        Err(e) => Err(failed(e)),
    }
}

/// What stands in somebody's secret file.
pub(super) fn secret(path: &Path) -> Result<String, Failure> {
    if let Some(fault) = secret_fault(path) {
        return Err(Failure::config(fault.to_string()));
    }
    let text = fs::read_to_string(path);
    let text = text.map_err(|e| Failure::environment(format!("{}: {e}", path.display())))?;
    match text.trim() {
        "" => Err(Failure::config(format!("{} is empty", path.display()))),
        secret => Ok(secret.to_owned()),
    }
}

/// A token that is made once and kept with mode 0600, for whoever has `data_dir`.
pub(super) fn token(path: &Path, data_dir: &Path) -> Result<String, Failure> {
    let failed = |e: std::io::Error| Failure::environment(format!("{}: {e}", path.display()));
    if let Some(fault) = secret_fault(path) {
        return Err(Failure::config(fault.to_string()));
    }
    match fs::read_to_string(path) {
        Ok(text) => match text.trim() {
            "" => Err(Failure::config(format!("{} is empty; remove it to make a new token", path.display()))),
            token => Ok(token.to_owned()),
        },
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let token = URL_SAFE_NO_PAD.encode(clock::random::<32>()?);
            write_secret(path, &token, data_dir).map_err(failed)?;
            Ok(token)
        }
        Err(e) => Err(failed(e)),
    }
}

fn write_secret(path: &Path, text: &str, data_dir: &Path) -> std::io::Result<()> {
    files::write_whole(path, format!("{text}\n").as_bytes(), data_dir)
}

/// Listens on the control socket. It appears with mode 0600: it is made in a directory of its own
/// that nobody else can enter, and moved into place.
pub(super) fn control_socket(settings: &Settings) -> Result<UnixListener, Failure> {
    let socket = settings.socket();
    let failed = |e: std::io::Error| {
        let hint = if socket.as_os_str().len() > 90 {
            "; the path is too long for a socket, use a shorter data_dir"
        } else {
            ""
        };
        Failure::environment(format!("cannot make the control socket {}: {e}{hint}", socket.display()))
    };
    let dir = settings.data_dir.join(".ctl");
    let inside = dir.join("s");
    // Left over when an earlier start was killed on one of these lines.
    let _ = fs::remove_file(&inside);
    let _ = fs::remove_dir(&dir);
    DirBuilder::new().mode(0o700).create(&dir).map_err(failed)?;
    let listener = UnixListener::bind(&inside).map_err(failed)?;
    fs::set_permissions(&inside, Permissions::from_mode(0o600)).map_err(failed)?;
    fs::rename(&inside, &socket).map_err(failed)?;
    fs::remove_dir(&dir).map_err(failed)?;
    Ok(listener)
}
