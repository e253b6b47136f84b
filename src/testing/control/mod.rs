//! What a test does to the server, and what it asks it.

mod content;
mod faults;
mod journal;
mod tokens;
