//! What `cargo metadata` knows: packages, who depends on whom, licences, test targets.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::run::Cmd;
use crate::tree::Root;

/// One package of the dependency graph, ours or not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) licence: Option<String>,
    /// `None` for a package of the workspace.
    pub(crate) source: Option<String>,
    /// The directory relative to the root, for a package of the workspace.
    pub(crate) dir: Option<String>,
    /// What its manifest names: name, and whether only its tests need it.
    pub(crate) named: BTreeSet<(String, bool)>,
}

/// A dependency graph, for one or several targets.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    /// By cargo's package id.
    pub(crate) packages: BTreeMap<String, Package>,
    /// Package id to the ids it depends on, as resolved. Empty for the workspace-only graph.
    pub(crate) edges: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    /// Our own packages and what their manifests say; touches no network and no registry.
    pub(crate) fn workspace(root: &Root) -> Result<Self> {
        let mut graph = Self::default();
        graph.add(root, &["--no-deps"])?;
        Ok(graph)
    }

    /// Everything, with all features, as it would be built for the given targets.
    pub(crate) fn resolved(root: &Root, targets: &[String]) -> Result<Self> {
        let mut graph = Self::default();
        for target in targets {
            graph.add(root, &["--all-features", "--filter-platform", target])?;
        }
        Ok(graph)
    }

    /// The packages of the workspace.
    pub(crate) fn ours(&self) -> impl Iterator<Item = &Package> {
        self.packages.values().filter(|package| package.dir.is_some())
    }

    fn add(&mut self, root: &Root, flags: &[&str]) -> Result<()> {
        let text = Cmd::cargo(root).args(["metadata", "--format-version", "1"]).args(flags).text()?;
        let json: Value = serde_json::from_str(&text).context("reading the answer of cargo metadata")?;
        self.absorb(&json)
    }

    fn absorb(&mut self, json: &Value) -> Result<()> {
        let root = json["workspace_root"].as_str().context("cargo metadata names no workspace_root")?;
        let nodes = json["resolve"]["nodes"].as_array();
        // With a platform filter `packages` still lists the others; the nodes are what is built.
        let built: Option<BTreeSet<&str>> =
            nodes.map(|nodes| nodes.iter().filter_map(|node| node["id"].as_str()).collect());
        for package in json["packages"].as_array().context("cargo metadata lists no packages")? {
            let id = package["id"].as_str().context("a package without an id")?;
            if built.as_ref().is_none_or(|built| built.contains(id)) {
                self.packages.insert(id.to_owned(), read_package(package, root));
            }
        }
        for node in nodes.into_iter().flatten() {
            let id = node["id"].as_str().context("a node without an id")?;
            let parents = self.edges.entry(id.to_owned()).or_default();
            let on = node["dependencies"].as_array().into_iter().flatten();
            parents.extend(on.filter_map(|on| on.as_str().map(str::to_owned)));
        }
        Ok(())
    }
}

fn read_package(json: &Value, root: &str) -> Package {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let source = text(&json["source"]);
    let manifest = json["manifest_path"].as_str().unwrap_or_default();
    let dir = manifest.strip_prefix(root).filter(|_| source.is_none()).map(|path| {
        path.trim_start_matches('/').trim_end_matches("Cargo.toml").trim_end_matches('/').to_owned()
    });
    let named = json["dependencies"].as_array().into_iter().flatten().filter_map(|dependency| {
        let only_tests = dependency["kind"].as_str() == Some("dev");
        text(&dependency["name"]).map(|name| (name, only_tests))
    });
    Package {
        name: text(&json["name"]).unwrap_or_default(),
        version: text(&json["version"]).unwrap_or_default(),
        licence: text(&json["license"]),
        source,
        dir,
        named: named.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_is_read_from_what_cargo_says() {
        let json = serde_json::json!({
            "workspace_root": "/w",
            "packages": [
                {"id": "a", "name": "ours", "version": "0.1.0", "source": null, "manifest_path": "/w/crates/ours/Cargo.toml",
                 "license": "Apache-2.0",
                 "dependencies": [{"name": "b", "kind": null}, {"name": "c", "kind": "dev"}]},
                {"id": "b", "name": "b", "version": "1.0.0", "source": "registry+x", "manifest_path": "/r/b/Cargo.toml",
                 "license": "MIT", "dependencies": []},
                {"id": "win", "name": "win", "version": "1.0.0", "source": "registry+x", "manifest_path": "/r/win/Cargo.toml",
                 "license": "MIT", "dependencies": []}
            ],
            "resolve": {"nodes": [{"id": "a", "dependencies": ["b"]}, {"id": "b", "dependencies": []}]}
        });
        let mut graph = Graph::default();
        graph.absorb(&json).unwrap();
        assert_eq!(graph.packages.keys().collect::<Vec<_>>(), ["a", "b"]);
        let ours: Vec<&Package> = graph.ours().collect();
        assert_eq!(ours.len(), 1);
        assert_eq!(ours[0].dir.as_deref(), Some("crates/ours"));
        assert_eq!(ours[0].named, [("b".to_owned(), false), ("c".to_owned(), true)].into());
        assert_eq!(graph.edges["a"], ["b".to_owned()].into());
    }
}
