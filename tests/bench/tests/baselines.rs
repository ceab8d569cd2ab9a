//! Each baseline delivers every token of the simulated agent.

#![allow(clippy::unwrap_used, reason = "tests")]

use mayfly_bench::baseline::{naive, relay};
use mayfly_bench::check::Tally;
use mayfly_bench::driver::{Fleet, Target};
use mayfly_tests::address::{Address, Listener};
use mayfly_tests::agent;
use mayfly_tests::load::Load;
use tempfile::TempDir;

const TOKEN: &str = "secret";
const LOAD: Load = Load { tokens: 20, rate: 0 };

async fn loopback() -> (Listener, Address) {
    let listener = "127.0.0.1:0".parse::<Address>().unwrap().bind().await.unwrap();
    let address = listener.address().unwrap();
    (listener, address)
}

fn start_agent(listener: Listener) {
    tokio::spawn(agent::serve(vec![listener], Some(TOKEN.to_owned())));
}

async fn tally_of(target: &Target) -> Tally {
    let mut fleet = Fleet::open(target, 3).await.unwrap();
    fleet.warm(LOAD).await.unwrap();
    fleet.warm(LOAD).await.unwrap();
    fleet.close().await.unwrap()
}

fn whole() -> Tally {
    Tally { tokens: 3 * 2 * LOAD.tokens, turns: 3 * 2, ..Tally::default() }
}

#[tokio::test]
async fn direct_delivers_every_token_over_both_kinds_of_socket() {
    let directory = TempDir::new().unwrap();
    let unix = Address::Unix(directory.path().join("agent.sock"));
    start_agent(unix.bind().await.unwrap());
    assert_eq!(tally_of(&Target::Events(unix, TOKEN.to_owned())).await, whole());
    let (listener, tcp) = loopback().await;
    start_agent(listener);
    assert_eq!(tally_of(&Target::Events(tcp, TOKEN.to_owned())).await, whole());
}

#[tokio::test]
async fn relay_delivers_every_token() {
    let (listener, agent) = loopback().await;
    start_agent(listener);
    let (listener, address) = loopback().await;
    tokio::spawn(relay::serve(listener, agent));
    assert_eq!(tally_of(&Target::Events(address, TOKEN.to_owned())).await, whole());
}

#[tokio::test]
async fn naive_delivers_every_token() {
    let (listener, agent) = loopback().await;
    start_agent(listener);
    let (Listener::Tcp(listener), address) = loopback().await else { panic!("loopback is TCP") };
    tokio::spawn(naive::serve(listener, format!("http://{agent}"), TOKEN.to_owned()));
    assert_eq!(tally_of(&Target::Socket(format!("ws://{address}/ws"))).await, whole());
}

#[tokio::test]
async fn the_agent_refuses_a_wrong_token() {
    let (listener, agent) = loopback().await;
    start_agent(listener);
    let mut fleet = Fleet::open(&Target::Events(agent, "other".to_owned()), 1).await.unwrap();
    let error = fleet.warm(LOAD).await.unwrap_err();
    assert_eq!(error.to_string(), "the agent answered 401 Unauthorized");
}
