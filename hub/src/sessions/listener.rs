//! Somebody who hears a session's frames without a socket, for an HTTP answer. One that is a stream takes them from a
//! short queue, and is let go like a slow socket when that stays full. One in a single piece is put together where the
//! frames are: it is never behind.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use mayfly_protocol::ids::Epoch;
use mayfly_protocol::refusal::Close;
use mayfly_session::{Detach, SocketId};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::PollSender;

use crate::limits::{CLOSE_TIMEOUT, LISTENER_FRAMES_MAX};
use crate::socket::Inbound;

/// What a listener hears.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A frame, and where its client is in the record then; nothing if the frame is no part of that.
    Frame(Bytes, Option<(Epoch, u64)>),
    /// No more comes, for this reason.
    Closed(Close),
}

/// The session's side of it.
pub(crate) struct Listener {
    id: SocketId,
    epoch: Epoch,
    ear: Ear,
    /// Resolves when nobody listens any more.
    left: Pin<Box<dyn Future<Output = ()> + Send>>,
}

enum Ear {
    Queue(PollSender<Heard>),
    Call(Box<dyn FnMut(Heard) + Send>),
}

impl Listener {
    /// A listener, and where it hears.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Heard>) {
        let (sender, heard) = mpsc::channel(LISTENER_FRAMES_MAX);
        let watched = sender.clone();
        let left = async move { watched.closed().await };
        (Self::with(Ear::Queue(PollSender::new(sender)), left), heard)
    }

    /// A listener that this is called for, until it is gone.
    pub(crate) fn calling(
        hear: impl FnMut(Heard) + Send + 'static,
        left: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self::with(Ear::Call(Box::new(hear)), left)
    }

    fn with(ear: Ear, left: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { id: SocketId(0), epoch: Epoch(0), ear, left: Box::pin(left) }
    }

    /// The same, named by the session whose frames are numbered as `epoch` says.
    pub(crate) fn named(self, id: SocketId, epoch: Epoch) -> Self {
        Self { id, epoch, ..self }
    }

    /// The session's name for it.
    pub(crate) fn id(&self) -> SocketId {
        self.id
    }

    /// Whether it can take a frame now; if not, the task is woken when it may.
    pub(crate) fn is_ready(&mut self, cx: &mut Context<'_>) -> bool {
        match &mut self.ear {
            Ear::Queue(queue) => matches!(queue.poll_reserve(cx), Poll::Ready(Ok(()))),
            Ear::Call(_) => true,
        }
    }

    /// Passes a frame on, up to which the record has this number.
    pub(crate) fn send(&mut self, frame: Bytes, seq: Option<u64>) {
        let heard = self.heard(frame, seq);
        match &mut self.ear {
            // Who has left is noticed by `poll_inbound`.
            Ear::Queue(queue) => drop(queue.send_item(heard)),
            Ear::Call(hear) => hear(heard),
        }
    }

    /// It brings nothing but its leaving.
    pub(crate) fn poll_inbound(&mut self, cx: &mut Context<'_>) -> Poll<Inbound> {
        self.left.as_mut().poll(cx).map(|()| Inbound::Gone(Detach::Closed, None))
    }

    /// Passes the last frames on, and why there are no more.
    pub(crate) async fn say_farewell(mut self, frames: Vec<(Bytes, Option<u64>)>, close: Option<Close>) {
        let frames: Vec<Heard> = frames.into_iter().map(|(frame, seq)| self.heard(frame, seq)).collect();
        let last = frames.into_iter().chain(close.map(Heard::Closed));
        let queue = match &mut self.ear {
            Ear::Queue(queue) => queue,
            Ear::Call(hear) => return last.for_each(hear),
        };
        queue.abort_send();
        let Some(queue) = queue.get_ref() else { return };
        let farewell = async {
            for heard in last {
                if queue.send(heard).await.is_err() {
                    return;
                }
            }
        };
        // One that does not listen has nothing to be told.
        let _ = timeout(CLOSE_TIMEOUT, farewell).await;
    }

    fn heard(&self, frame: Bytes, seq: Option<u64>) -> Heard {
        Heard::Frame(frame, seq.map(|seq| (self.epoch, seq)))
    }
}
