//! The launcher as a program of its own, for the tests of this crate. The hub's program contains the same launcher.

use std::env;
use std::process::ExitCode;

use mayfly_platform::launcher;

fn main() -> ExitCode {
    // The second argument follows `launch`, as in the hub's program.
    launcher::main(env::args_os().skip(2))
}
