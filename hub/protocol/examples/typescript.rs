//! Prints the TypeScript of the wire: `make generate` puts it where it belongs.

fn main() {
    print!("{}", mayfly_protocol::typescript::generate());
}
