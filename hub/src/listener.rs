//! Somebody who hears a session's frames without a socket: the body of an HTTP answer. It takes them from a short queue,
//! and is let go like a slow socket when that stays full.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use mayfly_protocol::code::CloseCode;
use mayfly_protocol::ids::Epoch;
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
    Closed(CloseCode),
}

/// The session's side of it.
pub(crate) struct Listener {
    id: SocketId,
    epoch: Epoch,
    queue: PollSender<Heard>,
    /// Resolves when nobody listens any more.
    left: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Listener {
    /// A listener, and where it hears.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Heard>) {
        let (sender, heard) = mpsc::channel(LISTENER_FRAMES_MAX);
        let watched = sender.clone();
        let left = Box::pin(async move { watched.closed().await });
        (Self { id: SocketId(0), epoch: Epoch(0), queue: PollSender::new(sender), left }, heard)
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
        matches!(self.queue.poll_reserve(cx), Poll::Ready(Ok(())))
    }

    /// Passes a frame on, up to which the record has this number.
    pub(crate) fn send(&mut self, frame: Bytes, seq: Option<u64>) {
        let heard = self.heard(frame, seq);
        // Who has left is noticed by `poll_inbound`.
        let _ = self.queue.send_item(heard);
    }

    /// It brings nothing but its leaving.
    pub(crate) fn poll_inbound(&mut self, cx: &mut Context<'_>) -> Poll<Inbound> {
        self.left.as_mut().poll(cx).map(|()| Inbound::Gone(Detach::Closed, None))
    }

    /// Passes the last frames on, and why there are no more.
    pub(crate) async fn say_farewell(mut self, frames: Vec<(Bytes, Option<u64>)>, code: Option<CloseCode>) {
        self.queue.abort_send();
        let frames: Vec<Heard> = frames.into_iter().map(|(frame, seq)| self.heard(frame, seq)).collect();
        let Some(queue) = self.queue.get_ref() else { return };
        let farewell = async {
            for heard in frames.into_iter().chain(code.map(Heard::Closed)) {
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
