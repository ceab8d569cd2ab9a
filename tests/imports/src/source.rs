//! Reads a crate's modules and the paths in their code, from Rust's tokens.
//!
//! Macro calls are read like other code, because their arguments are tokens, too. Names that a macro makes are not
//! seen.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A module's name as segments from the crate root, which is the empty name.
pub type ModulePath = Vec<String>;

/// The modules of a crate, files and inline modules alike.
#[derive(Debug, Default)]
pub struct Crate {
    /// Each module with the paths in its code.
    pub modules: BTreeMap<ModulePath, Module>,
}

/// One module.
#[derive(Debug, Default)]
pub struct Module {
    /// The file that contains its code.
    pub file: PathBuf,
    /// Names that its `use` declarations bring into scope, without `*`.
    pub imports: Vec<Import>,
    /// Paths in its code outside of `use`, and those of `use … *`.
    pub paths: Vec<Mention>,
}

/// One name brought into scope by `use`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The name in scope.
    pub name: String,
    /// The path that it stands for.
    pub mention: Mention,
}

/// A path as it is written, for example `super::policy::Order`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    /// Its segments.
    pub segments: Vec<String>,
    /// Its line in the file.
    pub line: usize,
}

impl Crate {
    /// Reads the crate with this root file.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read or is no Rust, or a `#[path]` attribute leads out of the crate's
    /// directory.
    pub fn read(root: &Path) -> Result<Self> {
        let mut read = Self::default();
        let directory = root.parent().context("a root file has a directory")?;
        Reader { read: &mut read, root: directory }.file(root, directory, Vec::new())?;
        Ok(read)
    }
}

/// A walk over the files of a crate.
struct Reader<'a> {
    read: &'a mut Crate,
    /// The directory of the root file.
    root: &'a Path,
}

impl Reader<'_> {
    /// Reads a file. `children` is the directory of the module's own submodules.
    fn file(&mut self, file: &Path, children: &Path, module: ModulePath) -> Result<()> {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let tokens = TokenStream::from_str(&text).map_err(|error| anyhow!("{}: {error}", file.display()))?;
        self.module(file, children, module, tokens)
    }

    fn module(&mut self, file: &Path, children: &Path, path: ModulePath, tokens: TokenStream) -> Result<()> {
        let module = Module { file: file.to_owned(), ..Module::default() };
        self.read.modules.insert(path.clone(), module);
        let mut scope = Scope { file, children, path, path_attribute: None };
        self.code(&mut scope, &tokens.into_iter().collect::<Vec<_>>())
    }

    fn code(&mut self, scope: &mut Scope<'_>, tokens: &[TokenTree]) -> Result<()> {
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let before = at.checked_sub(1).and_then(|at| tokens.get(at));
            at += match token {
                TokenTree::Ident(word) if word == "mod" && is_ident(tokens.get(at + 1)) => {
                    self.declaration(scope, &tokens[at..])?
                }
                TokenTree::Ident(word) if word == "use" && !is_group(tokens.get(at + 1), Delimiter::None) => {
                    self.use_declaration(scope, &tokens[at + 1..])? + 1
                }
                TokenTree::Ident(word) if word == "pub" => {
                    1 + usize::from(is_group(tokens.get(at + 1), Delimiter::Parenthesis))
                }
                TokenTree::Ident(_) => {
                    let is_name = !is_punct(before, '.');
                    let (path, length) = path(&tokens[at..]);
                    if is_name && path.segments.len() > 1 {
                        self.own(scope)?.paths.push(path);
                    }
                    length
                }
                TokenTree::Group(group) if is_punct(before, '#') => {
                    scope.path_attribute = path_attribute(group).or(scope.path_attribute.take());
                    self.code(scope, &group.stream().into_iter().collect::<Vec<_>>())?;
                    1
                }
                TokenTree::Group(group) => {
                    self.code(scope, &group.stream().into_iter().collect::<Vec<_>>())?;
                    1
                }
                // `::name` is a path to another crate.
                TokenTree::Punct(_) if is_path_separator(&tokens[at..]) => 2 + path(&tokens[at + 2..]).1,
                TokenTree::Punct(_) | TokenTree::Literal(_) => 1,
            };
        }
        Ok(())
    }

    /// `mod name;` or `mod name { … }`. Returns the number of its tokens.
    fn declaration(&mut self, scope: &mut Scope<'_>, tokens: &[TokenTree]) -> Result<usize> {
        let [_, TokenTree::Ident(name), rest @ ..] = tokens else { bail!("`mod` without a name") };
        let name = name.to_string();
        let path_attribute = scope.path_attribute.take();
        let path = [&scope.path[..], std::slice::from_ref(&name)].concat();
        let children = scope.children.join(&name);
        match rest.first() {
            Some(TokenTree::Group(body)) if body.delimiter() == Delimiter::Brace => {
                self.module(scope.file, &children, path, body.stream())?;
            }
            Some(TokenTree::Punct(end)) if end.as_char() == ';' => {
                let (file, children) = match path_attribute {
                    Some(file) => {
                        let file = scope.file.with_file_name(file);
                        let is_foreign = file.components().any(|part| part.as_os_str() == "..");
                        if is_foreign || !file.starts_with(self.root) {
                            bail!("{}: `mod {name}` is a file of another crate", scope.file.display());
                        }
                        let directory = file.parent().unwrap_or(self.root).to_owned();
                        (file, directory)
                    }
                    None => {
                        let flat = children.with_extension("rs");
                        (if flat.is_file() { flat } else { children.join("mod.rs") }, children)
                    }
                };
                self.file(&file, &children, path)?;
            }
            // The word in a macro's pattern, for example.
            _ => {}
        }
        Ok(3)
    }

    /// The tree of a `use` up to its semicolon. Returns the number of its tokens.
    fn use_declaration(&mut self, scope: &Scope<'_>, tokens: &[TokenTree]) -> Result<usize> {
        let end = tokens.iter().position(|token| is_punct(Some(token), ';')).unwrap_or(tokens.len());
        self.use_tree(scope, &[], &tokens[..end])?;
        Ok(end)
    }

    fn use_tree(&mut self, scope: &Scope<'_>, prefix: &[String], tokens: &[TokenTree]) -> Result<()> {
        for tree in tokens.split(|token| is_punct(Some(token), ',')) {
            // `::name` is another crate.
            if tree.is_empty() || prefix.is_empty() && is_path_separator(tree) {
                continue;
            }
            let (mut mention, length) = path(tree);
            mention.segments.splice(0..0, prefix.iter().cloned());
            let after = tree.get(length..).unwrap_or_default();
            let after = if is_path_separator(after) { &after[2..] } else { after };
            match after {
                [TokenTree::Group(group), ..] => {
                    let inner: Vec<_> = group.stream().into_iter().collect();
                    self.use_tree(scope, &mention.segments, &inner)?;
                }
                [TokenTree::Punct(star), ..] if star.as_char() == '*' => {
                    self.own(scope)?.paths.push(mention);
                }
                [TokenTree::Ident(_), TokenTree::Ident(name), ..] => {
                    let name = name.to_string();
                    self.own(scope)?.imports.push(Import { name, mention });
                }
                _ => {
                    if mention.segments.len() > 1
                        && mention.segments.last().is_some_and(|last| last == "self")
                    {
                        mention.segments.pop();
                    }
                    let name = mention.segments.last().cloned().unwrap_or_default();
                    self.own(scope)?.imports.push(Import { name, mention });
                }
            }
        }
        Ok(())
    }

    fn own(&mut self, scope: &Scope<'_>) -> Result<&mut Module> {
        self.read.modules.get_mut(&scope.path).context("a module is known before its code")
    }
}

