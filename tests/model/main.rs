//! The real layer and credentials of one to three processes against a reference model: random histories
//! under paused time, and after each step the promises.
//!
//! | file | role |
//! | --- | --- |
//! | `model` | what the credential may do, one step after the other |
//! | `model::refresh_requests`, `model::requests` | the same, in parts |
//! | `terms` | the words that the others share |
//! | `world` | the scripted world, as each process sees it |
//! | `journal` | what became of each refresh token, and which losses have a name |
//! | `running` | a process: the real layer and credentials |
//! | `life` | how a history is lived |
//! | `server` | the scripted inner service and refresh endpoint |
//! | `store` | the scripted store |
//! | `subscriber` | a subscriber of events that panics |
//! | `histories` | what can happen, and the property test |
//! | `regressions` | histories that once broke a promise |

mod histories;
mod journal;
mod life;
mod model;
#[path = "../support/polled.rs"]
mod polled;
#[path = "../support/readiness.rs"]
mod readiness;
mod regressions;
mod running;
mod server;
mod store;
mod subscriber;
mod terms;
#[path = "../support/time.rs"]
mod time;
mod world;
