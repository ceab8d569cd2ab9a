//! Attempts of an agent to leave its sandbox. An attempt that succeeds does no harm.
//!
//! An attempt is a word and its arguments, separated by blanks. Its outcome is `yes` with the result, or `no` with the
//! reason. `e2e/sandbox.rs` says which attempts must fail.

use std::fs::{self, File};
use std::io::Read;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::signal::kill;
use nix::unistd::Pid;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Step in which memory and disk are filled.
const PIECE_BYTES: usize = 16 * 1024 * 1024;

/// Makes an attempt and returns its outcome.
pub fn attempt(words: &str) -> String {
    match try_it(&words.split_whitespace().collect::<Vec<_>>()) {
        Ok(got) => format!("yes {got}").trim_end().to_owned(),
        Err(error) => format!("no {error:#}"),
    }
}

fn try_it(words: &[&str]) -> anyhow::Result<String> {
    match words {
        ["where"] => return Ok(std::env::current_dir()?.display().to_string()),
        ["environment"] => return environment(),
        ["read", path] => File::open(path)?.read(&mut [0; 64]).map(drop)?,
        ["list", path] => fs::read_dir(path)?.try_for_each(|entry| entry.map(drop))?,
        ["write", path] => fs::write(path, "probe")?,
        ["connect-unix", path] => UnixStream::connect(path).map(drop)?,
        ["connect-tcp", address] => {
            TcpStream::connect_timeout(&address.parse()?, CONNECT_TIMEOUT).map(drop)?;
        }
        // Sends nothing; fails where there is no way to that address.
        ["route", address] => UdpSocket::bind("0.0.0.0:0")?.connect(address)?,
        ["signal", process] => kill(Pid::from_raw(process.parse()?), None)?,
        ["processes", count, marker] => return processes(count.parse()?, marker),
        ["memory", mebibytes] => return memory(mebibytes.parse()?),
        ["fill", directory, mebibytes] => fill(Path::new(directory), mebibytes.parse()?)?,
        ["fill-own", mebibytes] => {
            fill(&std::env::current_dir()?, mebibytes.parse()?)?;
            // Answers never: either it is ended, or the test fails.
            loop {
                thread::park();
            }
        }
        ["detach", marker] => detach(marker)?,
        _ => bail!("it does not know how to {words:?}"),
    }
    Ok(String::new())
}

/// Returns the names of the environment variables, as the kernel shows them.
fn environment() -> anyhow::Result<String> {
    let block = fs::read_to_string("/proc/self/environ")?;
    let mut names: Vec<_> = block.split_terminator('\0').filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    Ok(names.join(" "))
}

/// Starts sleeping processes and returns their number. The marker is the time that they sleep, so that a test finds
/// them.
fn processes(count: usize, marker: &str) -> anyhow::Result<String> {
    for got in 0..count {
        let started = Command::new("/bin/sleep").arg(marker).stdin(Stdio::null()).spawn();
        started.with_context(|| format!("more than {got}"))?;
    }
    Ok(count.to_string())
}

fn memory(mebibytes: usize) -> anyhow::Result<String> {
    let pieces = (mebibytes << 20) / PIECE_BYTES;
    // Not zeros: those need no memory.
    let taken: Vec<Vec<u8>> = (0..pieces).map(|_| vec![1; PIECE_BYTES]).collect();
    Ok(taken.iter().map(Vec::len).sum::<usize>().to_string())
}

/// Takes space on disk, and gives it back if the disk is full.
fn fill(directory: &Path, mebibytes: usize) -> anyhow::Result<()> {
    for piece in 0..(mebibytes << 20) / PIECE_BYTES {
        let path = directory.join(format!("probe-{piece}"));
        let file = File::create_new(path)?;
        fallocate(file, FallocateFlags::empty(), 0, PIECE_BYTES.try_into()?)
            .with_context(|| format!("after {} MiB", (piece * PIECE_BYTES) >> 20))?;
    }
    Ok(())
}

/// Starts a process in a process session of its own, whose parent has ended.
fn detach(marker: &str) -> anyhow::Result<()> {
    let status = Command::new("/usr/bin/setsid").args(["--fork", "/bin/sleep", marker]).status()?;
    anyhow::ensure!(status.success(), "{status}");
    Ok(())
}
