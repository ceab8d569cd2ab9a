//! Baseline `relay`: every connection is passed on to the agent over TCP, byte by byte, unread. The floor.

use std::io;

use tokio::io::copy_bidirectional_with_sizes;

use crate::address::{Address, Listener};

/// One direction of one connection; the hub's buffers are of this order, too.
const BUFFER_BYTES: usize = 8 * 1024;

/// Serves until the task is dropped.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: Listener, upstream: Address) -> io::Result<()> {
    loop {
        let mut client = listener.accept().await?;
        let upstream = upstream.clone();
        tokio::spawn(async move {
            let Ok(mut agent) = upstream.connect().await else { return };
            // Whichever side leaves, the other one sees its connection end.
            let _ = copy_bidirectional_with_sizes(&mut client, &mut agent, BUFFER_BYTES, BUFFER_BYTES).await;
        });
    }
}
