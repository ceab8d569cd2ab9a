//! The journal's only writer: takes all waiting entries and writes them in one transaction.

use std::time::{Instant, SystemTime};

use mayfly_protocol::ids::SessionId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{interval, sleep};

use crate::limits::{JOURNAL_BATCH_MAX, JOURNAL_RETRY_INTERVAL, JOURNAL_TIDY_INTERVAL};
use crate::ops::journal::stats::Stats;
use crate::ops::journal::store::{Result, Store};
use crate::ops::journal::{Entry, Past};

/// A request to the writer.
pub(super) enum Request {
    /// Writes an entry with its time. The sender, if any, is used when the entry is on disk or the write failed.
    Keep(Entry, SystemTime, Option<oneshot::Sender<()>>),
    Find(SessionId, oneshot::Sender<Option<Past>>),
    Unfinished(oneshot::Sender<Vec<Past>>),
    /// Closes the journal. The sender is dropped when every earlier entry is on disk or lost.
    Close(oneshot::Sender<()>),
}

pub(super) struct Writer {
    store: Store,
    requests: mpsc::Receiver<Request>,
    stats: Stats,
    /// Entries that are not on disk.
    pending: Vec<(Entry, SystemTime)>,
    closing: Option<oneshot::Sender<()>>,
}

impl Writer {
    pub(super) fn new(store: Store, requests: mpsc::Receiver<Request>, stats: Stats) -> Self {
        Self { store, requests, stats, pending: Vec::new(), closing: None }
    }

    /// Serves requests until the journal is closed or dropped.
    pub(super) async fn drive(mut self) {
        let mut tidy = interval(JOURNAL_TIDY_INTERVAL);
        let mut batch = Vec::new();
        loop {
            // Entries that could not be written fill the next batch; newer requests stay in the queue.
            let room = JOURNAL_BATCH_MAX - self.pending.len();
            tokio::select! {
                count = self.requests.recv_many(&mut batch, room), if room > 0 => {
                    if count == 0 {
                        return;
                    }
                }
                () = sleep(JOURNAL_RETRY_INTERVAL), if !self.pending.is_empty() => {}
                _ = tidy.tick() => {
                    self.tidy().await;
                    continue;
                }
            }
            self.serve(&mut batch).await;
            if self.closing.is_some() && (self.requests.is_empty() || !self.pending.is_empty()) {
                return self.stats.lose((self.pending.len() + self.requests.len()) as u64);
            }
        }
    }

    async fn serve(&mut self, batch: &mut Vec<Request>) {
        let (mut waiting, mut questions) = (Vec::new(), Vec::new());
        for request in batch.drain(..) {
            match request {
                Request::Keep(entry, at, written) => {
                    self.pending.push((entry, at));
                    waiting.extend(written);
                }
                Request::Close(closed) => self.closing = Some(closed),
                question @ (Request::Find(..) | Request::Unfinished(_)) => questions.push(question),
            }
        }
        self.write().await;
        for written in waiting {
            // The caller may have stopped waiting.
            let _ = written.send(());
        }
        for question in questions {
            if let Err(error) = self.answer(question).await {
                self.stats.begin_trouble(&error.to_string());
            }
        }
    }

    async fn write(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let began = Instant::now();
        match self.store.write(&self.pending).await {
            Ok(()) => {
                self.stats.commit.observe(began.elapsed().as_secs_f64());
                self.stats.entries.inc_by(self.pending.len() as u64);
                self.stats.batches.inc();
                self.pending.clear();
                self.stats.end_trouble();
            }
            Err(error) => self.stats.begin_trouble(&error.to_string()),
        }
    }

    async fn answer(&self, question: Request) -> Result<()> {
        match question {
            Request::Find(session, answer) => drop(answer.send(self.store.find(session).await?)),
            Request::Unfinished(answer) => drop(answer.send(self.store.unfinished().await?)),
            Request::Keep(..) | Request::Close(_) => {}
        }
        Ok(())
    }

    async fn tidy(&self) {
        if let Err(error) = self.store.tidy(SystemTime::now()).await {
            self.stats.begin_trouble(&error.to_string());
        }
    }
}
