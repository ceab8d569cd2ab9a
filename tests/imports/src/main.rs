//! `make check` runs this: it fails on import cycles and on imports against the order of layers.
//!
//! `imports --graph` prints the imports instead.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use mayfly_imports::graph::{self, Graph};
use mayfly_imports::layers::{Layers, Rules};
use mayfly_imports::source::Crate;

const RULES: &str = ".imports.toml";

fn main() -> Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("the repository")?;
    let prints_graph = std::env::args().nth(1).is_some_and(|flag| flag == "--graph");
    let rules: Rules = toml::from_str(&fs::read_to_string(root.join(RULES))?).context(RULES)?;
    let (mut files, mut faults) = (0, Vec::new());
    let mut packages = BTreeSet::new();
    for directory in members(root)? {
        let name = package(&directory)?;
        for target in targets(&directory)? {
            let is_library = target.ends_with("src/lib.rs");
            let graph = graph::imports(&Crate::read(&target)?);
            files += graph.len();
            if prints_graph {
                print(root, &graph);
            }
            faults.extend(graph::cycles(&graph).iter().map(|cycle| told(root, &graph, cycle)));
            if let Some(layers) = rules.of(&name).filter(|_| is_library) {
                faults.extend(against(&directory.join("src"), layers, &graph, &name));
            }
        }
        packages.insert(name);
    }
    faults.extend(
        rules
            .packages()
            .filter(|name| !packages.contains(*name))
            .map(|name| format!("{RULES} names the package {name}, which does not exist")),
    );
    for fault in &faults {
        println!("{fault}");
    }
    println!("imports: {files} files of {} packages, {} faults", packages.len(), faults.len());
    Ok(ExitCode::from(u8::from(!faults.is_empty())))
}

/// The directories of the workspace's members.
fn members(root: &Path) -> Result<Vec<PathBuf>> {
    let manifest = manifest(root)?;
    let members = manifest["workspace"]["members"].as_array().context("members")?;
    members.iter().map(|member| Ok(root.join(member.as_str().context("a member is a text")?))).collect()
}

fn package(directory: &Path) -> Result<String> {
    Ok(manifest(directory)?["package"]["name"].as_str().context("a package has a name")?.to_owned())
}

fn manifest(directory: &Path) -> Result<toml::Table> {
    let path = directory.join("Cargo.toml");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}

/// The root files of a package: library, programs, tests, examples and benchmarks.
fn targets(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut targets: Vec<_> =
        ["src/lib.rs", "src/main.rs", "build.rs"].map(|file| directory.join(file)).into();
    // End-to-end tests are in a directory of their own.
    for folder in ["src/bin", "tests", "examples", "benches", "."] {
        let Ok(entries) = fs::read_dir(directory.join(folder)) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() && !path.join("Cargo.toml").exists() {
                targets.push(path.join("main.rs"));
            } else if folder != "." && path.extension().is_some_and(|extension| extension == "rs") {
                targets.push(path);
            }
        }
    }
    targets.retain(|path| path.is_file());
    targets.sort();
    targets.dedup();
    Ok(targets)
}

fn print(root: &Path, graph: &Graph) {
    for (file, imports) in graph {
        for (target, line) in imports {
            println!("{}:{line} -> {}", short(root, file), short(root, target));
        }
    }
}

/// A cycle, and the other files of its group.
fn told(root: &Path, graph: &Graph, cycle: &[PathBuf]) -> String {
    let mut text = String::from("import cycle:\n");
    for (at, file) in cycle.iter().enumerate() {
        let next = &cycle[(at + 1) % cycle.len()];
        text += &format!("  {}:{} imports {}\n", short(root, file), graph[file][next], short(root, next));
    }
    let group = graph::group_of(graph, &cycle[0]);
    if group.len() > cycle.len() {
        let others = group.iter().filter(|file| !cycle.contains(file));
        let others: Vec<_> = others.map(|file| short(root, file)).collect();
        text += &format!("  {} more files are in cycles with these: {}\n", others.len(), others.join(" "));
    }
    text
}

/// Imports against the order, files without a layer, and layers without a file.
fn against(source: &Path, layers: &Layers, graph: &Graph, package: &str) -> Vec<String> {
    let place = |file: &Path| layers.place(file.strip_prefix(source).unwrap_or(file));
    let mut faults = Vec::new();
    let mut used = BTreeSet::new();
    for (file, imports) in graph {
        let name = short(source, file);
        let Some(from) = place(file) else {
            faults.push(format!("{package}: {name} is in no layer of {RULES}"));
            continue;
        };
        used.insert(from.module);
        for (target, line) in imports {
            if let Some(to) = place(target)
                && !Layers::allows(from, to)
            {
                let target = short(source, target);
                faults.push(format!(
                    "{package}: {name}:{line} imports {target}: {} must not import {}",
                    from.module, to.module
                ));
            }
        }
    }
    let unused = layers.modules().filter(|module| !used.contains(module));
    faults.extend(unused.map(|module| format!("{package}: {RULES} names {module}, which has no file")));
    faults
}

fn short(root: &Path, file: &Path) -> String {
    file.strip_prefix(root).unwrap_or(file).display().to_string()
}
