//! Which steps led to what templates give each other, those of all templates before them among them.
//!
//! The history of a template knows its newest build only, and that may have been another variant, made for another image. So
//! each thing that is given keeps the keys of its whole chain, and whoever takes it passes them on.

use crate::history::Keys;
use crate::session::Session;
use crate::wanted::{gives, wants};
use image_tree::StoreError;
use template::Template;

/// Where they are kept, by what is given.
const MADE_OF: &str = "made-of";

impl Session<'_> {
    /// The keys of all steps that led to what a template takes, as it is now.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn chain(&self, template: &Template, group: &str, name: &str) -> Result<Keys, StoreError> {
        let mut chain = Keys::default();
        for (wanted, _) in wants(template, group, name) {
            let bytes = self.store.record_get(MADE_OF, wanted.key().as_bytes())?;
            chain.extend(Keys::from_bytes(&bytes.unwrap_or_default()));
        }
        Ok(chain)
    }

    /// Remembers the keys of all steps that led to what a template gives.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub(crate) fn remember_chain(
        &self,
        template: &Template,
        group: &str,
        name: &str,
        chain: &Keys,
    ) -> Result<(), StoreError> {
        let value = chain.to_bytes();
        for given in gives(template, group, name) {
            let key = given.key();
            if self.store.record_get(MADE_OF, key.as_bytes())?.as_ref() != Some(&value) {
                self.store.record_put(MADE_OF, key.as_bytes(), &value)?;
            }
        }
        Ok(())
    }
}
