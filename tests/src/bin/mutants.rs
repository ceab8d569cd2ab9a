//! Checks that the core's tests catch deliberate mistakes: `make mutants`, or `make mutants ONLY=time` for those with
//! `time` in their name.
//!
//! Copies the core into a workspace of its own, makes one mistake of `mutants.toml` at a time, and runs the core's
//! tests. Fails unless each mistake is caught.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Output};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

const MUTATIONS: &str = "hub/session/tests/mutants.toml";
/// Time limit of a test run. A mistake that makes a test hang is caught.
const TIMEOUT: &str = "120s";
const MEMBERS: [&str; 3] = ["hub/protocol", "hub/session", "tests/transcript"];

#[derive(Deserialize)]
struct Mutations {
    mutation: Vec<Mutation>,
}

#[derive(Deserialize)]
struct Mutation {
    name: String,
    file: String,
    /// Occurs once in the file.
    find: String,
    replace: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Verdict {
    Caught,
    Survived,
    DidNotCompile,
}

fn main() -> Result<ExitCode> {
    let root = root()?;
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let mutations: Vec<_> =
        mutations(root)?.into_iter().filter(|mutation| mutation.name.contains(&wanted)).collect();
    let copy = tempfile::tempdir()?;
    copy_workspace(root, copy.path())?;
    let unharmed = cargo_test(copy.path())?;
    ensure!(
        unharmed.status.success(),
        "the tests fail already:\n{}",
        String::from_utf8_lossy(&unharmed.stdout)
    );

    let mut missed = 0;
    for mutation in &mutations {
        let verdict = try_out(mutation, copy.path()).with_context(|| mutation.name.clone())?;
        missed += usize::from(verdict != Verdict::Caught);
        let verdict = match verdict {
            Verdict::Caught => "caught",
            Verdict::Survived => "SURVIVED",
            Verdict::DidNotCompile => "DID NOT COMPILE",
        };
        println!("{verdict:<15}  {}", mutation.name);
    }
    println!("{} of {} caught", mutations.len() - missed, mutations.len());
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the tests are in the repository")
}

fn mutations(root: &Path) -> Result<Vec<Mutation>> {
    let Mutations { mutation } = toml::from_str(&read(&root.join(MUTATIONS))?)?;
    Ok(mutation)
}

impl Mutation {
    /// Returns `true` if the file has exactly one place for the mutation.
    fn fits(&self, file: &str) -> bool {
        file.matches(&self.find).count() == 1
    }
}

fn try_out(mutation: &Mutation, copy: &Path) -> Result<Verdict> {
    let file = copy.join(&mutation.file);
    let original = read(&file)?;
    ensure!(mutation.fits(&original), "`find` is not there once in {}", mutation.file);
    fs::write(&file, original.replace(&mutation.find, &mutation.replace))?;
    let Output { status, stderr, .. } = cargo_test(copy)?;
    let verdict = if status.success() {
        Verdict::Survived
    } else if String::from_utf8_lossy(&stderr).contains("could not compile") {
        Verdict::DidNotCompile
    } else {
        Verdict::Caught
    };
    fs::write(&file, original)?;
    Ok(verdict)
}

/// Runs the core's tests with fewer random histories than usual and without shrinking, because only the verdict counts.
fn cargo_test(workspace: &Path) -> Result<Output> {
    let mut cargo = Command::new("timeout");
    cargo.arg(TIMEOUT).arg(env!("CARGO"));
    cargo.args(["test", "-q", "--offline", "-p", "mayfly-session"]).current_dir(workspace);
    cargo.env("CARGO_TARGET_DIR", workspace.join("target")).env("CARGO_PROFILE_DEV_DEBUG", "0");
    cargo.env("PROPTEST_CASES", "200").env("PROPTEST_MAX_SHRINK_ITERS", "0").env("RUST_BACKTRACE", "0");
    cargo.output().context("cargo")
}

/// Copies the members, the lock file, and the workspace's manifest with fewer members.
fn copy_workspace(root: &Path, copy: &Path) -> Result<()> {
    let mut manifest: toml::Table = toml::from_str(&read(&root.join("Cargo.toml"))?)?;
    let workspace = manifest.get_mut("workspace").and_then(toml::Value::as_table_mut);
    let workspace = workspace.context("the root's manifest is a workspace's")?;
    workspace.remove("default-members");
    workspace.insert("members".to_owned(), toml::Value::from(MEMBERS.map(str::to_owned).to_vec()));
    fs::write(copy.join("Cargo.toml"), toml::to_string(&manifest)?)?;
    fs::copy(root.join("Cargo.lock"), copy.join("Cargo.lock"))?;
    for member in MEMBERS {
        copy_directory(&root.join(member), &copy.join(member))?;
    }
    Ok(())
}

fn copy_directory(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_directory(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| file.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mutation_has_its_place() -> Result<()> {
        let root = root()?;
        for mutation in mutations(root)? {
            assert!(mutation.fits(&read(&root.join(&mutation.file))?), "{}", mutation.name);
        }
        Ok(())
    }
}
