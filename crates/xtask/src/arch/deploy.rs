//! What `deploy/` promises each other: ports, volumes, paths and keys that stand in several files.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Finding;
use crate::tree::{SourceFile, Tree};

const IMAGE: &str = "Dockerfile";
const IN_IMAGE: &str = "deploy/container.toml";
const COMPOSE: &str = "deploy/compose/compose.yaml";
const IN_COMPOSE: &str = "deploy/compose/wxgate.toml";
const UNIT: &str = "deploy/wxgate.service";
const IN_PACKAGE: &str = "deploy/debian/wxgate.toml";
const POSTINST: &str = "deploy/debian/postinst";
const REFERENCE: &str = "docs/config-reference.md";
/// Columns of a dashboard. Source: the Grafana dashboard JSON model, `gridPos`.
const COLUMNS: u64 = 24;

/// What is told wrong.
struct Told(Vec<Finding>);

impl Told {
    fn wrong(&mut self, place: &str, what: impl Into<String>) {
        self.0.push(Finding::fails("deploy", place, what));
    }
}

/// `is_there` says whether a path of the tree exists.
pub(super) fn agree(tree: &Tree, is_there: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut told = Told(Vec::new());
    let text = |path: &str| tree.get(path).map_or("", |file| file.text.as_str());
    for path in [IMAGE, IN_IMAGE, COMPOSE, IN_COMPOSE, UNIT, IN_PACKAGE, POSTINST, REFERENCE] {
        if text(path).is_empty() {
            told.wrong(path, "is missing");
        }
    }
    if !told.0.is_empty() {
        return told.0;
    }
    image(&mut told, text(IMAGE), text(IN_IMAGE), &is_there);
    compose(&mut told, (text(COMPOSE), text(IN_COMPOSE)), text(IMAGE), &is_there);
    unit(&mut told, text(UNIT), text(IN_PACKAGE), text(POSTINST));
    environment(&mut told, tree, text(REFERENCE));
    for file in &tree.files {
        if file.path.starts_with("deploy/grafana/") && file.path.ends_with(".json") {
            dashboard(&mut told, file);
        }
    }
    told.0
}

fn image(told: &mut Told, image: &str, config: &str, is_there: &impl Fn(&str) -> bool) {
    let exposed = exposed(image);
    for port in listens(config).difference(&exposed) {
        told.wrong(IMAGE, format!("exposes no {port}, on which {IN_IMAGE} listens"));
    }
    let words =
        |begin: &'static str| lines(image, begin).map(|rest| rest.split_whitespace().collect::<Vec<_>>());
    for copied in words("COPY ").filter(|words| !words.iter().any(|word| word.starts_with("--from"))) {
        for from in copied.iter().rev().skip(1).filter(|from| **from != "." && !is_there(from)) {
            told.wrong(IMAGE, format!("copies {from}, which is not in the tree"));
        }
    }
    let data = value(config, "data_dir").unwrap_or_default();
    if !words("VOLUME ").any(|volume| volume == [data]) {
        told.wrong(IMAGE, format!("makes no volume of {data}, where {IN_IMAGE} keeps everything"));
    }
    let program = lines(image, "ENTRYPOINT ").next().unwrap_or_default().trim_matches(['[', ']', '"']);
    if !words("COPY ").any(|copied| copied.last() == Some(&program)) {
        told.wrong(IMAGE, format!("begins with {program:?}, which it copies nowhere"));
    }
}