/// The place of the walk.
struct Scope<'a> {
    file: &'a Path,
    /// The directory of the submodules' files.
    children: &'a Path,
    path: ModulePath,
    /// The value of a `#[path]` attribute whose `mod` has not come yet.
    path_attribute: Option<String>,
}

/// The path at the beginning of these tokens, and the number of its tokens. Generic arguments end it.
fn path(tokens: &[TokenTree]) -> (Mention, usize) {
    let mut mention = Mention { segments: Vec::new(), line: 0 };
    let mut at = 0;
    while let Some(TokenTree::Ident(segment)) = tokens.get(at) {
        if mention.segments.is_empty() {
            mention.line = segment.span().start().line;
        }
        mention.segments.push(segment.to_string().trim_start_matches("r#").to_owned());
        at += 1;
        if !is_path_separator(&tokens[at..]) || !is_ident(tokens.get(at + 2)) {
            break;
        }
        at += 2;
    }
    (mention, at)
}

/// The file that `path = "file"` names, if the attribute is that.
fn path_attribute(group: &Group) -> Option<String> {
    let tokens: Vec<_> = group.stream().into_iter().collect();
    let [TokenTree::Ident(name), TokenTree::Punct(_), TokenTree::Literal(file)] = tokens.as_slice() else {
        return None;
    };
    (name == "path").then(|| file.to_string().trim_matches('"').to_owned())
}

fn is_path_separator(tokens: &[TokenTree]) -> bool {
    is_punct(tokens.first(), ':') && is_punct(tokens.get(1), ':')
}

fn is_punct(token: Option<&TokenTree>, expected: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == expected)
}

fn is_ident(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Ident(_)))
}

fn is_group(token: Option<&TokenTree>, delimiter: Delimiter) -> bool {
    matches!(token, Some(TokenTree::Group(group)) if group.delimiter() == delimiter)
}
