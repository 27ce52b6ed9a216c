//! The program against a fake daemon, its texts, and what it does without a daemon.

mod config_check;
mod documented;
mod fake_daemon;
mod human_output;
mod offline;
mod past;
mod support;
