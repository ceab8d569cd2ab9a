//! Baseline `relay`: a TCP proxy in front of the agent. No hub can cost less.

use std::io;

use tokio::io::copy_bidirectional_with_sizes;

use mayfly_tests::address::{Address, Listener};

/// Buffer for one direction of one connection, of the same order as the hub's buffers.
const BUFFER_BYTES: usize = 8 * 1024;

/// Serves until the future is dropped.
///
/// # Errors
/// Returns an error if the listener fails.
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
