//! What the space maps say is allocated, and what the pointers lead to.

use zfs_format::object::pool_directory;
use zfs_format::space_map::{Action, SpaceMapPhys, decode_entries};

use super::super::{Objset, ReadError};
use super::ranges::RangeSet;
use super::{Place, ProblemKind, Verifier};

/// With this feature active, the newest allocations are in a log and not yet in the space maps.
const LOG_SPACEMAP: &[u8] = b"com.delphix:log_spacemap";

/// `zfs_vdev_ms_count_limit` is 131 072; grown pools may have more.
const METASLABS_MAX: u64 = 1 << 22;

impl Verifier<'_> {
    pub(super) fn space_maps(&mut self) {
        let place = Place::default();
        if self.has_log() {
            return self.structure(&place, "the log of space maps was not read, so that allocation is not verified");
        }
        let mut allocated = RangeSet::default();
        let pool = self.pool;
        let mos = pool.mos();
        let vdev = *pool.vdev();
        let shift = u32::try_from(vdev.metaslab_shift).ok().filter(|shift| *shift >= u32::from(vdev.ashift));
        let metaslab_bytes = shift.and_then(|shift| 1_u64.checked_shl(shift));
        let Some(metaslab_bytes) = metaslab_bytes.filter(|bytes| vdev.asize / bytes <= METASLABS_MAX) else {
            return self.structure(&place, format!("metaslabs of two to the {} bytes", vdev.metaslab_shift));
        };
        let array = match mos.dnode(vdev.metaslab_array) {
            Ok(array) => array,
            Err(error) => return self.unreadable(&place.object(vdev.metaslab_array), &error),
        };
        for index in 0..vdev.asize / metaslab_bytes {
            let mut object = [0; 8];
            if let Err(error) = mos.read_exact(&array, &mut object, index * 8) {
                return self.unreadable(&place.object(vdev.metaslab_array), &error);
            }
            let object = u64::from_le_bytes(object);
            if object != 0 {
                let start = index * metaslab_bytes;
                if let Err(error) = self.space_map(&mos, object, start, metaslab_bytes, &mut allocated) {
                    self.unreadable(&place.object(object), &error);
                }
            }
            if self.is_full() {
                return;
            }
        }
        for (start, len) in allocated.without(&self.reached) {
            self.problem(&place.offset(start), ProblemKind::Leak { start, len });
        }
        for (start, len) in self.reached.without(&allocated) {
            self.problem(&place.offset(start), ProblemKind::NotAllocated { start, len });
        }
    }

    fn has_log(&self) -> bool {
        let features = self.pool.directory_object(pool_directory::FEATURES_FOR_WRITE).ok().flatten();
        let value = features.and_then(|object| self.pool.mos().zap_lookup(object, LOG_SPACEMAP).ok().flatten());
        value.and_then(|value| value.as_u64()).is_some_and(|count| count > 0)
    }

    /// Plays the log of one metaslab.
    fn space_map(
        &mut self,
        mos: &Objset<'_>,
        object: u64,
        start: u64,
        metaslab_bytes: u64,
        allocated: &mut RangeSet,
    ) -> Result<(), ReadError> {
        let place = Place::default().object(object);
        let dnode = mos.dnode(object)?;
        let wrong =
            |error: zfs_format::space_map::SpaceMapError| ReadError::Structure { object, what: error.to_string() };
        let header = SpaceMapPhys::decode(&dnode.bonus).map_err(wrong)?;
        let block_bytes = u64::from(dnode.data_block_bytes.max(1));
        let mut own = RangeSet::default();
        for number in 0..header.length.div_ceil(block_bytes) {
            if !self.spend(&place, block_bytes / 8) {
                return Ok(());
            }
            let block = mos.block(&dnode, number)?;
            let hole = || ReadError::Structure { object, what: "a space map ends before its length".to_owned() };
            let block = block.ok_or_else(hole)?;
            let used = usize::try_from(header.length - number * block_bytes).unwrap_or(usize::MAX).min(block.len());
            for entry in decode_entries(&block[..used], start, self.pool.vdev().ashift) {
                let (action, range) = entry.map_err(wrong)?;
                if range.start + range.len > start + metaslab_bytes {
                    self.structure(&place.offset(range.start), "a space map reaches out of its metaslab");
                    continue;
                }
                let done = match action {
                    Action::Allocate => own.insert(range.start, range.len).is_ok(),
                    Action::Free => own.remove(range.start, range.len),
                };
                if !done {
                    let what = format!("a space map does twice: {action:?} {:#x} bytes", range.len);
                    self.structure(&place.offset(range.start), what);
                }
                if self.is_full() {
                    return Ok(());
                }
            }
        }
        self.number(&place, "the allocated bytes of a space map", header.allocated as u64, own.bytes());
        for (range_start, len) in own.iter() {
            // Metaslabs do not overlap, and neither do ranges that stay inside them.
            let _ = allocated.insert(range_start, len);
        }
        Ok(())
    }
}
