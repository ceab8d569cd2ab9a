//! Addresses of agents and servers: `unix:PATH` or `HOST:PORT`.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;

/// An address to listen on or to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// TCP; port 0 lets the system choose one.
    Tcp(SocketAddr),
}

/// A connection to or from an address.
pub type Stream = Either<UnixStream, TcpStream>;

/// A bound address.
#[derive(Debug)]
pub enum Listener {
    /// A Unix socket.
    Unix(UnixListener, PathBuf),
    /// TCP.
    Tcp(TcpListener),
}

/// Error returned when a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected unix:PATH or HOST:PORT, HOST as a number")]
pub struct BadAddress;

impl Address {
    /// Listens on the address.
    ///
    /// # Errors
    /// Returns an error if the address is taken or cannot be bound.
    pub async fn bind(&self) -> io::Result<Listener> {
        match self {
            Self::Unix(path) => Ok(Listener::Unix(UnixListener::bind(path)?, path.clone())),
            Self::Tcp(address) => Ok(Listener::Tcp(TcpListener::bind(address).await?)),
        }
    }

    /// Connects to the address, without Nagle's delay.
    ///
    /// # Errors
    /// Returns an error if nobody listens on the address.
    pub async fn connect(&self) -> io::Result<Stream> {
        match self {
            Self::Unix(path) => Ok(Either::Left(UnixStream::connect(path).await?)),
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Either::Right(stream))
            }
        }
    }
}

impl Listener {
    /// Accepts the next connection, without Nagle's delay.
    ///
    /// # Errors
    /// Returns the errors of accept(2).
    pub async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Unix(listener, _) => Ok(Either::Left(listener.accept().await?.0)),
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Either::Right(stream))
            }
        }
    }

    /// Returns the address of this listener.
    ///
    /// # Errors
    /// Returns the errors of getsockname(2).
    pub fn address(&self) -> io::Result<Address> {
        match self {
            Self::Unix(_, path) => Ok(Address::Unix(path.clone())),
            Self::Tcp(listener) => listener.local_addr().map(Address::Tcp),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        match text.strip_prefix("unix:") {
            Some("") => Err(BadAddress),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text.parse().map(Self::Tcp).map_err(|_| BadAddress),
        }
    }
}
