//! `ReplayBody`: what is sent again, what is not, and that both sends are the same.

mod http;
mod layer;
mod length;
mod properties;
mod rules;
mod script;
