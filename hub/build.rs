//! Builds the hub again when the page that it embeds has changed, and warns when the page was not built.

use std::path::Path;

/// The built page, which `src/edge/page.rs` embeds.
const PAGE: &str = "../web/app/dist";
/// The page's sources. Cargo reruns on every build if a watched path does not exist.
const SOURCES: &str = "../web/app";

fn main() {
    if Path::new(PAGE).join("index.html").exists() {
        println!("cargo:rerun-if-changed={PAGE}");
    } else {
        println!("cargo:rerun-if-changed={SOURCES}");
        println!(
            "cargo:warning=the chat page is not built, so the hub will show a notice in its place; run `make build`"
        );
    }
}
