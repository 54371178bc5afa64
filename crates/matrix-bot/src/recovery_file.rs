//! The file that holds the account's recovery key.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use wxgate_matrix::Secret;

/// Longest file that can be one. Source: a key has 12 groups of four; a passphrase may be longer.
const LONGEST: u64 = 4096;

/// The key in the file; `None` where there is no file, or nothing in it.
///
/// # Errors
/// Why it cannot be read, also when others can read it.
pub(crate) fn read(path: &Path) -> io::Result<Option<Secret>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if file.metadata()?.permissions().mode() & 0o007 != 0 {
        return Err(io::Error::other("everybody on this machine can read it; make it mode 0600"));
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text)?;
    let secret = Secret::new(text);
    Ok((!secret.is_empty()).then_some(secret))
}

/// Whether a key can be written there.
pub(crate) fn can_be_written(path: &Path) -> io::Result<()> {
    let new = path.with_extension("new");
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?.write_all(b"\n")?;
    std::fs::remove_file(&new)
}

/// Writes the key, whole or not at all, for nobody else to read.
pub(crate) fn write(path: &Path, key: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    writeln!(file, "{key}")?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_for_us_alone_and_read_again() {
        let dir = std::env::temp_dir().join(format!("wxgate-recovery-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("bot.recovery");
        assert!(read(&path).unwrap().is_none());
        write(&path, "EsTR abcd").unwrap();
        assert_eq!(read(&path).unwrap().unwrap().reveal(), "EsTR abcd");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("0600"));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
