use super::*;

fn dir(name: &str) -> std::path::PathBuf {
    let dir = std::env::temp_dir().join(format!("wxgate-seal-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    dir
}

#[test]
fn whoever_has_the_same_key_file_has_the_same_secrets_one_for_each_purpose() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    SealKey::load_or_create(&one).unwrap();
    SealKey::load_or_create(&two).unwrap();
    let secret = SealKey::derived(&one, "lines").unwrap();
    assert_eq!(SealKey::derived(&one, "lines").unwrap(), secret);
    assert_ne!(SealKey::derived(&one, "else").unwrap(), secret);
    assert_ne!(SealKey::derived(&two, "lines").unwrap(), secret);
    let none = SealKey::derived(&dir.path().join("none"), "lines");
    assert!(matches!(none, Err(StoreError::Unavailable { .. })));
}

#[test]
fn a_secret_opens_only_in_its_place_and_with_its_key() {
    let key = SealKey::from_bytes(&[1; 32]).unwrap();
    let place = Place::Note { network: "w:a", key: "session" };
    let sealed = key.seal(&place, b"cookie").unwrap();
    assert!(!sealed.windows(6).any(|w| w == b"cookie"));
    assert_eq!(key.open(&place, &sealed).as_deref(), Some(&b"cookie"[..]));
    assert_eq!(key.open(&Place::Note { network: "w:b", key: "session" }, &sealed), None);
    assert_eq!(key.open(&Place::Media { network: "w:a", media: "session" }, &sealed), None);
    assert_eq!(SealKey::from_bytes(&[2; 32]).unwrap().open(&place, &sealed), None);
    assert_eq!(key.open(&place, &sealed[..5]), None);
}

#[test]
fn a_key_file_is_made_once_and_read_again() {
    let dir = dir("made");
    let path = dir.join("seal.key");
    let first = SealKey::load_or_create(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let place = Place::Note { network: "n", key: "k" };
    let sealed = first.seal(&place, b"x").unwrap();
    let second = SealKey::load_or_create(&path).unwrap();
    assert_eq!(second.open(&place, &sealed).as_deref(), Some(&b"x"[..]));
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing is left beside the key");
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_key_file_that_everybody_can_read_or_that_is_damaged_is_refused() {
    let dir = dir("bad");
    let path = dir.join("seal.key");
    SealKey::load_or_create(&path).unwrap();
    // Of a system service's group.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    SealKey::load_or_create(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let error = SealKey::load_or_create(&path).unwrap_err().to_string();
    assert!(error.contains("chmod 600") && error.contains("644"), "{error}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, "c2hvcnQ=").unwrap();
    let error = SealKey::load_or_create(&path).unwrap_err().to_string();
    assert!(error.contains("32 bytes"), "{error}");
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_key_in_a_directory_that_cannot_be_written_is_not_replaced_and_says_what_to_do() {
    // Nobody writes there, root neither.
    let error = write_file(Path::new("/sys/seal.key"), &[[1; 32]]).unwrap_err().to_string();
    assert!(error.contains("stop the gateway and run `wxgate key rotate` as root"), "{error}");
    assert!(error.contains("nothing can be written to /sys ("), "{error}");
}
