//! Who may read the files that a configuration names.

use std::fmt;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// To read a file, and to go through a directory. Source: inode(7), "The file type and mode", the bits of others.
const READ: u32 = 0o4;
const SEARCH: u32 = 0o1;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileFault {
    /// What was found.
    pub(crate) found: String,
    /// The command that mends it.
    pub(crate) cure: String,
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; run: {}", self.found, self.cure)
    }
}

/// Why this file cannot hold a secret; `None` when it can or is not there.
pub(crate) fn secret_fault(path: &Path) -> Option<FileFault> {
    let mode = fs::metadata(path).ok()?.mode();
    // The group may read: that is how system services are given keys.
    (mode & 0o007 != 0).then(|| {
        let path = path.display();
        FileFault {
            found: format!("{path} can be read by everybody (mode {:o})", mode & 0o777),
            cure: format!("chmod o= {path}"),
        }
    })
}

/// A user by whose rights files are judged, as far as modes say: lists of access control and groups that a unit
/// adds are not seen.
#[derive(Debug)]
pub(crate) struct Reader {
    name: String,
    group: String,
    uid: u32,
    gids: Vec<u32>,
}

impl Reader {
    /// The owner of the data directory, where root asks and it is somebody else's: a gateway runs as them.
    pub(crate) fn instead_of_root(data_dir: &Path) -> Option<Self> {
        // Source: proc(5), "/proc/pid": what is there belongs to the effective user.
        let asker = fs::metadata("/proc/self").ok()?.uid();
        let owner = fs::metadata(data_dir).ok()?;
        if asker != 0 || owner.uid() == 0 {
            return None;
        }
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Some(Self::new((owner.uid(), owner.gid()), &read("/etc/passwd"), &read("/etc/group")))
    }

    /// A user with the groups that the two files give them; one who is not in them has the group of `owner`.
    ///
    /// Source: passwd(5), group(5).
    fn new((uid, gid): (u32, u32), passwd: &str, group: &str) -> Self {
        let fields = |line: &str| line.split(':').map(ToOwned::to_owned).collect::<Vec<String>>();
        let number = |fields: &[String], at: usize| fields.get(at)?.parse::<u32>().ok();
        let known = passwd.lines().map(fields).find(|fields| number(fields, 2) == Some(uid));
        let gid = known.as_ref().and_then(|fields| number(fields, 3)).unwrap_or(gid);
        let name = known.and_then(|fields| fields.into_iter().next()).unwrap_or_else(|| uid.to_string());
        let mut this = Self { name, group: gid.to_string(), uid, gids: vec![gid] };
        for line in group.lines().map(fields) {
            let (Some(its), Some(number)) = (line.first(), number(&line, 2)) else { continue };
            let members = line.get(3).map_or("", String::as_str);
            if number == gid {
                this.group.clone_from(its);
            } else if members.split(',').any(|member| member == this.name) {
                this.gids.push(number);
            }
        }
        this
    }

    /// Why this user cannot read the file; `None` when they can, or it is not there.
    pub(crate) fn fault(&self, path: &Path) -> Option<FileFault> {
        let found = fs::metadata(path).ok()?;
        let (name, group, shown) = (&self.name, &self.group, path.display());
        // The way that is named, and the one that its links lead to.
        let ways = [std::path::absolute(path).ok()?, path.canonicalize().ok()?];
        let is_closed = |dir: &&Path| fs::metadata(dir).is_ok_and(|dir| !self.may(&dir, SEARCH));
        if let Some(dir) = ways.iter().flat_map(|way| way.ancestors().skip(1)).find(is_closed) {
            let dir = dir.display();
            return Some(FileFault {
                found: format!(
                    "{shown} cannot be read by {name}, whose data directory it is, as far as its mode says: \
                     {dir} does not let them through"
                ),
                cure: format!("chgrp {group} {dir} && chmod g+x {dir} (or name a copy elsewhere)"),
            });
        }
        if self.may(&found, READ) {
            return None;
        }
        let cure = match found.uid() == self.uid {
            true => format!("chmod u+r {shown}"),
            false => format!("chgrp {group} {shown} && chmod g+r {shown}"),
        };
        let mode = found.mode() & 0o777;
        Some(FileFault {
            found: format!(
                "{shown} cannot be read by {name}, whose data directory it is, as far as its mode says ({mode:o})"
            ),
            cure,
        })
    }

