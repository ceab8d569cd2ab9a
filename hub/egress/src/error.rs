//! Errors of the proxy: the policy's denials, and failures on the way to a host.

use std::io;

use hyper::StatusCode;

use crate::limits::CONNECT_TIMEOUT;
use crate::policy::Denial;

/// Error for which a request gets no connection; its text is the answer's body.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    /// The request is not one for a proxy.
    #[error("not a request for a proxy: expected CONNECT HOST:PORT, or an absolute http:// URL")]
    Malformed,
    /// The policy denies it.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// The name does not resolve.
    #[error("the host cannot be resolved: {0}")]
    Unresolved(io::Error),
    /// No address of the host accepts a connection.
    #[error("the host cannot be reached: {0}")]
    Unreachable(io::Error),
    /// The host breaks HTTP.
    #[error("the host does not answer in HTTP: {0}")]
    NotHttp(#[from] hyper::Error),
    /// Resolving and connecting took too long.
    #[error("the host cannot be reached within {} s", CONNECT_TIMEOUT.as_secs())]
    Timeout,
}

impl ProxyError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Denied(_) => StatusCode::FORBIDDEN,
            Self::Unresolved(_) | Self::Unreachable(_) | Self::NotHttp(_) => StatusCode::BAD_GATEWAY,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "egress.malformed",
            Self::Denied(denial) => denial.code,
            Self::Unresolved(_) => "egress.unresolved",
            Self::Unreachable(_) => "egress.unreachable",
            Self::NotHttp(_) => "egress.not_http",
            Self::Timeout => "egress.timeout",
        }
    }
}
