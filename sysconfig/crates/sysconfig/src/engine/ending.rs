//! The end of a process that was exchanged, and of all of them.

use sysconfig_protocol::admin::Health;

use super::managed::Live;
use super::{Engine, Event, SELF};
use crate::side_by_side::side_by_side;

impl Engine {
    /// Ends every plugin, all at the same time.
    pub(super) fn shut_down(&mut self) {
        self.log.info(SELF, "stopping");
        self.board.update(|status| status.health = Health::Stopping);
        self.readiness.stopping();
        self.watch = None;
        let grace = self.config.settings.plugins.deadlines.stop;
        let lives: Vec<_> = self.plugins.values_mut().filter_map(|managed| managed.live.take()).collect();
        side_by_side(lives, |live| live.process.stop(grace));
        for farewell in self.farewells.drain(..) {
            drop(farewell.join());
        }
        self.refuse_waiting_commands();
        self.log.info(SELF, "stopped");
    }

    fn refuse_waiting_commands(&mut self) {
        let backlog = std::mem::take(&mut self.backlog);
        for event in backlog.into_iter().chain(self.events.try_iter()) {
            if let Event::Command(command) = event {
                command.refuse();
            }
        }
    }

    /// Sees an old process off, without making anybody wait for it.
    pub(super) fn dismiss(&mut self, live: Live) {
        let grace = self.config.settings.plugins.deadlines.stop;
        self.farewells.retain(|farewell| !farewell.is_finished());
        let farewell = move || {
            let Live { process, copy } = live;
            process.stop(grace);
            drop(copy);
        };
        // Without a thread, dropping the process kills it, which is ruder and as final.
        if let Ok(thread) = std::thread::Builder::new().name("farewell".to_owned()).spawn(farewell) {
            self.farewells.push(thread);
        }
    }
}
