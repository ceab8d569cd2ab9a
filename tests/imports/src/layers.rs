//! The order of layers in `.imports.toml`: a module imports only modules of lower layers.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

/// The rules for all crates, by package name.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Rules(BTreeMap<String, Layers>);

/// The layers of one crate, from top to bottom. A layer is a list of modules that do not import each other. `ops/drain`
/// names a module within `ops`; the longest name that fits a file counts. `lib` is the root file.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Layers(Vec<Vec<String>>);

impl Rules {
    /// Returns the layers of a package, if it has any.
    pub fn of(&self, package: &str) -> Option<&Layers> {
        self.0.get(package)
    }

    /// Returns the packages that have layers.
    pub fn packages(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// The module that a file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The layer, 0 for the highest.
    pub layer: usize,
    /// The module's name in the rules.
    pub module: &'a str,
}

impl Layers {
    /// Returns the place of a file, named from the crate's `src`, or `None` if no layer has it.
    pub fn place(&self, file: &Path) -> Option<Place<'_>> {
        let name = file.with_extension("");
        let modules = self.0.iter().enumerate();
        modules
            .flat_map(|(layer, modules)| modules.iter().map(move |module| Place { layer, module }))
            .filter(|place| name.starts_with(place.module))
            .max_by_key(|place| place.module.len())
    }

    /// Returns `true` if the first place may import the second one.
    pub fn allows(from: Place<'_>, to: Place<'_>) -> bool {
        from.module == to.module || from.layer < to.layer
    }

    /// Returns the names of all modules.
    pub fn modules(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flatten().map(String::as_str)
    }
}
