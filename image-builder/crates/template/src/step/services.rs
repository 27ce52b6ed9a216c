//! Steps about the service management facility.

use serde::Serialize;

use crate::diagnostic::Diagnostic;
use crate::field::{Empty, FLAG, Fault, FieldSet, Fields, Kind, Text, field_set};

/// Makes the service repository that the first boot starts with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeedSmf {
    /// Turns on the restarter's debug log.
    pub debug: bool,
    /// Profiles to apply, in order.
    pub profiles: Vec<Profile>,
    /// The seed in the image to start from; `None` starts from nothing.
    pub seed: Option<String>,
}

/// A service profile that can be applied while seeding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// `/etc/svc/profile/generic.xml`.
    Generic,
    /// `/etc/svc/profile/platform.xml`.
    Platform,
    /// `/var/svc/profile/site.xml`.
    Site,
}

impl Profile {
    const ALL: [(&'static str, Self); 3] =
        [("generic", Self::Generic), ("platform", Self::Platform), ("site", Self::Site)];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, profile)| *profile)
    }

    /// The file in the image.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Generic => "/etc/svc/profile/generic.xml",
            Self::Platform => "/etc/svc/profile/platform.xml",
            Self::Site => "/var/svc/profile/site.xml",
        }
    }
}

field_set! {
    /// The arguments of `seed_smf` as they are written.
    pub(crate) struct SeedSmfFields {
        /// Turns on the restarter's debug log.
        debug: bool = FLAG.or(false);
        /// The same as `apply_profiles` with `site` alone.
        apply_site: bool = FLAG.or(false);
        /// Profiles to apply, in order: `generic`, `platform`, `site`.
        apply_profiles: Vec<String> = PROFILE.expanded().list().or(Empty);
        /// The seed repository in the image to start from.
        seed: String = SEED.or("global");
        /// Starts from nothing.
        skip_seed: bool = FLAG.or(false);
    }
}

// A blank entry is what `${feature?generic}` leaves behind, and is dropped afterwards.
const PROFILE: Text = Text::with_rule(|name| match Profile::named(name) {
    Some(_) => Ok(()),
    None if name.trim().is_empty() => Ok(()),
    None => Err(Fault::value("has an unknown profile").help("profiles are `generic`, `platform` and `site`")),
});

const SEED: Text = Text::with_rule(|name| {
    if name.is_empty() || name.contains('/') {
        return Err(Fault::value("must be a file name without `/` and `.db`"));
    }
    Ok(())
});

pub(super) fn read_seed_smf(fields: &mut Fields<'_, '_, '_>) -> Option<SeedSmf> {
    let given = SeedSmfFields::read(fields)?;
    let mut profiles: Vec<Profile> = given.apply_profiles.iter().filter_map(|name| Profile::named(name)).collect();
    if given.apply_site {
        if let (false, Some(member)) = (profiles.is_empty(), fields.member("apply_site")) {
            let error = Diagnostic::error("template::conflicting-keys", "`apply_site` excludes `apply_profiles`");
            let span = member.key_span;
            return fields.fail(span, "", error.help("write `site` in `apply_profiles` where it belongs in the order"));
        }
        profiles = vec![Profile::Site];
    }
    let seed = (!given.skip_seed).then_some(given.seed);
    Some(SeedSmf { debug: given.debug, profiles, seed })
}
