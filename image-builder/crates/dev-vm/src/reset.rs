//! `reset`: throws away everything that the guest ever wrote.

use crate::config::Config;
use crate::error::{LaunchError, StateError};
use crate::image::ImageIdentity;
use crate::{Vm, raw_disk};

impl Vm {
    /// Makes the machine start from its image again. Its settings, key and snapshots stay.
    ///
    /// # Errors
    /// [`StateError::Running`], [`StateError::NoVm`], or what making the disk gives.
    pub fn reset(&self) -> Result<(), LaunchError> {
        self.directory.require()?;
        let _stopped = self.lock_stopped()?.ok_or_else(|| StateError::Running {
            name: self.directory.name().clone(),
            what: "throwing its disk away",
        })?;
        self.finish_interrupted_snapshot()?;
        raw_disk::remove(&self.directory)?;
        let Some(mut config) = Config::load(&self.directory)? else {
            return Ok(());
        };
        let image = ImageIdentity::of(&config.image)?;
        self.start_from_image(&mut config, &image)
    }
}