    /// The first class that fits decides. Source: path_resolution(7), "Permissions".
    fn may(&self, found: &Metadata, right: u32) -> bool {
        let class = match found.uid() == self.uid {
            true => 6,
            false if self.gids.contains(&found.gid()) => 3,
            false => 0,
        };
        found.mode() >> class & right != 0
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nwxgate:x:998:997:wx:/var/lib/wxgate:/bin/false\n";
    const GROUP: &str = "wxgate:x:997:\nssl-cert:x:115:postgres,wxgate\nadm:x:4:syslog,wxgate2\n";

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_user_has_the_groups_that_name_them() {
        let known = Reader::new((998, 1), PASSWD, GROUP);
        assert_eq!(
            (known.name.as_str(), known.group.as_str(), &*known.gids),
            ("wxgate", "wxgate", &[997, 115][..])
        );
        let stranger = Reader::new((1234, 77), PASSWD, GROUP);
        assert_eq!(
            (stranger.name.as_str(), stranger.group.as_str(), &*stranger.gids),
            ("1234", "77", &[77][..])
        );
    }

    #[test]
    fn a_file_is_judged_by_the_first_class_that_fits() {
        let dir = tempfile::tempdir().unwrap();
        set_mode(dir.path(), 0o711);
        let path = dir.path().join("key");
        fs::write(&path, "x").unwrap();
        let found = fs::metadata(&path).unwrap();
        let stranger =
            |gid| Reader { name: "w".into(), group: "g".into(), uid: found.uid() + 1, gids: vec![gid] };
        let (others, member) = (stranger(found.gid() + 1), stranger(found.gid()));
        let owner = Reader { uid: found.uid(), ..stranger(found.gid()) };
        for (mode, wanted) in [
            (0o600, [true, false, false]),
            (0o640, [true, true, false]),
            (0o604, [true, false, true]),
            (0o044, [false, true, true]),
        ] {
            set_mode(&path, mode);
            let can = [&owner, &member, &others].map(|reader| reader.fault(&path).is_none());
            assert_eq!(can, wanted, "{mode:o}");
        }
        set_mode(&path, 0o040);
        let fault = |reader: &Reader| reader.fault(&path).unwrap().to_string();
        let shown = path.display();
        assert!(fault(&owner).ends_with(&format!("(40); run: chmod u+r {shown}")), "{}", fault(&owner));
        assert!(
            fault(&others).ends_with(&format!("run: chgrp g {shown} && chmod g+r {shown}")),
            "{}",
            fault(&others)
        );
    }

    #[test]
    fn a_directory_on_either_way_that_lets_nobody_through_is_named() {
        let dir = tempfile::tempdir().unwrap();
        set_mode(dir.path(), 0o711);
        let [live, archive, link] = ["live", "archive", "live/key"].map(|name| dir.path().join(name));
        [&live, &archive].into_iter().for_each(|dir| fs::create_dir(dir).unwrap());
        fs::write(archive.join("key1"), "x").unwrap();
        symlink("../archive/key1", &link).unwrap();
        set_mode(&archive.join("key1"), 0o644);
        let uid = fs::metadata(&live).unwrap().uid() + 1;
        let reader = Reader::new((uid, u32::MAX), "", "");
        assert_eq!(reader.fault(&link), None);
        for closed in [&live, &archive] {
            set_mode(closed, 0o700);
            let fault = reader.fault(&link).unwrap();
            assert!(fault.found.contains(&format!("{} does not let", closed.display())), "{fault}");
            set_mode(closed, 0o755);
        }
    }
}