fn compose(told: &mut Told, (file, config): (&str, &str), image: &str, is_there: &impl Fn(&str) -> bool) {
    let (exposed, listens) = (exposed(image), listens(config));
    let data = value(config, "data_dir").unwrap_or_default();
    let mut used = BTreeSet::new();
    for (service, block) in blocks(file, "services:") {
        let of_ours = block.iter().any(|line| line.trim() == "image: wxgate");
        let mounts: Vec<(&str, &str)> =
            entries(&block, "volumes:").filter_map(|e| e.split_once(':')).collect();
        for (from, _) in &mounts {
            match from.strip_prefix("./") {
                Some(path) if !is_there(&format!("deploy/compose/{path}")) => {
                    told.wrong(COMPOSE, format!("{service} mounts {from}, which is not there"));
                }
                Some(_) => {}
                None => drop(used.insert((*from).to_owned())),
            }
        }
        if !of_ours {
            continue;
        }
        let is_at = |wanted: &str| mounts.iter().any(|(_, to)| to.trim_end_matches(":ro") == wanted);
        for wanted in [data, "/etc/wxgate/wxgate.toml"].iter().filter(|wanted| !is_at(wanted)) {
            told.wrong(COMPOSE, format!("{service} mounts nothing at {wanted}"));
        }
        for published in entries(&block, "ports:") {
            let port = published.trim_matches('"').rsplit(':').next().and_then(|port| port.parse().ok());
            if port.is_none_or(|port| !exposed.contains(&port) || !listens.contains(&port)) {
                told.wrong(COMPOSE, format!("{service} publishes {published}, where nothing listens"));
            }
        }
    }
    let declared: BTreeSet<String> = blocks(file, "volumes:").into_iter().map(|(name, _)| name).collect();
    for volume in declared.symmetric_difference(&used) {
        told.wrong(COMPOSE, format!("the volume {volume} is declared or used, and not both"));
    }
}

fn unit(told: &mut Told, unit: &str, config: &str, postinst: &str) {
    let value_of = |key: &'static str| lines(unit, key).next().unwrap_or_default();
    // Where the package puts them.
    if value_of("ExecStart=") != "/usr/bin/wxgate run --config /etc/wxgate/wxgate.toml" {
        told.wrong(UNIT, "does not start the program of the package with its configuration");
    }
    let (data, state) = (value(config, "data_dir").unwrap_or_default(), value_of("StateDirectory="));
    if data.strip_prefix("/var/lib/") != Some(state) {
        told.wrong(UNIT, format!("may write to /var/lib/{state}, and {IN_PACKAGE} says {data}"));
    }
    for key in ["User=", "Group="] {
        let name = value_of(key);
        if name.is_empty() || !postinst.contains(&format!("getent passwd {name} ")) {
            told.wrong(UNIT, format!("{key}{name} is not made by {POSTINST}"));
        }
    }
}

/// Keys that are set by the environment exist.
fn environment(told: &mut Told, tree: &Tree, reference: &str) {
    let known = keys(reference);
    let is_read =
        |path: &str| path.starts_with("deploy/") || path == IMAGE || path == "README.md" || is_page(path);
    for file in tree.files.iter().filter(|file| is_read(&file.path)) {
        for (at, line) in file.text.lines().enumerate() {
            for rest in line.split("WXGATE__").skip(1) {
                let end = rest.find(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_');
                let name = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
                if !known.contains(name) && name != "SECTION__KEY" {
                    let place = format!("{}:{}", file.path, at + 1);
                    told.wrong(&place, format!("WXGATE__{name} sets no key"));
                }
            }
        }
    }
}

fn is_page(path: &str) -> bool {
    path.starts_with("docs/") && path.ends_with(".md") && !path.starts_with("docs/decisions/")
}

/// Every key of the reference as the environment names it, and the lists of sections.
fn keys(reference: &str) -> BTreeSet<String> {
    let mut section = String::new();
    let mut keys = BTreeSet::new();
    for line in reference.lines() {
        // The entries of a list are examples, and stand as comments.
        let line = line.strip_prefix("# ").filter(|line| line.starts_with("[[")).unwrap_or(line);
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_matches(['[', ']']).replace('.', "__").to_uppercase();
            keys.insert(section.clone());
        } else if let Some((key, _)) = line.split_once(" = ")
            && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        {
            let begin = if section.is_empty() { String::new() } else { format!("{section}__") };
            keys.insert(format!("{begin}{}", key.to_uppercase()));
        }
    }
    keys
}

