//! Tests of the journal with a real file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use futures::FutureExt;
use mayfly_protocol::hub::EndReason;
use tempfile::TempDir;

use super::*;

fn session(bits: u128) -> SessionId {
    SessionId::from_u128(bits)
}

fn agent(bits: u128) -> Incarnation {
    Incarnation::from_u128(bits)
}

fn claim(bits: u128) -> Claim {
    Claim { session: session(bits), owner: Some("ann".to_owned()) }
}

fn bye() -> SessionSummary {
    SessionSummary { reason: EndReason::Bye, code: None, turns: 2, messages: 1, bytes: 3_000_000_000 }
}

async fn open(directory: &TempDir) -> Journal {
    Journal::open(directory.path()).await.unwrap()
}

/// Another program's connection to the same file.
async fn stranger(directory: &Path) -> libsql::Connection {
    libsql::Builder::new_local(directory.join(FILE)).build().await.unwrap().connect().unwrap()
}

async fn refusal(directory: &Path) -> String {
    Journal::open(directory).await.err().unwrap().to_string()
}

#[tokio::test]
async fn the_fate_of_a_session_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(&directory).await;
    let before = SystemTime::now() - Duration::from_millis(1);
    journal.intend(agent(1), Some(claim(7))).await;
    let past = journal.find(session(7)).await.unwrap();
    assert_eq!((past.incarnation, past.owner.as_deref()), (Some(agent(1)), Some("ann")));
    assert_eq!((past.ready_at, past.ended, past.terminated_at), (None, None, None));
    journal.record(Entry::Ready { session: session(7) });
    journal.record(Entry::Ended { session: session(7), ended: bye() });
    journal.record(Entry::Terminated { session: session(7) });
    journal.close().await;
    drop(journal);

    let journal = open(&directory).await;
    let past = journal.find(session(7)).await.unwrap();
    let (ended_at, ended) = past.ended.unwrap();
    assert_eq!((ended, past.incarnation), (bye(), None));
    let times = [Some(before), Some(past.created_at), past.ready_at, Some(ended_at), past.terminated_at];
    assert!(times.is_sorted() && times.iter().all(Option::is_some), "{times:?}");
    assert_eq!(journal.find(session(8)).await, None);
    assert_eq!(journal.unfinished().await.unwrap(), []);
}

#[tokio::test]
async fn a_file_of_the_first_version_is_upgraded() {
    let directory = tempfile::tempdir().unwrap();
    let old = stranger(directory.path()).await;
    let journal = open(&directory).await;
    journal.intend(agent(1), Some(claim(7))).await;
    journal.close().await;
    drop(journal);
    old.execute_batch("ALTER TABLE sessions DROP COLUMN joined; PRAGMA user_version = 1").await.unwrap();
    drop(old);
    let journal = open(&directory).await;
    journal.record(Entry::Joined { session: session(7) });
    let past = journal.find(session(7)).await.unwrap();
    assert!(past.joined_at.is_some() && past.owner.as_deref() == Some("ann"));
}

#[tokio::test]
async fn an_end_before_an_intention_is_recorded() {
    let journal = Journal::in_memory().await.unwrap();
    journal.record(Entry::Ended { session: session(7), ended: bye() });
    journal.intend(agent(1), Some(claim(7))).await;
    journal.record(Entry::Ended { session: session(7), ended: SessionSummary { turns: 9, ..bye() } });
    let past = journal.find(session(7)).await.unwrap();
    assert_eq!((past.ended.map(|(_, ended)| ended), past.incarnation), (Some(bye()), Some(agent(1))));
}

