//! An agent that tries to leave its sandbox. Each message names an attempt of `mayfly_tests::probe`, and the answer is
//! its outcome.
//!
//! It implements the part of the agent's wire that one turn at a time needs, on the socket that the hub gives it, and
//! accepts callers without a token.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use anyhow::Context;
use mayfly_protocol::agent::{ChatRequest, ENV_LISTEN};
use mayfly_protocol::chunk::{Chunk, DONE, FinishReason};
use mayfly_tests::probe;

/// Id of the only text part of an answer.
const TEXT_ID: &str = "x0";

fn main() -> anyhow::Result<()> {
    let address = std::env::var(ENV_LISTEN)?;
    let listener = UnixListener::bind(address.strip_prefix("unix:").context("expected unix:PATH")?)?;
    for stream in listener.incoming() {
        let stream = stream?;
        // A caller that leaves in the middle is none of the agent's business.
        thread::spawn(move || answer(&stream));
    }
    Ok(())
}

fn answer(mut stream: &UnixStream) -> anyhow::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_ascii_lowercase());
    }
    if !head.first().context("no request")?.starts_with("post /chat ") {
        return Ok(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")?);
    }
    let length = head.iter().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.context("no content-length")?.parse()?];
    reader.read_exact(&mut body)?;
    let request: ChatRequest = serde_json::from_slice(&body)?;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")?;
    let id = || TEXT_ID.to_owned();
    for chunk in [Chunk::Start, Chunk::TextStart { id: id() }] {
        write!(stream, "data: {}\n\n", chunk.to_json())?;
    }
    let delta = probe::attempt(&request.message);
    let finish = Chunk::Finish { finish_reason: FinishReason::Stop, message_metadata: None };
    for chunk in [Chunk::TextDelta { id: id(), delta }, Chunk::TextEnd { id: id() }, finish] {
        write!(stream, "data: {}\n\n", chunk.to_json())?;
    }
    Ok(write!(stream, "data: {DONE}\n\n")?)
}
