//! What each template step does to an image tree, and the engine that never does the same work twice.
//!
//! [`build`] is the way in: it loads a template, builds what the template needs first, runs the
//! steps that are not cached, and writes the image. [`plan`] says what `build` would do and
//! touches nothing.
//!
//! How the parts talk: a [`Workspace`] is where everything is kept; `engine` walks the steps of a
//! template and keys each by the state before it, the step, and its inputs; `steps` are the
//! functions from one [`ImageState`] to the next; `target` turns the last state into a file; `checks` say what can be known to be
//! wrong before that, and `survey` goes once through all templates of a build before its first step;
//! `debian` makes the root of a Debian guest; packages of illumos come by way of the crate `ips-client`. `history` remembers what the last build was made of, so that a plan
//! (`planning`) can say why a step runs again, `makers` which template made what, with which features, and `made_of` which steps led to that; `lineage` which step made which path; `evidence` writes that and more beside each
//! output. [`collect`] forgets what no newest build needs. Whoever listens is a [`Progress`].
//!
//! What the crate refuses to do: it mounts nothing, needs no root, prints nothing, and puts no
//! clock and no random number into an image.

mod build;
mod chain;
mod checks;
mod collect;
mod context;
mod debian;
mod disk_use;
mod engine;
mod error;
mod evidence;
mod history;
mod holder;
mod inputs;
mod leftovers;
mod lineage;
mod load;
mod lock;
mod made_of;
mod makers;
mod marker;
mod output;
mod planning;
mod progress;
mod providers;
mod request;
mod roots;
mod run;
mod session;
mod snapshot;
mod state;
mod steps;
mod survey;
mod target;
mod tools;
mod users;
mod wanted;
mod workspace;

pub use build::{Built, build};
pub use checks::{Neighbour, check_together};
pub use collect::{Collected, clean, collect};
pub use debian::{Bootstrap, BootstrapError, Lock, LockedPackage};
pub use disk_use::{DiskUse, disk_use};
pub use engine::{EngineError, EstimatedSize, PlannedInput, PlannedStep, SizeBasis, StepRun};
pub use error::BuildError;
pub use evidence::{EVIDENCE_SUFFIX, EvidenceError, MANIFEST_SUFFIX, effective, name_of, put_name};
pub use holder::Holder;
pub use inputs::InputError;
pub use load::{check_include, impossible_here, load};
pub use lock::{WorkspaceLock, abandon};
pub use planning::{PlannedTemplate, plan, plan_asking};
pub use progress::{Progress, Silent, StepState};
pub use request::{BuildRequest, Redo};
pub use roots::{include_files, template_names};
pub use run::{PathSize, TemplateRun};
pub use state::{BUILD_TIME, DatasetState, EnvironmentState, ImageState, PoolState, SavedState};
pub use steps::{
    DISK_DRIVERS, InputSource, PackageError, PlannedPackages, REQUIRED_FOR_BOOT, StepError, Wanted, help_of_cause,
    missing_disk_modules,
};
pub use target::{Artifact, DatasetError, PlannedImage, TargetError};
pub use wanted::Need;
pub use workspace::{Location, LocationError, Workspace, WorkspaceError};