#[tokio::test]
async fn intentions_survive_the_death_of_the_hub() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(&directory).await;
    journal.intend(agent(1), Some(claim(1))).await;
    journal.intend(agent(2), None).await;
    journal.claim(agent(2), claim(2)).await;
    journal.intend(agent(3), None).await;
    // A killed hub leaves the files as they are now.
    let left = tempfile::tempdir().unwrap();
    for file in ["journal.db", "journal.db-wal"] {
        fs::copy(directory.path().join(file), left.path().join(file)).unwrap();
    }
    let journal = open(&left).await;
    let mut found: Vec<_> = journal
        .unfinished()
        .await
        .unwrap()
        .into_iter()
        .map(|past| (past.session, past.incarnation))
        .collect();
    found.sort();
    assert_eq!(found, [(session(1), Some(agent(1))), (session(2), Some(agent(2)))]);
    journal.lose(session(1));
    let (_, ended) = journal.find(session(1)).await.unwrap().ended.unwrap();
    assert_eq!((ended.reason, ended.code), (EndReason::AgentLost, Some(ErrorCode::AgentCrashed)));
    assert_eq!(journal.unfinished().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_session_is_forgotten_after_a_day_and_not_before() {
    let mut store = Store::in_memory().await.unwrap();
    let ended = SystemTime::now();
    let entries = [
        Entry::Intended { incarnation: agent(1), claim: Some(claim(1)) },
        Entry::Intended { incarnation: agent(2), claim: Some(claim(2)) },
        Entry::Terminated { session: session(1) },
    ];
    store.write(&entries.map(|entry| (entry, ended))).await.unwrap();
    let day = Duration::from_secs(24 * 60 * 60);
    store.tidy(ended + day).await.unwrap();
    assert!(store.find(session(1)).await.unwrap().is_some());
    store.tidy(ended + day + Duration::from_millis(1)).await.unwrap();
    assert_eq!(store.find(session(1)).await.unwrap(), None);
    assert!(store.find(session(2)).await.unwrap().is_some(), "one that runs is kept");
}

#[tokio::test]
async fn an_unusable_file_is_refused_with_a_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(&directory).await;
    assert!(refusal(directory.path()).await.contains("another hub uses"));
    let mode = fs::metadata(directory.path().join(FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    journal.close().await;
    drop(journal);

    let stranger = stranger(directory.path()).await;
    stranger.execute_batch("BEGIN EXCLUSIVE").await.unwrap();
    assert!(refusal(directory.path()).await.contains("another program has locked"));
    stranger.execute_batch("ROLLBACK; PRAGMA user_version = 7").await.unwrap();
    assert!(refusal(directory.path()).await.contains("a newer version of Mayfly wrote"));
    drop(stranger);

    let broken = tempfile::tempdir().unwrap();
    fs::write(broken.path().join(FILE), "This is no database.".repeat(1000)).unwrap();
    assert!(refusal(broken.path()).await.contains("is damaged"));
    assert!(refusal(&broken.path().join("nowhere")).await.contains("cannot write"));
}

#[tokio::test]
async fn a_locked_file_is_reported_and_loses_no_entry() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(&directory).await;
    let stranger = stranger(directory.path()).await;
    stranger.execute_batch("BEGIN IMMEDIATE").await.unwrap();
    journal.intend(agent(1), Some(claim(1))).await;
    assert!(journal.stats().trouble().is_some());
    // Callers do not wait for a journal that cannot be written.
    assert_eq!(journal.intend(agent(2), Some(claim(2))).now_or_never(), Some(()));
    stranger.execute_batch("ROLLBACK").await.unwrap();
    while journal.stats().trouble().is_some() {
        tokio::task::yield_now().await;
    }
    assert!(journal.find(session(1)).await.is_some() && journal.find(session(2)).await.is_some());
    assert!(journal.stats().failures.get() > 0);
    assert_eq!(journal.stats().lost.get(), 0);
}

#[tokio::test]
async fn a_full_file_loses_entries_and_counts_them() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join(FILE), 64 * 1024).await.unwrap();
    let journal = Journal::start(store);
    let mut bits = 0;
    while journal.stats().trouble().is_none() {
        bits += 1;
        journal.intend(agent(bits), Some(claim(bits))).await;
    }
    assert!(journal.stats().trouble().unwrap().contains("full"), "{:?}", journal.stats().trouble());
    assert_eq!(journal.stats().lost.get(), 0, "it waits for room");
    journal.close().await;
    assert!(journal.stats().lost.get() > 0);
    assert!(journal.find(session(1)).await.is_none(), "a closed journal answers nothing");
}

#[tokio::test]
async fn a_failed_write_leaves_no_values_for_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Store::open(&directory.path().join(FILE), 64 * 1024).await.unwrap();
    let now = SystemTime::now();
    let intended = |bits, claim| [(Entry::Intended { incarnation: agent(bits), claim }, now)];
    let mut bits = 0;
    while store.write(&intended(bits, None)).await.is_ok() {
        bits += 1;
    }
    for bits in 0..bits {
        store.write(&[(Entry::Gone { incarnation: agent(bits) }, now)]).await.unwrap();
    }
    store.write(&intended(bits + 1, Some(claim(1)))).await.unwrap();
    assert_eq!(store.find(session(1)).await.unwrap().unwrap().incarnation, Some(agent(bits + 1)));
}

#[tokio::test]
async fn many_entries_are_written_in_one_transaction() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(&directory).await;
    for bits in 0..1000 {
        journal.record(Entry::Intended { incarnation: agent(bits), claim: None });
    }
    journal.close().await;
    let stats = journal.stats();
    assert_eq!(stats.entries.get(), 1000);
    assert!(stats.batches.get() <= 10, "{}", stats.batches.get());
}
