//! `FakeTeamUp` does what it says, seen through a plain hyper-util client.

mod api;
mod client;
mod connections;
mod faults;
mod forms;
mod lifecycle;
mod login;
mod logins;
mod refresh;
