//! Who made what lies in a workspace, and with which features.
//!
//! The order of builds follows from what templates take and give, and so a template may be built that nobody named. Its
//! features are those of the run; but one that somebody has built by its name keeps the features that it was given
//! then, as far as the run says nothing else of them: stages that are built one after the other, each with features of
//! its own, are not made anew with those of the last.

use crate::session::Session;
use crate::wanted::{Wanted, gives};
use image_tree::StoreError;
use serde::{Deserialize, Serialize};
use template::{Features, Template};

/// Where it is kept; `clean` leaves it.
pub(crate) const MAKERS: &str = "maker";

/// The template that has made something last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Maker {
    /// Group and name.
    pub(crate) template: String,
    /// The features that it was given, as directives.
    features: Vec<String>,
    /// It was built by its name at some time, and not only for another one.
    pub(crate) by_name: bool,
}

impl Maker {
    pub(crate) fn features(&self) -> Features {
        Features::from_directives(&self.features).unwrap_or_default()
    }

    /// Workspaces of earlier versions have the template alone.
    fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().or_else(|| {
            let template = String::from_utf8(bytes.to_vec()).ok()?;
            Some(Self { template, features: Vec::new(), by_name: false })
        })
    }
}

impl Session<'_> {
    /// The template that has made something last, if one of this workspace has.
    pub(crate) fn maker(&self, wanted: &Wanted) -> Option<Maker> {
        let bytes = self.store.record_get(MAKERS, wanted.key().as_bytes()).ok().flatten()?;
        Maker::parse(&bytes)
    }

    /// Remembers who made what a template gives.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn remember_maker(
        &self,
        template: &Template,
        group: &str,
        name: &str,
        features: &Features,
    ) -> Result<(), StoreError> {
        let subject = format!("{group}/{name}");
        for given in gives(template, group, name) {
            let earlier = self.maker(&given);
            let was_by_name = earlier.as_ref().is_some_and(|maker| maker.template == subject && maker.by_name);
            let by_name = self.is_main(&subject) || was_by_name;
            let maker = Maker { template: subject.clone(), features: features.to_directives(), by_name };
            if earlier.as_ref() != Some(&maker) {
                let value = serde_json::to_vec(&maker).expect("texts are JSON");
                self.store.record_put(MAKERS, given.key().as_bytes(), &value)?;
            }
        }
        Ok(())
    }
}
