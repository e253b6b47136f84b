//! The real layer and credentials against a reference model: random histories under paused time,
//! and after each step the promises.
//!
//! | file | role |
//! | --- | --- |
//! | `model` | what the credential may do, one step after the other |
//! | `terms` | the words that the others share |
//! | `world` | the real layer over a scripted world, and how a history is lived |
//! | `server` | the scripted inner service and refresh endpoint |
//! | `store` | the scripted store |
//! | `histories` | what can happen, and the property test |

#[allow(dead_code, reason = "shared with tests that ask more of it")]
#[path = "../core/support/checked.rs"]
mod checked;
mod histories;
mod model;
mod server;
mod store;
mod terms;
mod world;
