//! The import check on small crates.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use mayfly_imports::graph::{self, Graph};
use mayfly_imports::layers::{Layers, Rules};
use mayfly_imports::source::Crate;
use tempfile::TempDir;

/// Writes a crate of these files and returns the graph of its imports, with paths relative to the crate.
fn imports_of(files: &[(&str, &str)]) -> Graph {
    let (directory, source) = crate_of(files);
    let short = |path: &Path| path.strip_prefix(directory.path()).unwrap().to_owned();
    let graph = graph::imports(&source.unwrap());
    let targets = |imports: std::collections::BTreeMap<_, usize>| {
        imports.into_iter().map(|(target, line): (std::path::PathBuf, _)| (short(&target), line)).collect()
    };
    graph.into_iter().map(|(file, imports)| (short(&file), targets(imports))).collect()
}

fn crate_of(files: &[(&str, &str)]) -> (TempDir, anyhow::Result<Crate>) {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let read = Crate::read(&directory.path().join(files[0].0));
    (directory, read)
}

/// The files that `a.rs` imports, in a crate with the modules `a`, `b` and `b::c`.
fn a_imports(a: &str) -> Vec<String> {
    let b = "pub mod c; pub use c::Made; pub struct Own; mod inner { pub struct Deep; }";
    let files = [
        ("lib.rs", "mod a; mod b; use std as alias; pub struct Root;"),
        ("a.rs", a),
        ("b.rs", b),
        ("b/c.rs", "pub struct Made;"),
    ];
    let graph = imports_of(&files);
    graph[Path::new("a.rs")].keys().map(|path| path.display().to_string()).collect()
}

#[test]
fn imports_are_found_in_every_form() {
    for (code, expected) in [
        ("use crate::b::Own;", "b.rs"),
        ("use crate::{b::{Own as Other, inner::Deep}};", "b.rs"),
        ("use super::b::*;", "b.rs"),
        ("use crate::b::c::Made;", "b/c.rs"),
        ("use crate::b; fn f() -> b::c::Made { loop {} }", "b/c.rs b.rs"),
        ("use crate::b::{self, c}; type T = (b::Own, c::Made);", "b/c.rs b.rs"),
        ("fn f() { println!(\"{}\", crate::b::Own); }", "b.rs"),
        ("#[cfg(test)] mod tests { use super::super::b::Own; }", "b.rs"),
        ("impl crate::b::Own {}", "b.rs"),
        ("use crate::Root;", "lib.rs"),
    ] {
        assert_eq!(a_imports(code).join(" "), expected, "{code}");
    }
}

#[test]
fn a_reexport_leads_to_the_defining_module() {
    assert_eq!(a_imports("use crate::b::Made;"), ["b/c.rs"]);
    assert_eq!(a_imports("use crate::b::Made as Other; fn f() -> Other { Other::new() }"), ["b/c.rs"]);
}

#[test]
fn other_code_is_no_import() {
    for code in [
        "pub(super) struct A; pub(in crate::b) struct B;",
        "use std::fmt; use ::b::Own; fn f() { ::b::Own; x.b(); Vec::<u8>::new(); }",
        "// use crate::b::Own;\n/// [`crate::b::Own`]\nfn f() -> &'static str { \"crate::b::Own\" }",
        "struct A; mod tests { use super::*; use super::A; fn f() { A::new(); self::g(); } }",
        "use crate::alias::fmt;",
    ] {
        assert_eq!(a_imports(code), [""; 0], "{code}");
    }
}

#[test]
fn a_declaration_and_an_import_from_a_parent_are_no_cycle() {
    let graph = imports_of(&[
        ("lib.rs", "mod a;"),
        ("a.rs", "mod child; pub struct A; fn f() { child::g(); }"),
        ("a/child.rs", "use super::A; pub fn g() {}"),
    ]);
    assert!(graph::cycles(&graph).is_empty(), "{graph:?}");
}

#[test]
fn cycles_are_found() {
    let graph = imports_of(&[
        ("lib.rs", "mod a; mod b; mod c; mod d; pub use a::A;"),
        ("a.rs", "use crate::b::B;"),
        ("b.rs", "\nuse crate::c::C;"),
        ("c.rs", "use crate::a::A;"),
        ("d.rs", "use crate::a::A;"),
    ]);
    let cycles = graph::cycles(&graph);
    assert_eq!(cycles, [["a.rs", "b.rs", "c.rs"].map(std::path::PathBuf::from).to_vec()]);
    assert_eq!(graph[Path::new("b.rs")][Path::new("c.rs")], 2, "the line of the import");
}

#[test]
fn the_crate_root_is_part_of_cycles() {
    let graph = imports_of(&[("lib.rs", "mod a; pub struct Root(a::A);"), ("a.rs", "use crate::Root;")]);
    assert_eq!(graph::cycles(&graph).len(), 1);
}

#[test]
fn a_file_of_another_crate_is_refused() {
    let (_directory, read) = crate_of(&[("lib.rs", "#[path = \"../other/src/lib.rs\"] mod other;")]);
    assert!(read.unwrap_err().to_string().contains("a file of another crate"));
}

#[test]
fn modules_import_from_lower_layers_only() {
    let rules: Rules = toml::from_str("x = [['edge'], ['sessions', 'ops'], ['ops/journal']]").unwrap();
    let layers = rules.of("x").unwrap();
    let place = |file: &str| layers.place(Path::new(file)).unwrap();
    let allows = |from: &str, to: &str| Layers::allows(place(from), place(to));
    assert!(allows("edge/http.rs", "sessions.rs") && allows("edge.rs", "edge/http.rs"));
    assert!(allows("ops.rs", "ops/journal.rs"));
    assert!(!allows("sessions.rs", "edge/http.rs"), "upwards");
    assert!(!allows("sessions.rs", "ops/drain.rs"), "sideways");
    assert_eq!(layers.place(Path::new("other.rs")), None);
}
