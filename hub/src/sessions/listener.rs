//! A listener: receives a session's frames without a socket, for an HTTP answer. A streamed answer reads the frames from
//! a short queue, and is closed like a slow socket if the queue stays full. A reply in one piece takes each frame through
//! a callback, so that it never falls behind.

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

/// An item that a listener receives.
#[derive(Debug)]
pub(crate) enum Item {
    /// A frame, with its number if it is part of the session's log.
    Frame(Bytes, Option<(Epoch, u64)>),
    /// The end of the frames, with the cause.
    Closed(Close),
}

/// A listener, as the session's task holds it.
pub(crate) struct Listener {
    id: SocketId,
    epoch: Epoch,
    sink: Sink,
    /// Resolves when the receiver is gone.
    left: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// The destination of a listener's items.
enum Sink {
    Queue(PollSender<Item>),
    Callback(Box<dyn FnMut(Item) + Send>),
}

impl Listener {
    /// Returns a listener and the queue of its items.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Item>) {
        let (sender, items) = mpsc::channel(LISTENER_FRAMES_MAX);
        let watched = sender.clone();
        let left = async move { watched.closed().await };
        (Self::with(Sink::Queue(PollSender::new(sender)), left), items)
    }

    /// Returns a listener that passes each item to a callback until `left` resolves.
    pub(crate) fn calling(
        callback: impl FnMut(Item) + Send + 'static,
        left: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self::with(Sink::Callback(Box::new(callback)), left)
    }

    fn with(sink: Sink, left: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { id: SocketId(0), epoch: Epoch(0), sink, left: Box::pin(left) }
    }

    /// Returns the listener with the session's id for it and the epoch of its frame numbers.
    pub(crate) fn named(self, id: SocketId, epoch: Epoch) -> Self {
        Self { id, epoch, ..self }
    }

    /// Returns the session's id for the listener.
    pub(crate) fn id(&self) -> SocketId {
        self.id
    }

    /// Returns `true` if the listener can take a frame now. If not, the task is woken once it can.
    pub(crate) fn is_ready(&mut self, cx: &mut Context<'_>) -> bool {
        match &mut self.sink {
            Sink::Queue(queue) => matches!(queue.poll_reserve(cx), Poll::Ready(Ok(()))),
            Sink::Callback(_) => true,
        }
    }

    /// Passes a frame on, with its number if it is part of the session's log.
    pub(crate) fn send(&mut self, frame: Bytes, seq: Option<u64>) {
        let item = self.item(frame, seq);
        match &mut self.sink {
            // `poll_inbound` reports a receiver that is gone.
            Sink::Queue(queue) => drop(queue.send_item(item)),
            Sink::Callback(callback) => callback(item),
        }
    }

    /// Waits until the receiver is gone; a listener sends nothing else.
    pub(crate) fn poll_inbound(&mut self, cx: &mut Context<'_>) -> Poll<Inbound> {
        self.left.as_mut().poll(cx).map(|()| Inbound::Gone(Detach::Closed, None))
    }

    /// Passes on the last frames, then the cause of the end.
    pub(crate) async fn say_farewell(mut self, frames: Vec<(Bytes, Option<u64>)>, close: Option<Close>) {
        let frames: Vec<Item> = frames.into_iter().map(|(frame, seq)| self.item(frame, seq)).collect();
        let last = frames.into_iter().chain(close.map(Item::Closed));
        let queue = match &mut self.sink {
            Sink::Queue(queue) => queue,
            Sink::Callback(callback) => return last.for_each(callback),
        };
        queue.abort_send();
        let Some(queue) = queue.get_ref() else { return };
        let farewell = async {
            for item in last {
                if queue.send(item).await.is_err() {
                    return;
                }
            }
        };
        // A receiver that does not read in time gets no farewell.
        let _ = timeout(CLOSE_TIMEOUT, farewell).await;
    }

    fn item(&self, frame: Bytes, seq: Option<u64>) -> Item {
        Item::Frame(frame, seq.map(|seq| (self.epoch, seq)))
    }
}
