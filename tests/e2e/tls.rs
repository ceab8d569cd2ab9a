//! TLS of the hub's own listener.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use mayfly_tests::harness::{Client, FRAME_TIMEOUT, Hub};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, interval, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{ask, eventually};

/// The hub's certificate files.
struct Files(TempDir);

impl Files {
    fn new() -> Result<Self> {
        Ok(Self(tempfile::tempdir()?))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a new certificate and its key.
    fn renew(&self) -> Result<CertificateDer<'static>> {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()])?;
        fs::write(self.path("cert.pem"), cert.pem())?;
        fs::write(self.path("key.pem"), signing_key.serialize_pem())?;
        Ok(cert.der().clone())
    }

    fn flags(&self) -> [String; 4] {
        let [cert, key] = ["cert.pem", "key.pem"].map(|name| self.path(name).display().to_string());
        ["--tls-cert".to_owned(), cert, "--tls-key".to_owned(), key]
    }

    fn serve(&self) -> Result<Hub> {
        Hub::start(&self.flags().each_ref().map(String::as_str))
    }
}

/// Connects to a hub that presents this certificate, and fails for any other.
async fn secure(hub: &Hub, shown: &CertificateDer<'static>) -> Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(shown.clone())?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions()?.with_root_certificates(roots);
    let mut config = config.with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = TcpStream::connect(hub.authority()).await?;
    Ok(TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost")?, stream).await?)
}

/// Retries [`connect`] until the hub has read its files again.
async fn secure_soon(hub: &Hub, shown: &CertificateDer<'static>) -> Result<TlsStream<TcpStream>> {
    let deadline = Instant::now() + FRAME_TIMEOUT;
    let mut ticks = interval(std::time::Duration::from_millis(50));
    loop {
        ticks.tick().await;
        match secure(hub, shown).await {
            Ok(stream) => return Ok(stream),
            Err(error) => ensure!(Instant::now() < deadline, "{error:#}; the hub says:\n{}", hub.log()),
        }
    }
}

/// Opens a WebSocket with this origin, if any, through one secure connection.
async fn client(hub: &Hub, shown: &CertificateDer<'static>, scheme: Option<&str>) -> Result<Client> {
    let mut secure = secure(hub, shown).await?;
    let bridge = TcpListener::bind("127.0.0.1:0").await?;
    let address = bridge.local_addr()?;
    tokio::spawn(async move {
        let (mut plain, _) = bridge.accept().await?;
        copy_bidirectional(&mut plain, &mut secure).await
    });
    let origin = scheme.map(|scheme| ("origin", format!("{scheme}://{address}")));
    let headers: Vec<_> = origin.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Client::connect_with(&format!("ws://{address}/ws"), &headers).await
}

#[tokio::test]
async fn page_and_conversation_come_over_tls() -> Result<()> {
    let files = Files::new()?;
    let cert = files.renew()?;
    let hub = files.serve()?;
    assert!(hub.url.starts_with("https://") && hub.ws_url.starts_with("wss://"), "{}", hub.url);
    let mut stream = secure(&hub, &cert).await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");

    for scheme in [None, Some("https")] {
        let mut person = client(&hub, &cert, scheme).await?;
        assert_eq!(ask(&mut person, "Hello").await?.last().unwrap()["reason"], "complete");
        person.send_text("/bye").await?;
        assert_eq!(person.until_closed().await?.1, 1000);
    }
    assert_eq!(client(&hub, &cert, Some("http")).await?.until_closed().await?.1, 4503);
    Ok(())
}

#[tokio::test]
async fn a_valid_new_certificate_is_used() -> Result<()> {
    let files = Files::new()?;
    let first = files.renew()?;
    let hub = files.serve()?;
    let mut person = client(&hub, &first, None).await?;
    assert_eq!(ask(&mut person, "Hello").await?.last().unwrap()["reason"], "complete");

    let second = files.renew()?;
    secure_soon(&hub, &second).await?;
    assert!(secure(&hub, &first).await.is_err());
    assert_eq!(ask(&mut person, "Hello again").await?.last().unwrap()["reason"], "complete");

    fs::write(files.path("key.pem"), "no key")?;
    eventually(|| Ok(hub.log().contains("TLS certificate not reloaded").then_some(()))).await?;
    secure(&hub, &second).await?;
    let third = files.renew()?;
    secure_soon(&hub, &third).await?;
    Ok(())
}

#[tokio::test]
async fn a_client_without_a_handshake_is_closed() -> Result<()> {
    let files = Files::new()?;
    let cert = files.renew()?;
    let hub = files.serve()?;
    let mut silent = TcpStream::connect(hub.authority()).await?;
    let mut plain = TcpStream::connect(hub.authority()).await?;
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
    secure(&hub, &cert).await?;
    for stream in [&mut plain, &mut silent] {
        let mut rest = Vec::new();
        // Whether it says goodbye or cuts the connection is all the same.
        let _ = timeout(FRAME_TIMEOUT, stream.read_to_end(&mut rest)).await.context("it is left open")?;
        assert!(!rest.starts_with(b"HTTP"));
    }
    Ok(())
}

#[test]
fn an_unusable_certificate_prevents_the_start() -> Result<()> {
    let files = Files::new()?;
    files.renew()?;
    let [other, empty] = ["other.pem", "empty.pem"].map(|name| files.path(name));
    fs::rename(files.path("key.pem"), &other)?;
    files.renew()?;
    fs::write(&empty, "nothing")?;
    let path = |name: &str| files.path(name).display().to_string();
    let [cert, key, other, empty, none] =
        [path("cert.pem"), path("key.pem"), path("other.pem"), path("empty.pem"), path("none.pem")];
    for (cert, key, expected) in [
        (&cert, &other, format!("the key in {other} is not that of the certificate in {cert}")),
        (&cert, &empty, format!("{empty} has no private key in PEM")),
        (&empty, &key, format!("{empty} has no certificate in PEM")),
        (&cert, &cert, format!("{cert} has no private key in PEM")),
        (&none, &key, format!("cannot read {none}: No such file or directory")),
    ] {
        let error = Hub::start(&["--tls-cert", cert, "--tls-key", key]).err().context("it started")?;
        assert!(format!("{error:#}").contains(&expected), "{expected} is not in {error:#}");
    }
    let error = Hub::start(&["--tls-cert", &cert]).err().context("it started")?;
    assert!(format!("{error:#}").contains("tls-key is not set"), "{error:#}");
    Ok(())
}
