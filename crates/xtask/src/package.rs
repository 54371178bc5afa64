//! `package`: the program, optimised, as a Debian package.
//!
//! A plain tree and `dpkg-deb`: what is in the package is the list in this file, and nothing has to be installed
//! to build it that a Debian machine with a C compiler lacks.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::arch;
use crate::run::Cmd;
use crate::tree::{Root, SourceFile, Tree};

/// Files as they stand in the tree, and where they go.
const FILES: [(&str, &str); 3] = [
    ("deploy/wxgate.service", "usr/lib/systemd/system/wxgate.service"),
    ("deploy/debian/wxgate.toml", "etc/wxgate/wxgate.toml"),
    ("deploy/debian/copyright", "usr/share/doc/wxgate/copyright"),
];
const DOCUMENTATION: &str = "usr/share/doc/wxgate";
const MANUAL: &str = "usr/share/man/man1";
/// Directories whose files of some kinds go into the documentation, in the layout of the tree: the pages of the book
/// lead to each other by it.
const DOCUMENTS: &[(&str, &[&str])] = &[
    ("", &["md"]),
    ("docs", &["md"]),
    ("docs/start", &["md"]),
    ("docs/decisions", &["md"]),
    ("config", &["toml"]),
    ("deploy/prometheus", &["yml"]),
    ("deploy/grafana", &["json"]),
    ("deploy", &["toml"]),
    ("deploy/compose", &["md", "yaml", "toml", "sql", "example"]),
    ("docs/captures", &["txt", "png", "sh"]),
];
/// Completion scripts, where each shell looks for them.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/wxgate"),
    ("zsh", "usr/share/zsh/vendor-completions/_wxgate"),
    ("fish", "usr/share/fish/vendor_completions.d/wxgate.fish"),
];
/// What the package manager reads and runs.
const CONTROL: [(&str, u32); 4] =
    [("conffiles", 0o644), ("postinst", 0o755), ("prerm", 0o755), ("postrm", 0o755)];

fn profile(args: &[String]) -> Result<&str> {
    match args {
        [] => Ok("dist"),
        [profile] => Ok(profile),
        [_, odd, ..] => bail!("this command takes one profile, but got '{odd}' too"),
    }
}

/// Where cargo puts what it builds with a profile. `dev` is its one exception. Source: the cargo book, "Build cache".
fn built(root: &Root, triple: Option<&str>, profile: &str) -> PathBuf {
    let dir = if profile == "dev" { "debug" } else { profile };
    target(root).join(triple.unwrap_or_default()).join(dir).join("wxgate")
}

/// `cargo xtask static [PROFILE]`: the C library is in the program. It looks names up by the files and by DNS, as the
/// system's `resolv.conf` says; other sources in `nsswitch.conf` are left out.
///
/// Source: the Rust reference, "Static and dynamic C runtimes"; glibc 2.34 release notes (`files` and `dns` are built in).
pub(crate) fn alone(root: &Root, args: &[String]) -> Result<bool> {
    let profile = profile(args)?;
    let about = Cmd::new("rustc").args(["-vV"]).text()?;
    let triple = about.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    // With a target named, the flags are for the program and not for what runs during the build.
    let build = ["build", "--locked", "--package", "wxgate", "--features", "full", "--profile", profile];
    let build = Cmd::cargo(root).args(build).args(["--target", triple]);
    if !build.env("RUSTFLAGS", "-C target-feature=+crt-static").run()?.success() {
        return Ok(false);
    }
    let program = built(root, Some(triple), profile);
    let headers = Cmd::new("readelf").args(["--program-headers", "--wide"]).args([&program]).text()?;
    if headers.contains("INTERP") {
        bail!("{} still asks for a loader of the system", program.display());
    }
    let to = target(root).join("package").join(format!("wxgate-{}-{triple}", version(&program)?));
    put(&std::fs::read(&program).context("the program")?, &to, 0o755)?;
    let size = std::fs::metadata(&to).context("the program")?.len();
    println!("{} ({:.1} MiB)", to.display(), size as f64 / f64::from(1 << 20));
    Ok(true)
}

