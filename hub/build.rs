//! The page is embedded: a new one is a reason to build again.

fn main() {
    println!("cargo:rerun-if-changed=../web/app/dist");
}
