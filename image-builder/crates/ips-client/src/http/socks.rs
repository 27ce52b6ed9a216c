//! SOCKS proxies: the HTTP library speaks with them, and here it is told that it was the proxy that refused.

use std::io;

use ureq::unversioned::transport::{ConnectionDetails, Connector, SocksConnector, Transport};
use ureq::{Error, Proxy, ProxyProtocol};

/// What a proxy wants that takes none of the ways to introduce oneself that it was offered.
const WHO_ASKS: &str = " (it wants to know who asks: its address is socks5h://NAME:PASSWORD@HOST:PORT then)";

pub(super) fn is_socks(proxy: &Proxy) -> bool {
    use ProxyProtocol::{Socks4, Socks4A, Socks5, Socks5h};
    matches!(proxy.protocol(), Socks4 | Socks4A | Socks5 | Socks5h)
}

/// Connects by way of the SOCKS proxy, where there is one.
#[derive(Debug, Default)]
pub(super) struct SocksProxyConnector(SocksConnector);

impl<In: Transport> Connector<In> for SocksProxyConnector {
    type Out = <SocksConnector as Connector<In>>::Out;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        let connected = self.0.connect(details, chained);
        let Some(proxy) = details.config.proxy().filter(|proxy| is_socks(proxy)) else { return connected };
        connected.map_err(|error| told(proxy, error))
    }
}

/// An error that says whose it is. The address of the proxy may have a password, its place has none.
fn told(proxy: &Proxy, error: Error) -> Error {
    let Error::Io(error) = error else { return error };
    let reason = error.to_string();
    let wants_name = reason.contains("auth method");
    let hint = if wants_name { WHO_ASKS } else { "" };
    // Who is asked for a name once will be asked for it each time.
    let is_final = wants_name || matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput);
    let kind = if is_final { io::ErrorKind::InvalidData } else { error.kind() };
    let whole = format!("the SOCKS proxy {}:{}: {reason}{hint}", proxy.host(), proxy.port());
    Error::Io(io::Error::new(kind, whole))
}