/// `cargo xtask package [PROFILE]`.
pub(crate) fn package(root: &Root, args: &[String]) -> Result<bool> {
    let profile = profile(args)?;
    for tool in ["dpkg-deb", "dpkg-shlibdeps", "md5sum", "gzip"] {
        if !Cmd::new(tool).args(["--version"]).works() {
            bail!(
                "'{tool}' is needed to build a package; it is in the Debian packages dpkg-dev, coreutils and gzip"
            );
        }
    }
    let build = ["build", "--locked", "--package", "wxgate", "--features", "full", "--profile", profile];
    if !Cmd::cargo(root).args(build).run()?.success() {
        return Ok(false);
    }
    let program = built(root, None, profile);
    let work = target(root).join("package");
    let stage = work.join("root");
    if stage.exists() {
        std::fs::remove_dir_all(&stage).with_context(|| format!("removing {}", stage.display()))?;
    }
    fill(root, &stage, &program)?;
    let (version, architecture) = (version(&program)?, architecture()?);
    let depends = depends(&work, &program)?;
    describe(root, &stage, &[("VERSION", &version), ("ARCHITECTURE", &architecture), ("DEPENDS", &depends)])?;
    let package = work.join(format!("wxgate_{version}_{architecture}.deb"));
    let built = Cmd::new("dpkg-deb")
        .args(["--root-owner-group", "-Zxz", "--build"])
        .args([&stage, &package])
        // The same tree gives the same package.
        .env("SOURCE_DATE_EPOCH", committed_at(root)?)
        .run()?;
    if built.success() {
        let size = std::fs::metadata(&package).context("the package")?.len();
        println!("{} ({:.1} MiB)", package.display(), size as f64 / f64::from(1 << 20));
    }
    Ok(built.success())
}

fn target(root: &Root) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}

/// Puts the program and its files in their places.
fn fill(root: &Root, stage: &Path, program: &Path) -> Result<()> {
    put(&std::fs::read(program).context("the program")?, &stage.join("usr/bin/wxgate"), 0o755)?;
    for (from, to) in FILES {
        put(&read(root, from)?, &stage.join(to), 0o644)?;
    }
    let documents = documents(root)?;
    lead_on(root, &documents)?;
    for document in &documents {
        put(&read(root, document)?, &stage.join(DOCUMENTATION).join(document), 0o644)?;
    }
    for (shell, to) in COMPLETIONS {
        let script = Cmd::new(program).args(["completions", shell]).text()?;
        put(script.as_bytes(), &stage.join(to), 0o644)?;
    }
    manual(&stage.join(MANUAL), program)
}

/// The documentation: where its files stand in the tree, and below the documentation of the package.
fn documents(root: &Root) -> Result<Vec<String>> {
    let mut documents = Vec::new();
    for (dir, kinds) in DOCUMENTS {
        for entry in std::fs::read_dir(root.join(dir)).with_context(|| format!("listing {dir:?}"))? {
            let path = entry?.path();
            let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
            if kinds.contains(&kind) {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                documents.push(if dir.is_empty() { name } else { format!("{dir}/{name}") });
            }
        }
    }
    documents.sort_unstable();
    Ok(documents)
}

