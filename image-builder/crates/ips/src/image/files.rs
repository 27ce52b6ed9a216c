//! The files of the metadata in a tree.

use image_tree::{Follow, ImagePath, Metadata, Node, Timestamp, Tree, TreeError};

use super::PKG;
use super::error::ImageError;
use crate::install::ContentSource;
use crate::time::OperationTime;

fn image_path(path: &str) -> Result<ImagePath, ImageError> {
    ImagePath::from_relative(path).map_err(|source| {
        let source = TreeError::Path { path: ImagePath::root(), source };
        ImageError::Tree { path: format!("/{path}"), source: Box::new(source) }
    })
}

pub(super) fn read(tree: &Tree, content: &dyn ContentSource, path: &str) -> Result<Option<Vec<u8>>, ImageError> {
    let Ok((_, node)) = tree.lookup(&image_path(path)?, Follow::Yes) else { return Ok(None) };
    let Some(found) = node.content() else { return Ok(None) };
    let bytes = content.read(found);
    bytes.map(Some).map_err(|source| ImageError::Content { path: format!("/{path}"), source })
}

/// Writes files of the metadata, all of root's.
pub(super) struct Writer<'c> {
    pub(super) tree: Tree,
    pub(super) content: &'c dyn ContentSource,
    pub(super) time: OperationTime,
}

impl Writer<'_> {
    fn metadata(&self, mode: u16) -> Metadata {
        let mtime = Timestamp { secs: self.time.unix_seconds(), nanos: 0 };
        Metadata { mtime, ..Metadata::new(0, 0, mode) }
    }

    /// A file whose content is there already is left as it is, its time included.
    pub(super) fn write(&mut self, path: &str, bytes: &[u8]) -> Result<(), ImageError> {
        let at = image_path(path)?;
        let content = self.content.keep(bytes);
        let content = content.map_err(|source| ImageError::Content { path: format!("/{path}"), source })?;
        if self.tree.get(&at).and_then(Node::content) == Some(&content) {
            return Ok(());
        }
        let directory = self.metadata(0o755);
        let fail = |source| ImageError::Tree { path: format!("/{path}"), source: Box::new(source) };
        let parent = at.parent().unwrap_or_else(ImagePath::root);
        self.tree.create_dir(&parent, directory.clone(), &directory).map_err(fail)?;
        self.tree.insert(&at, Node::regular(content, self.metadata(0o644))).map_err(fail)?;
        Ok(())
    }

    pub(super) fn make(&mut self, path: &str) -> Result<(), ImageError> {
        let directory = self.metadata(0o755);
        let made = self.tree.create_dir(&image_path(path)?, directory.clone(), &directory);
        made.map(drop).map_err(|source| ImageError::Tree { path: format!("/{path}"), source: Box::new(source) })
    }

    /// Removes a file, and the directories that are empty then.
    pub(super) fn remove(&mut self, path: &str) -> Result<(), ImageError> {
        let mut at = Some(image_path(path)?);
        let stop = image_path(PKG)?;
        while let Some(gone) = at.filter(|gone| gone.starts_with(&stop) && *gone != stop) {
            // A directory with something else in it ends the way up.
            if self.tree.remove(&gone).is_err() {
                break;
            }
            at = gone.parent();
        }
        Ok(())
    }
}