fn dashboard(told: &mut Told, file: &SourceFile) {
    let board: Value = match serde_json::from_str(&file.text) {
        Ok(board) => board,
        Err(error) => return told.wrong(&file.path, format!("is no JSON: {error}")),
    };
    let panels = board["panels"].as_array().map_or(&[][..], Vec::as_slice);
    let mut ids = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap_or_default();
        let place = format!("{}: panel {title:?}", file.path);
        if title.is_empty() || !panel["id"].as_u64().is_some_and(|id| ids.insert(id)) {
            told.wrong(&place, "has no title, or no number of its own");
        }
        let number = |key: &str| panel["gridPos"][key].as_u64().unwrap_or(COLUMNS + 1);
        if number("x") + number("w") > COLUMNS {
            told.wrong(&place, "stands beyond the last column");
        }
        let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
        let is_asked = |target: &Value| target["expr"].as_str().is_some_and(is_balanced);
        if targets.is_empty() || !targets.iter().all(is_asked) {
            told.wrong(&place, "asks for nothing, or for what has no end");
        }
    }
    if panels.is_empty() {
        told.wrong(&file.path, "has no panels");
    }
}

fn is_balanced(expression: &str) -> bool {
    let mut open = Vec::new();
    for c in expression.chars() {
        match c {
            '(' => open.push(')'),
            '{' => open.push('}'),
            '[' => open.push(']'),
            ')' | '}' | ']' if open.pop() != Some(c) => return false,
            _ => {}
        }
    }
    open.is_empty() && !expression.trim().is_empty()
}

/// What follows `begin` on each line that begins so.
fn lines<'a>(text: &'a str, begin: &'static str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| line.strip_prefix(begin)).map(str::trim)
}

/// A text of the configuration.
fn value<'a>(config: &'a str, key: &str) -> Option<&'a str> {
    let line = config.lines().find(|line| line.split('=').next().is_some_and(|name| name.trim() == key))?;
    line.split('"').nth(1)
}

/// The ports that a configuration listens on.
fn listens(config: &str) -> BTreeSet<u16> {
    let all = config
        .lines()
        .filter(|line| line.split('=').next().is_some_and(|key| key.trim().ends_with("listen")));
    all.flat_map(|line| line.split('"').skip(1).step_by(2))
        .filter_map(|address| address.rsplit_once(':')?.1.parse().ok())
        .collect()
}

fn exposed(image: &str) -> BTreeSet<u16> {
    lines(image, "EXPOSE ").flat_map(str::split_whitespace).filter_map(|port| port.parse().ok()).collect()
}

/// What stands below a word at the left edge of a YAML file, by name, each with its lines.
fn blocks<'a>(yaml: &'a str, head: &str) -> Vec<(String, Vec<&'a str>)> {
    let below = yaml.lines().skip_while(|line| *line != head).skip(1);
    let mut blocks: Vec<(String, Vec<&str>)> = Vec::new();
    for line in below.take_while(|line| line.is_empty() || line.starts_with(' ')) {
        match line
            .strip_prefix("  ")
            .filter(|rest| !rest.starts_with([' ', '#']))
            .and_then(|rest| rest.split_once(':'))
        {
            Some((name, _)) => blocks.push((name.to_owned(), Vec::new())),
            None => blocks.iter_mut().rev().take(1).for_each(|(_, block)| block.push(line)),
        }
    }
    blocks
}

