//! The way through all templates that a build comes to, before any work: circles, what is missing or made by several, templates
//! that are wrong, and outputs that would destroy each other are told while nothing is done yet.

use crate::chain::{Link, enter};
use crate::checks::OutputFiles;
use crate::error::BuildError;
use crate::request::output_name;
use crate::session::Session;
use std::collections::BTreeSet;
use template::{Diagnostics, Features, Template};

impl Session<'_> {
    /// Goes to a template and those that it needs. `seen` has those that it has been at.
    ///
    /// # Errors
    /// As for the build itself, as far as no step has to be done for it.
    pub(crate) fn survey(
        &self,
        template: &Template,
        features: &Features,
        chain: &mut Vec<Link>,
        seen: &mut BTreeSet<String>,
    ) -> Result<(), BuildError> {
        enter(chain)?;
        self.claim_outputs(template)?;
        for provider in self.providers(template, features, chain)? {
            if seen.insert(provider.need().template) {
                chain.push(provider.link());
                self.survey(&provider.template, &provider.features, chain, seen)?;
            }
        }
        chain.pop();
        Ok(())
    }

    /// Takes the names of a template's outputs for it.
    ///
    /// # Errors
    /// When another template of this run writes files of these names.
    pub(crate) fn claim_outputs(&self, template: &Template) -> Result<(), BuildError> {
        let own = OutputFiles::of(template, &output_name(self.request, &template.group, &template.name));
        let mut claimed = self.outputs.borrow_mut();
        let list: Vec<_> = claimed.iter().flat_map(|other| own.clashes_with(other)).collect();
        claimed.push(own);
        if list.is_empty() {
            return Ok(());
        }
        let subject = format!("{}/{}", template.group, template.name);
        Err(BuildError::Template { diagnostics: Diagnostics::new(subject.clone(), list), subject })
    }
}
