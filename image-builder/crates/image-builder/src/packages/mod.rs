//! Looking at IPS packages: `ips list`, `info`, `contents`, `search`, `verify`.
//!
//! A source is a repository (a depot, a directory, a `.p5p` archive) or a root file system with an image in it: an archive, a
//! directory, or the pool of a disk image. Both answer the same questions, only that an image knows what is installed, and a repository what there is.

pub(crate) mod error;
mod file_system;
mod source;
mod tell;
mod verify;

use crate::arguments::{Ips, IpsVerb};
use crate::failure::Failure;
use crate::terminal;
use file_system::Extent;
use ips_client::Listener;
use source::Source;

/// Tells on the terminal what the client does.
struct OnTerminal(std::sync::Arc<dyn image_steps::Progress>);

impl Listener for OnTerminal {
    fn message(&self, text: &str) {
        self.0.message(text);
    }

    fn detail(&self, text: &str) {
        self.0.detail(text);
    }
}

/// `image-builder ips …`
pub(crate) fn run(arguments: &Ips) -> Result<(), Failure> {
    let listener = std::sync::Arc::new(OnTerminal(terminal::progress()));
    let extent = match arguments.verb {
        IpsVerb::Verify(_) => Extent::Everything,
        _ => Extent::Metadata,
    };
    let source = Source::open(arguments.verb.source(), &arguments.client_keys.keys, listener, extent)?;
    match &arguments.verb {
        IpsVerb::List(list) => tell::list(&source, list),
        IpsVerb::Info(info) => tell::info(&source, info),
        IpsVerb::Contents(contents) => tell::contents(&source, contents),
        IpsVerb::Search(search) => tell::search(&source, search),
        IpsVerb::Verify(arguments) => verify::verify(&source, arguments),
    }
}