/// The entries of a list of a block, on lines of their own or on one.
fn entries<'a>(block: &[&'a str], head: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let at = block.iter().position(|line| line.trim_start().starts_with(head)).unwrap_or(block.len());
    let on_one = block
        .get(at)
        .and_then(|line| line.split_once('['))
        .map_or("", |(_, rest)| rest.trim_end_matches(']'));
    let on_one = on_one.split(", ").filter(|entry| !entry.is_empty());
    let below =
        block.get(at + 1..).unwrap_or_default().iter().map_while(|line| line.trim_start().strip_prefix("- "));
    on_one.chain(below.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [(&str, &str); 9] = [
        (
            IMAGE,
            "COPY . .\nCOPY --from=build /src/wxgate /usr/bin/w\nCOPY deploy/container.toml /etc/wxgate/wxgate.toml\n\
             VOLUME /data\nEXPOSE 80 66\nENTRYPOINT [\"/usr/bin/w\"]\n",
        ),
        (IN_IMAGE, "data_dir = \"/data\"\nlisten = [\"0.0.0.0:66\"]\nlisten = \"[::]:80\"\n"),
        (
            COMPOSE,
            "services:\n  db:\n    volumes:\n      - db:/x\n  gateway:\n    image: wxgate\n    environment:\n      \
             WXGATE__WEB__LISTEN: a\n    ports: [\"127.0.0.1:80:80\"]\n    volumes:\n      - data:/data\n      - \
             ./wxgate.toml:/etc/wxgate/wxgate.toml:ro\n    restart: x\n\nvolumes:\n  db:\n  data:\n",
        ),
        (IN_COMPOSE, "data_dir = \"/data\"\nlisten = \"0.0.0.0:80\"\n"),
        (
            UNIT,
            "ExecStart=/usr/bin/wxgate run --config /etc/wxgate/wxgate.toml\nUser=wxgate\nGroup=wxgate\nStateDirectory=wxgate\n",
        ),
        (IN_PACKAGE, "data_dir = \"/var/lib/wxgate\"\n"),
        (POSTINST, "if ! getent passwd wxgate >/dev/null; then\n"),
        (REFERENCE, "data_dir = \"x\"\n[web]\nlisten = \"x\"\n# [[irc.network]]\n# name = \"x\"\n"),
        (
            "deploy/grafana/w.json",
            r#"{"panels": [{"id": 1, "title": "a", "gridPos": {"x": 12, "w": 12}, "targets": [{"expr": "sum(x{a=\"b\"})"}]}]}"#,
        ),
    ];

    fn said(change: impl Fn(&str, &str) -> String) -> Vec<String> {
        let files: Vec<(&str, String)> =
            FILES.iter().map(|(path, text)| (*path, change(path, text))).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let is_there = |path: &str| FILES.iter().any(|(known, _)| *known == path);
        agree(&Tree::of(&files), is_there).iter().map(|f| format!("{}: {}", f.place, f.what)).collect()
    }

    #[test]
    fn files_that_agree_pass() {
        assert_eq!(said(|_, text| text.to_owned()), [""; 0]);
    }

    #[test]
    fn each_disagreement_is_found() {
        for (from, to, wanted) in [
            ("EXPOSE 80 66", "EXPOSE 80", "exposes no 66"),
            ("VOLUME /data", "VOLUME /dada", "makes no volume of /data"),
            ("COPY deploy/container.toml", "COPY deploy/gone.toml", "copies deploy/gone.toml"),
            ("ENTRYPOINT [\"/usr/bin/w\"]", "ENTRYPOINT [\"/bin/w\"]", "begins with \"/bin/w\""),
            ("127.0.0.1:80:80", "127.0.0.1:80:81", "publishes \"127.0.0.1:80:81\""),
            ("./wxgate.toml:", "./mine.toml:", "mounts ./mine.toml, which is not there"),
            ("- data:/data", "- data:/date", "gateway mounts nothing at /data"),
            ("- db:/x", "- db2:/x", "the volume db2 is"),
            ("WXGATE__WEB__LISTEN", "WXGATE__WEB__LISTENS", "WXGATE__WEB__LISTENS sets no key"),
            ("ExecStart=/usr/bin", "ExecStart=/usr/local/bin", "does not start the program"),
            ("StateDirectory=wxgate", "StateDirectory=w", "may write to /var/lib/w,"),
            ("User=wxgate", "User=nobody", "User=nobody is not made"),
            ("\"id\": 1", "\"id\": \"1\"", "no number of its own"),
            ("\"w\": 12", "\"w\": 13", "beyond the last column"),
            ("sum(x{", "sum(x", "for what has no end"),
            ("{\"panels\"", "[\"panels\"", "is no JSON"),
        ] {
            let said = said(|_, text| text.replace(from, to));
            assert!(said.iter().any(|line| line.contains(wanted)), "{from} → {to}: {said:?}");
        }
    }

    #[test]
    fn a_file_that_is_missing_is_found() {
        let said = said(|path, text| if path == UNIT { String::new() } else { text.to_owned() });
        assert_eq!(said, ["deploy/wxgate.service: is missing"]);
    }
}
