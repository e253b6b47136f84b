//! The real layer and credentials against a reference model: random histories under paused time,
//! and after each step the promises.
//!
//! | file | role |
//! | --- | --- |
//! | `model` | what the credential may do, one step after the other |
//! | `model::refresh_requests`, `model::requests` | the same, in parts |
//! | `terms` | the words that the others share |
//! | `world` | the scripted world |
//! | `life` | the real layer and credentials in it, and how a history is lived |
//! | `server` | the scripted inner service and refresh endpoint |
//! | `store` | the scripted store |
//! | `histories` | what can happen, and the property test |
//! | `regressions` | histories that once broke a promise |

mod histories;
mod life;
mod model;
#[path = "../support/readiness.rs"]
mod readiness;
mod regressions;
mod server;
mod store;
mod terms;
#[path = "../support/time.rs"]
mod time;
mod world;
