//! A tunnel between an agent and a host: moves bytes both ways, counted, until one of its ends or bounds is reached.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tracing::debug;

use crate::account::{Account, Direction};
use crate::limits::{BUFFER_BYTES, IDLE_TIMEOUT};

/// Moves bytes until both directions have ended, nothing has moved for [`IDLE_TIMEOUT`], or the policy denies more.
pub(crate) async fn run(agent: impl AsyncRead + AsyncWrite, host: TcpStream, account: &Account) {
    let pieces = AtomicU64::new(0);
    let (from_agent, to_agent) = split(agent);
    let (from_host, to_host) = host.into_split();
    let both = async {
        tokio::try_join!(
            pump(from_agent, to_host, account, Direction::Sent, &pieces),
            pump(from_host, to_agent, account, Direction::Received, &pieces),
        )
    };
    let incarnation = account.agent();
    tokio::select! {
        moved = both => match moved {
            Ok(_) => {}
            Err(error) => debug!(%incarnation, %error, "egress tunnel cut"),
        },
        () = idle(&pieces) => debug!(%incarnation, error = "no byte moved for too long", "egress tunnel cut"),
    }
}

/// Returns when no piece has moved between two looks.
async fn idle(pieces: &AtomicU64) {
    let mut before = None;
    loop {
        let now = Some(pieces.load(Ordering::Relaxed));
        if before == now {
            return;
        }
        before = now;
        sleep(IDLE_TIMEOUT).await;
    }
}

/// Moves bytes one way until the source ends; then it shuts down the sink.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    account: &Account,
    direction: Direction,
    pieces: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = from.read(&mut buffer).await?;
        let piece = buffer.get(..count).unwrap_or_default();
        if piece.is_empty() {
            return to.shutdown().await;
        }
        account.take(direction, count as u64).map_err(io::Error::other)?;
        pieces.fetch_add(1, Ordering::Relaxed);
        to.write_all(piece).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use mayfly_protocol::ids::Incarnation;
    use tokio::io::{DuplexStream, duplex};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::policy::{Denial, ExitPolicy, Target};

    /// Allows this many bytes in all.
    struct Budget(u64);

    impl ExitPolicy for Budget {
        fn check_target(&self, _: Incarnation, _: &Target) -> Result<(), Denial> {
            Ok(())
        }

        fn check_address(&self, _: Incarnation, _: &Target, _: IpAddr) -> Result<(), Denial> {
            Ok(())
        }

        fn check_bytes(&self, _: Incarnation, moved: u64, more: u64) -> Result<(), Denial> {
            if moved + more > self.0 { Err(Denial::new("test.bytes", "too many")) } else { Ok(()) }
        }

        fn logs_refusal(&self, _: Incarnation, _: u64) -> bool {
            false
        }
    }

    /// The agent's end of a tunnel, the host's end, and the tunnel's task.
    async fn open(account: Arc<Account>) -> (DuplexStream, TcpStream, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (host, _) = listener.accept().await.unwrap();
        let (agent, far) = duplex(BUFFER_BYTES);
        (agent, host, tokio::spawn(async move { run(far, near, &account).await }))
    }

    fn account(bytes: u64) -> Arc<Account> {
        Arc::new(Account::new(Incarnation::from_u128(1), Arc::new(Budget(bytes))))
    }

    #[tokio::test]
    async fn both_directions_are_counted_and_ends_are_passed_on() {
        let account = account(9);
        let (mut agent, mut host, tunnel) = open(Arc::clone(&account)).await;
        agent.write_all(b"ask").await.unwrap();
        agent.shutdown().await.unwrap();
        let mut asked = String::new();
        host.read_to_string(&mut asked).await.unwrap();
        host.write_all(b"answer").await.unwrap();
        drop(host);
        let mut answered = String::new();
        agent.read_to_string(&mut answered).await.unwrap();
        tunnel.await.unwrap();
        assert_eq!((asked.as_str(), answered.as_str(), account.bytes()), ("ask", "answer", 9));
    }

    #[tokio::test]
    async fn a_denied_piece_cuts_the_tunnel_and_does_not_pass() {
        let account = account(3);
        let (mut agent, mut host, tunnel) = open(Arc::clone(&account)).await;
        agent.write_all(b"abc").await.unwrap();
        let mut passed = [0; 3];
        host.read_exact(&mut passed).await.unwrap();
        agent.write_all(b"x").await.unwrap();
        tunnel.await.unwrap();
        let mut rest = Vec::new();
        host.read_to_end(&mut rest).await.unwrap();
        assert_eq!((&passed, rest.as_slice(), account.bytes()), (b"abc", &[][..], 4));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_tunnel_is_cut() {
        let started = tokio::time::Instant::now();
        let (_agent, _host, tunnel) = open(account(0)).await;
        tunnel.await.unwrap();
        assert_eq!(started.elapsed().as_secs(), IDLE_TIMEOUT.as_secs());
    }
}
