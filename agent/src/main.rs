//! The program `mayfly-agent`.

fn main() -> std::process::ExitCode {
    mayfly_agent::run(std::env::args_os().skip(1))
}
