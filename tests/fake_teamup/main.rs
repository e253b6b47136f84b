//! `FakeTeamUp` does what it says, seen through a plain hyper-util client.

mod api;
mod client;
mod exchange;
mod faults;
mod forms;
mod lifecycle;
mod login;
