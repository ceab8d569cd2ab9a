//! Import check for the crates of this workspace. `make check` runs it.
//!
//! The check builds a graph of the source files of each crate. File A imports file B if A contains a path that leads to
//! an item that B defines: in a `use`, or inline. No imports are
//!
//! - the declaration `mod b;` and visibilities such as `pub(super)`,
//! - paths from a submodule to a module above it, because a submodule is a part of its parent.
//!
//! The crate root is no such parent: an import from `lib.rs` or `main.rs` counts.
//!
//! Code under `#[cfg(test)]` counts like all other code. The check reports
//!
//! - each group of files that import each other in a cycle,
//! - each import against the order of the layers in `.imports.toml`,
//! - each file that a `#[path]` attribute takes from another crate.
//!
//! - [`source`]: reads the modules of one crate and the paths in their code
//! - [`graph`]: resolves the paths to files and finds cycles
//! - [`layers`]: compares imports with the order of layers

pub mod graph;
pub mod layers;
pub mod source;
