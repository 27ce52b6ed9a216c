//! What administrators ask for, one after the other.

use sysconfig_protocol::ErrorObject;

use super::queue::{Command, Reply};
use super::{Engine, SELF};

impl Engine {
    pub(super) fn obey(&mut self, command: Command) {
        match command {
            command if command.is_pointless() => self.log.debug(SELF, "who asked for a plan has gone away"),
            Command::Plan(reply) => {
                let report = self.plan();
                self.answer(reply, Ok(report));
            }
            Command::Apply(request, reply) => {
                let result = self.apply(&request);
                self.answer(reply, result);
            }
            Command::Confirm(reply) => {
                let result = self.confirm();
                self.answer(reply, result);
            }
            Command::UndoChange(reply) => {
                let result = self.undo_on_request();
                self.answer(reply, result);
            }
            Command::Reload(reply) => {
                let result = self.nothing_waits().map(|()| self.reload_config());
                self.answer(reply, result);
            }
            Command::PluginRestart(name, reply) => {
                let result = self.restart_plugin(&name);
                self.answer(reply, result);
            }
        }
    }

    /// The board is brought up to date first: whoever has an answer must not read an older status after it.
    fn answer<T>(&self, reply: Reply<T>, result: Result<T, ErrorObject>) {
        self.publish();
        reply.send(result);
    }
}
