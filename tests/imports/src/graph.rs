//! The graph of imports between the files of a crate, and its cycles.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use crate::source::{Crate, Mention, ModulePath};

/// Imports between files: for each file the imported ones, with the line of the first import.
pub type Graph = BTreeMap<PathBuf, BTreeMap<PathBuf, usize>>;

/// Returns the imports between the files of a crate, without those of a submodule from its parents.
pub fn imports(source: &Crate) -> Graph {
    let mut graph = Graph::new();
    for (path, module) in &source.modules {
        let edges = graph.entry(module.file.clone()).or_default();
        let mentions = module.imports.iter().map(|import| &import.mention).chain(&module.paths);
        for mention in mentions {
            let Some(target) = resolve(source, path, mention) else { continue };
            // A submodule is a part of its parent, and Rust lets it see the parent's private items.
            if !target.is_empty() && path.starts_with(&target) {
                continue;
            }
            let file = &source.modules[&target].file;
            if *file != module.file {
                let line = edges.entry(file.clone()).or_insert(mention.line);
                *line = mention.line.min(*line);
            }
        }
    }
    graph
}

/// Returns the module that defines the item on a path, or `None` for a path into another crate.
///
/// A name that a module re-exports leads to the module that defines it. A name that comes from a macro or a `*` leads
/// to the last module on the path.
fn resolve(source: &Crate, from: &ModulePath, mention: &Mention) -> Option<ModulePath> {
    match follow(source, from, &mention.segments, &mut BTreeSet::new()) {
        Target::Module(module) => Some(module),
        Target::OtherCrate => None,
    }
}

/// The end of a path.
enum Target {
    /// A module, or an item that the module defines.
    Module(ModulePath),
    /// Another crate, or a name that needs no import.
    OtherCrate,
}

/// `seen` has the names whose imports are being followed, because imports may go in circles.
fn follow(
    source: &Crate,
    from: &ModulePath,
    segments: &[String],
    seen: &mut BTreeSet<(ModulePath, String)>,
) -> Target {
    let Some((first, rest)) = segments.split_first() else { return Target::OtherCrate };
    let mut module = match first.as_str() {
        "crate" => ModulePath::new(),
        "self" => from.clone(),
        "super" => from[..from.len().saturating_sub(1)].to_vec(),
        name => match name_in(source, from, name, seen) {
            Some(Target::Module(module)) => module,
            Some(Target::OtherCrate) | None => return Target::OtherCrate,
        },
    };
    for segment in rest {
        if segment == "super" {
            module.pop();
            continue;
        }
        match name_in(source, &module, segment, seen) {
            Some(Target::Module(next)) => module = next,
            Some(Target::OtherCrate) => return Target::OtherCrate,
            None => break,
        }
    }
    Target::Module(module)
}

/// Returns the end of a name in the scope of a module: a child of the module, or something that it imports. Returns
/// `None` for other names, such as items that the module defines.
fn name_in(
    source: &Crate,
    scope: &ModulePath,
    name: &str,
    seen: &mut BTreeSet<(ModulePath, String)>,
) -> Option<Target> {
    let child = [&scope[..], &[name.to_owned()]].concat();
    if source.modules.contains_key(&child) {
        return Some(Target::Module(child));
    }
    let import = source.modules.get(scope)?.imports.iter().find(|import| import.name == name)?;
    if !seen.insert((scope.clone(), name.to_owned())) {
        return None;
    }
    let target = follow(source, scope, &import.mention.segments, seen);
    seen.remove(&(scope.clone(), name.to_owned()));
    Some(target)
}

/// Returns a shortest cycle of each group of files that reach each other. Each begins with its first file by name.
pub fn cycles(graph: &Graph) -> Vec<Vec<PathBuf>> {
    let mut grouped = BTreeSet::new();
    let mut cycles = Vec::new();
    for file in graph.keys() {
        if grouped.contains(file) {
            continue;
        }
        if let Some(cycle) = cycle_through(graph, file) {
            grouped.extend(group_of(graph, file));
            cycles.push(cycle);
        }
    }
    cycles
}

/// Returns the files that this one reaches and that reach it.
pub fn group_of(graph: &Graph, file: &Path) -> BTreeSet<PathBuf> {
    let forward = reached_from(graph, file);
    forward.into_iter().filter(|other| reached_from(graph, other).contains(file)).collect()
}

fn reached_from(graph: &Graph, file: &Path) -> BTreeSet<PathBuf> {
    let mut reached = BTreeSet::new();
    let mut open = vec![file.to_owned()];
    while let Some(next) = open.pop() {
        for target in graph.get(&next).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(target.clone()) {
                open.push(target.clone());
            }
        }
    }
    reached
}

fn cycle_through(graph: &Graph, start: &Path) -> Option<Vec<PathBuf>> {
    let mut open = VecDeque::from([vec![start.to_owned()]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = open.pop_front() {
        for target in graph.get(way.last()?).into_iter().flat_map(BTreeMap::keys) {
            if target == start {
                return Some(way);
            }
            if seen.insert(target.clone()) {
                open.push_back([&way[..], std::slice::from_ref(target)].concat());
            }
        }
    }
    None
}
