//! The arguments of `image-builder ips`, and the keys that publishers want to see.

use clap::{Args, Subcommand};
use ips_client::ClientKey;

#[derive(Debug, Args)]
pub(crate) struct Ips {
    #[command(subcommand)]
    pub(crate) verb: IpsVerb,
    #[command(flatten)]
    pub(crate) client_keys: ClientKeyArguments,
}

/// What depots are shown that want to know who asks.
#[derive(Debug, Args)]
pub(crate) struct ClientKeyArguments {
    /// Show depots whose addresses begin with ADDRESS this key and certificate, both PEM; repeatable.
    #[arg(long = "client-key", global = true, value_name = "ADDRESS,KEY,CERTIFICATE", value_parser = client_key)]
    pub(crate) keys: Vec<ClientKey>,
}

fn client_key(text: &str) -> Result<ClientKey, String> {
    let parts: Vec<&str> = text.split(',').collect();
    match parts[..] {
        [prefix, key, certificate] if !prefix.is_empty() && !key.is_empty() && !certificate.is_empty() => {
            Ok(ClientKey { prefix: prefix.to_owned(), key: key.into(), certificate: certificate.into() })
        }
        _ => Err("ADDRESS,KEY,CERTIFICATE are wanted, separated by commas".to_owned()),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum IpsVerb {
    /// List packages: the newest of a repository, or the installed ones.
    List(IpsList),
    /// Say what packages are for.
    Info(IpsInfo),
    /// List what packages deliver.
    Contents(IpsContents),
    /// Find packages by a part of their names, summaries and, in an archive, paths.
    Search(IpsSearch),
    /// Check every manifest and payload of a repository, or every delivered path of an archive.
    Verify(IpsVerify),
}

impl IpsVerb {
    /// Whether a machine reads what is said.
    pub(crate) fn is_json(&self) -> bool {
        match self {
            Self::List(list) => list.json,
            Self::Info(info) => info.json,
            Self::Contents(contents) => contents.json,
            Self::Search(search) => search.json,
            Self::Verify(verify) => verify.json,
        }
    }

    /// What is looked at.
    pub(crate) fn source(&self) -> &str {
        let source = match self {
            Self::List(list) => &list.source,
            Self::Info(info) => &info.source,
            Self::Contents(contents) => &contents.source,
            Self::Search(search) => &search.source,
            Self::Verify(verify) => &verify.source,
        };
        &source.source
    }
}

#[derive(Debug, Args)]
pub(crate) struct SourceArgument {
    /// A depot (`https://…`), a directory or `.p5p` archive with a repository; or a root file system: a directory, a tar, or
    /// a raw or qcow2 disk image with a pool (`IMAGE[:DATASET[@SNAPSHOT]]`, by default what boots).
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,
}

#[derive(Debug, Args)]
pub(crate) struct IpsList {
    #[command(flatten)]
    pub(crate) source: SourceArgument,
    /// Names, as pkg(1) takes them: `web/server`, `/server`, `*zfs*`, `name@1.2` [default: all].
    #[arg(value_name = "PATTERN")]
    pub(crate) patterns: Vec<String>,
    /// List all versions.
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Print the list as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct IpsInfo {
    #[command(flatten)]
    pub(crate) source: SourceArgument,
    /// Names, as pkg(1) takes them.
    #[arg(value_name = "PATTERN", required = true)]
    pub(crate) patterns: Vec<String>,
    /// Print what is known as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct IpsContents {
    #[command(flatten)]
    pub(crate) source: SourceArgument,
    /// Names, as pkg(1) takes them.
    #[arg(value_name = "PATTERN", required = true)]
    pub(crate) patterns: Vec<String>,
    /// Print the manifests instead of the paths.
    #[arg(short, long)]
    pub(crate) manifest: bool,
    /// Print the paths as JSON.
    #[arg(long, conflicts_with = "manifest")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct IpsSearch {
    #[command(flatten)]
    pub(crate) source: SourceArgument,
    /// What is looked for; upper and lower case are the same.
    #[arg(value_name = "WORD")]
    pub(crate) word: String,
    /// Print what is found as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct IpsVerify {
    #[command(flatten)]
    pub(crate) source: SourceArgument,
    /// Names, as pkg(1) takes them [default: all].
    #[arg(value_name = "PATTERN")]
    pub(crate) patterns: Vec<String>,
    /// Print the findings as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
