//! What `check` finds out about a pool: everything that does not depend on the files in it.

use super::datasets::{Dataset, DatasetPlan, check_bootable, describe, local, mountpoints};
use super::places::Places;
use super::spec::{SECTOR, dataset_plan, environment_name, pool_spec};
use crate::state::PoolState;
use crate::steps::note_in_pool;
use disk_image::DiskSeed;
use disk_image::illumos::pool_bytes;
use image_tree::ImagePath;
use template::{Diagnostic, ImageSize, Pool, Target, Template};
use zfs_image::writer::{PoolSpec, SpecError, available_bytes};

/// Everything that is wrong with the pool of a template, and with the steps that describe it, and what may be: errors and
/// warnings. Nothing for other targets.
///
/// `output_name` is what identifiers are derived from, and so the name of a boot environment that has none.
pub(crate) fn problems(template: &Template, output_name: &str) -> Vec<Diagnostic> {
    let Target::Pool(pool) = &template.target else { return Vec::new() };
    let mut found = Vec::new();
    let state = noted(template, &mut found);
    let seed = DiskSeed::new(output_name);
    let bename = environment_name(pool, seed);
    let plan = dataset_plan(pool, &bename, &state, seed);
    found.extend(pool_problems(pool, template, &plan, &state, seed));
    found
}

/// What the steps say about the pool; those that cannot be done are told, and passed over.
fn noted(template: &Template, found: &mut Vec<Diagnostic>) -> PoolState {
    let mut state = PoolState::default();
    for located in &template.steps {
        if let Err(error) = note_in_pool(&located.step, &mut state) {
            found.push(Diagnostic::error("step::order", error.to_string()).at(&located.origin, "this step"));
        }
    }
    state
}

fn pool_problems(
    pool: &Pool,
    template: &Template,
    plan: &DatasetPlan<'_>,
    state: &PoolState,
    seed: DiskSeed,
) -> Vec<Diagnostic> {
    let places = Places::new(template);
    let mut wrong = Vec::new();
    let datasets = describe(plan, &mut wrong);
    let mountpoints = mountpoints(plan, &datasets, &mut wrong);
    if state.bootable {
        check_bootable(plan, &datasets, &mountpoints, &mut wrong);
    }
    let mut found: Vec<Diagnostic> = wrong.iter().map(|problem| places.dataset_diagnostic(problem)).collect();
    found.extend(zoned(&datasets, &mountpoints).map(|(by, name, path)| places.point_at_zoned(by, name, path)));
    let bootfs = plan.environment_name().filter(|_| state.bootable);
    let spec = pool_spec(pool, datasets, bootfs, seed);
    let told = |problem: &SpecError| !matches!(problem, SpecError::NoParent(_));
    found.extend(spec.problems().iter().filter(|problem| told(problem)).map(|problem| places.point_at_spec(problem)));
    found.extend(no_room(pool, &spec).map(|problem| places.point_at_spec(&problem)));
    found
}

/// Datasets that only a zone would mount, though files of the image are in them: the one that has the property `zoned`
/// (`zfs(8)`), the one that is mounted, and where.
fn zoned<'d>(
    datasets: &'d [Dataset],
    mountpoints: &'d [(usize, ImagePath)],
) -> impl Iterator<Item = (&'d str, &'d str, &'d ImagePath)> {
    let at_or_above = |name: &str, other: &str| {
        let rest = name.strip_prefix(other);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    mountpoints.iter().filter_map(move |(index, path)| {
        let name = &datasets.get(*index)?.name;
        let set = datasets.iter().filter(|other| at_or_above(name, &other.name) && local(other, "zoned").is_some());
        let nearest = set.max_by_key(|other| other.name.len())?;
        (local(nearest, "zoned") == Some("on")).then_some((nearest.name.as_str(), name.as_str(), path))
    })
}

/// Reservations that an image of the template's size has no room for.
fn no_room(pool: &Pool, spec: &PoolSpec) -> Option<SpecError> {
    let ImageSize::Mib(size) = pool.size else { return None };
    let image_bytes = size << 20;
    let bytes = if pool.label { pool_bytes(SECTOR, pool.uefi, image_bytes) } else { image_bytes };
    let reserved = spec.reserved_bytes().ok()?;
    let available = available_bytes(bytes, pool.ashift);
    (reserved > available).then(|| SpecError::Reserved { pool: spec.name.clone(), reserved, bytes, available })
}
