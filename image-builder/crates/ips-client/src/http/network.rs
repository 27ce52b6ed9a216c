//! How the network is used.

use std::path::PathBuf;
use std::time::Duration;

/// How the network is used.
#[derive(Debug, Clone)]
pub struct Network {
    /// How long a connection may take.
    pub connect: Duration,
    /// How long nothing may come from a server that is to answer or has begun to.
    pub stall: Duration,
    /// How often a request is made before it counts as failed.
    pub attempts: u32,
    /// The pause after the first failure; it doubles with each one more.
    pub backoff: Duration,
    /// How many files are fetched at once.
    pub connections: usize,
    /// What the client shows servers that want to know it, by the beginning of their addresses.
    pub client_keys: Vec<ClientKey>,
}

/// A key and its certificate, for servers whose addresses begin with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientKey {
    /// What the addresses begin with.
    pub prefix: String,
    /// The file with the private key, PEM.
    pub key: PathBuf,
    /// The file with the certificate, and those that lead to its authority, PEM.
    pub certificate: PathBuf,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            stall: Duration::from_secs(60),
            attempts: 5,
            backoff: Duration::from_millis(500),
            connections: 8,
            client_keys: Vec::new(),
        }
    }
}
