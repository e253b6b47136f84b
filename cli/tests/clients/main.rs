//! Clients in other languages.
fn main() {}