/// # Errors
/// A page of the documentation links to what is not in the package.
fn lead_on(root: &Root, documents: &[String]) -> Result<()> {
    let mut tree = Tree::default();
    for path in documents.iter().filter(|path| path.ends_with(".md")) {
        let text = String::from_utf8(read(root, path)?).with_context(|| format!("reading {path}"))?;
        tree.files.push(SourceFile { path: path.clone(), text, is_test: false });
    }
    let is_there = |wanted: &str| {
        documents.iter().any(|path| {
            path.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    let lost: Vec<String> =
        arch::links(&tree, is_there).iter().map(|found| format!("{}: {}", found.place, found.what)).collect();
    anyhow::ensure!(lost.is_empty(), "the documentation of the package leads nowhere:\n{}", lost.join("\n"));
    Ok(())
}

/// The pages for man(1), packed. Source: Debian Policy 12.1.
fn manual(pages: &Path, program: &Path) -> Result<()> {
    Cmd::new(program).args(["manual"]).args([pages]).text().context("writing the manual")?;
    let listed = std::fs::read_dir(pages).context("listing the manual")?;
    let mut files = listed.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort_unstable();
    for page in &files {
        let plain = std::fs::read(page)?;
        // Written anew with the modes of a package.
        std::fs::remove_file(page)?;
        put(&plain, page, 0o644)?;
    }
    let packed = Cmd::new("gzip").args(["-9", "--no-name"]).args(files).run()?;
    anyhow::ensure!(packed.success(), "the manual could not be packed");
    Ok(())
}

/// The directory `DEBIAN`: the description, the sums, the scripts.
fn describe(root: &Root, stage: &Path, facts: &[(&str, &str)]) -> Result<()> {
    let files = Cmd::new("find")
        .args(["usr", "etc", "-type", "f", "-printf", "%p\\n"])
        .dir(stage)
        .text()
        .context("listing what is in the package")?;
    let mut files: Vec<&str> = files.lines().collect();
    files.sort_unstable();
    let bytes: u64 = files.iter().filter_map(|path| Some(stage.join(path).metadata().ok()?.len())).sum();
    let mut text =
        String::from_utf8(read(root, "deploy/debian/control")?).context("deploy/debian/control")?;
    for (name, value) in facts.iter().copied().chain([("SIZE", bytes.div_ceil(1024).to_string().as_str())]) {
        text = text.replace(&format!("@{name}@"), value);
    }
    put(text.as_bytes(), &stage.join("DEBIAN/control"), 0o644)?;
    for (name, mode) in CONTROL {
        put(&read(root, &format!("deploy/debian/{name}"))?, &stage.join("DEBIAN").join(name), mode)?;
    }
    let summed = files.iter().filter(|path| !path.starts_with("etc/"));
    let sums = Cmd::new("md5sum").args(summed).dir(stage).text()?;
    put(sums.as_bytes(), &stage.join("DEBIAN/md5sums"), 0o644)
}

fn read(root: &Root, path: &str) -> Result<Vec<u8>> {
    std::fs::read(root.join(path)).with_context(|| format!("reading {path}"))
}

/// Writes a file, with the directories above it, whatever the mask of whoever builds.
fn put(bytes: &[u8], path: &Path, mode: u32) -> Result<()> {
    let dir = path.parent().context("a file without a directory")?;
    std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    std::fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))?;
    let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
    set(path, mode)?;
    for dir in path.ancestors().skip(1).take_while(|dir| !dir.ends_with("package")) {
        set(dir, 0o755)?;
    }
    Ok(())
}

/// As the program itself says it: `wxgate 0.1.0`.
fn version(program: &Path) -> Result<String> {
    let said = Cmd::new(program).args(["--version"]).text()?;
    let version = said.split_whitespace().nth(1).context("the program says no version")?;
    // A version before a release sorts before it. Source: deb-version(7).
    Ok(version.replace('-', "~"))
}

fn architecture() -> Result<String> {
    Ok(Cmd::new("dpkg").args(["--print-architecture"]).text()?.trim().to_owned())
}

/// The libraries that the program needs, in the versions that it needs.
fn depends(work: &Path, program: &Path) -> Result<String> {
    // It insists on a source package around it.
    put(
        b"Source: wxgate\n\nPackage: wxgate\nArchitecture: any\n",
        &work.join("source/debian/control"),
        0o644,
    )?;
    let said = Cmd::new("dpkg-shlibdeps").args(["-O"]).args([program]).dir(work.join("source")).text()?;
    libraries(&said).context("dpkg-shlibdeps names no library")
}

/// From `shlibs:Depends=libc6 (>= 2.34), libgcc-s1 (>= 4.2)`.
fn libraries(said: &str) -> Option<String> {
    said.lines().find_map(|line| line.strip_prefix("shlibs:Depends=")).map(|list| list.trim().to_owned())
}

fn committed_at(root: &Root) -> Result<String> {
    Ok(Cmd::new("git").args(["log", "-1", "--format=%ct"]).dir(root.path()).text()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_what_the_tool_says() {
        let said = "shlibs:Depends=libc6 (>= 2.34), libgcc-s1 (>= 4.2)\n";
        assert_eq!(libraries(said).as_deref(), Some("libc6 (>= 2.34), libgcc-s1 (>= 4.2)"));
        assert_eq!(libraries("shlibs:Recommends=x\n"), None);
    }

    #[test]
    fn the_book_of_the_package_leads_on() {
        let root = Root::find().unwrap();
        let mut all = documents(&root).unwrap();
        lead_on(&root, &all).unwrap();
        all.retain(|path| !path.starts_with("deploy/compose/"));
        let lost = lead_on(&root, &all).unwrap_err().to_string();
        assert!(lost.contains("docs/install.md") && lost.contains("deploy/compose"), "{lost}");
    }

    #[test]
    fn every_file_of_the_package_is_in_the_tree() {
        let root = Root::find().unwrap();
        let control = CONTROL.iter().map(|(name, _)| format!("deploy/debian/{name}"));
        for path in FILES.iter().map(|(from, _)| (*from).to_owned()).chain(control) {
            assert!(root.join(&path).is_file(), "{path}");
        }
        let control = String::from_utf8(read(&root, "deploy/debian/control").unwrap()).unwrap();
        for name in ["VERSION", "ARCHITECTURE", "DEPENDS", "SIZE"] {
            assert!(control.contains(&format!("@{name}@")), "{name}");
        }
    }
}
