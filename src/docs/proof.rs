//! How the state machine of a credential is tested, explored and model-checked, and to which bound.
//!
//! What runs in a program is what is proved: the same type, with small numbers for the lease and the
//! errors. [`internals`](super::internals#the-state-machine) describes it.
//!
//! # Unit tests
//!
//! Some 100 unit tests walk the rules one by one. A test plays the worker, the store, the endpoint and
//! the clock. Their names begin with the guarantee (`p1_` to `p12_`) or the case from the field.
//!
//! # Every sequence of events
//!
//! `scripts/explore [EVENTS [WALKS [FAULTS]]]` puts the machine into a model world: a worker, a store
//! with a lease, an endpoint that rotates and knows spent tokens, and a second process that holds the
//! lease, refreshes, logs in and signs out. An event is one of these:
//!
//! - an operation: a refresh of either mode, a login, a sign-out, a flush, a shutdown;
//! - a fault: the store fails or does its work and reports a failure, a refresh request fails in one of
//!   seven ways;
//! - the worker is lost or replaced, its action done, not done, or done later;
//! - a step of the second process;
//! - all leases run out, or all access tokens expire.
//!
//! Each sequence of up to `EVENTS` events is run, with every event at every point of what the ones
//! before lead to. States that were seen are not entered again. `WALKS` sequences of twelve events are
//! drawn at random.
//!
//! | after each step | |
//! | --- | --- |
//! | P1 | no generation is refreshed again after its refresh completed; no request is sent without the lease |
//! | P2 | no token is sent that this process knows to be spent, and none while the last answer is unsaved; the living token of the login is in memory or in the store, unless an answer was lost; the lease is kept while the record is dirty |
//! | P3 | three refresh requests for one refresh at most |
//! | P10 | a valid access token is replaced by a valid one alone, while the login is the same |
//! | P11 | tokens stand beside their own login; no waiter of one login is told of another's token; revisions grow; no refresh undoes a sign-out |
//! | P12 | `Ok` of a flush or a shutdown: not dirty, no lease held, and the store has our revision or a higher one; no request is sent after a shutdown began |
//! | at rest | every ticket is told, once; nothing is dirty; whoever asks later can refresh, unless the store says why not |
//!
//! # Three processes
//!
//! [stateright](https://docs.rs/stateright) checks three processes, each with the machine, that share a
//! store and need a token at once. They interleave in every order. Up to a bound of faults a process
//! dies and starts again, stands still past its lease, or never hears an answer. A request arrives
//! late, the store loses its last write, a person logs in. One request at a time is under way (P1), the
//! store holds a record (P8), logins never mix (P11), and in the end each process can refresh again.
//!
//! A refresh token that is spent reaches the endpoint again in these windows and in no other:
//!
//! | window | what happens |
//! | --- | --- |
//! | lost answer | no answer came, or the process died while the request was under way; a late request counts |
//! | died before save | the process died between the answer and the save |
//! | lease ran out | the process stood still past its lease with a request under way or its answer unsaved |
//! | lost write | the store lost a write that it had confirmed |
//! | login replaced | a login took the place of the one whose answer was under way or unsaved, and the lease ran out before the new login was saved |
//!
//! The first four are reached within one fault, which the check demands. The last one needs two.
//!
//! # A simulated fleet
//!
//! `scripts/simulate [SEEDS [HOSTS]]` runs the shipped layer and credentials of up to some hundred hosts in
//! one thread with a paused clock, over a store and an endpoint that fail as a seed says. It checks:
//!
//! - P1: a token is spent twice, or rotated twice within a minute, only with a cause that has a name;
//! - P2: in the end every host is served, or a login is required, and its loss has a name; no host gives up a
//!   refresh request whose answer would come;
//! - P5: no error shows a token;
//! - P10: no call fails while its host has a good token of the login that is current;
//! - P11: no call is sent for two logins, and none for a login that its host has left;
//! - P12: after `Ok` of a shutdown the store has what the host has rotated.
//!
//! Named causes are counted and printed. A seed that fails stays in `tests/simulation/seeds.txt`. A host
//! that is frozen stops at its next input or output, not between two polls.
//!
//! `scripts/simulate 2000 200`: 2,003 histories of 200 hosts, 5,802 refreshes, 99,543,356 calls, no violation.
//! One history takes 0.4 s on one core. Of 25 refused refreshes, 21 came after a lost answer and 2 after a host
//! stood still for longer than its lease. One login was ended by a token that was spent twice.
//! [`fleet`](super::fleet) has the figures of smaller fleets.
//!
//! # Random histories against a model
//!
//! `MODEL_HISTORIES=10000 cargo test -p tests --test model -- --nocapture` runs the shipped layer and
//! credentials of one to three processes over one store and one server, in one thread with a paused clock.
//! Each process has a wall clock of its own. A step is one of these:
//!
//! - of a process: a call, a caller who goes away, a refresh, a login, a sign-out, a shutdown, a clock that is
//!   set by an hour;
//! - a process stands still, or ends without a word and is started again; its worker panics after a step of a
//!   refresh; the runtime ends with all its tasks, and another one takes its place;
//! - the store fails, hangs, panics, does its work and reports a failure, or saves nothing any more; it loses its
//!   last write or all that it has; the lease runs out;
//! - the endpoint answers in one of 19 ways, after up to 200 s: with the text of the access token before, without
//!   a new refresh token, without an expiry, whole on a connection that is lost, not at all. A request whose
//!   client has gone arrives all the same;
//! - all access tokens are revoked; a mode or a route refuses every one from now on.
//!
//! In one history of ten, the subscriber of events panics at each of them. In the end all is mended but for what
//! the server refuses, and each process that may refresh must be able to, in each mode.
//!
//! A model for each process judges what can be seen from outside (P1 to P12). A journal knows who spent each refresh
//! token and whether the answer was heard and saved: a token that comes again, or a login that is lost, has one
//! of these causes, or is a violation.
//!
//! | cause | what happened | times |
//! | --- | --- | ---: |
//! | `lost_answer` | no answer came, or nobody was there to hear it | 2,466 |
//! | `late_request` | the client had given the request up before it arrived | 123 |
//! | `lost_write` | the store lost what it had confirmed | 119 |
//! | `lease_ran_out` | the lease was gone when the token was sent, or its answer saved | 99 |
//! | `died` | the process ended with what it had rotated | 48 |
//! | `unsaved` | a shutdown had said that it could not save | 2 |
//!
//! 10,000 histories, 300,317 steps, 284,992 requests, 81,002 refresh requests, no violation. With the tests, 300
//! histories run.
//!
//! # The soak
//!
//! `cargo run --release -p examples --example soak -- --seconds 60` drives 21 credentials and 336 callers over real
//! TCP. Three more processes share a login. Four servers fail at random:
//!
//! | server | what happens | a spent token may come again after |
//! | --- | --- | --- |
//! | steady | people log in anew; processes are stopped and continued | nothing |
//! | lossy | answers with a rotated token are lost | `lost_answer` |
//! | failover | the store goes away and loses its last writes and leases | `lost_write`, `lost_lease` |
//! | runtimes | runtimes end or stand still while others wait | `runtime_ended` |
//!
//! The servers' journals judge. What comes again within a window is counted by its name; the rest is
//! `double_spent`. A login that no window explains is `lost`. A retry with the token of another login is `mixed`.
//! A call, a shutdown or a process that does not end within 150 s is named, and is a failure.
//!
//! | 60 s, optimized, on a machine with two cores | |
//! | --- | ---: |
//! | requests, retried | 1,275,873, 26,898 |
//! | refresh requests, rotations | 4,573, 4,387 |
//! | processes stopped and continued, failovers, runtimes that ended, logins anew | 69, 37, 503, 193 |
//! | `lost_answer`, `lost_write`, `lost_lease`, `runtime_ended` | 63, 0, 0, 24 |
//! | `lost`, `double_spent`, `leaked`, `mixed` | 0, 0, 0, 0 |
//!
//! It notices two faults put in on purpose within 20 s: a spent token that stays in the record
//! (`double_spent`), and a retry that is sent for another login (`mixed`).
//!
//! # Interleavings
//!
//! `scripts/interleavings [EXECUTIONS]` runs the shipped core, worker, store client and waits under
//! [shuttle](https://docs.rs/shuttle), which draws the order in which threads and tasks go on. A timer may
//! end at any moment or never. Six tests show:
//!
//! - every waiter is told, and the snapshot with its token came before (P1);
//! - two workers never send a refresh request at once, whoever is replaced or lost (P1, P2);
//! - a login is seen at once, the later of two logins stays, and a copy of a snapshot never goes back (P11);
//! - a login ends a request that is never answered (P11);
//! - wakers, subscribers of changes and the program's own `Refresh` are never called under the mutex.
//!
//! shuttle knows sequential consistency alone. arc-swap is a cell of one step here, and Tokio's channels run
//! as they are. Interleavings are drawn, not enumerated.
//!
//! # Fuzzing
//!
//! `scripts/fuzz [SECONDS [TARGET...]]` runs eleven targets under libFuzzer. `fuzz/corpus` keeps seeds for
//! each. The new ones, on one of two busy cores:
//!
//! | target | seconds | executions | edges | features | findings |
//! | --- | --- | --- | --- | --- | --- |
//! | `state_machine`: the steps of the exploration and more, some hundred in a row | 120 | 117,687 | 1,650 | 9,157 | 0 |
//! | `stored_record`: records of versions 1 and 2 | 45 | 639,276 | 1,242 | 3,157 | 0 |
//! | `sealed_record`: envelopes of versions 1 and 2, altered or moved | 45 | 1,452,696 | 1,165 | 3,159 | 0 |
//! | `redis_hash`: hashes of versions 1 and 2 | 45 | 2,231,762 | 944 | 2,161 | 0 |
//! | `proxy_request`: targets, hosts and heads that the command's proxy gets | 45 | 1,440,589 | 1,182 | 4,058 | 0 |
//!
//! # Figures
//!
//! | run | states | transitions | lost workers | violations |
//! | --- | --- | --- | --- | --- |
//! | with the tests: two events, 2,000 walks | 5,436 | 56,529 | 1,050 | 0 |
//! | `scripts/explore`: three events, 5,000 walks | 159,843 | 344,963 | 7,983 | 0 |
//! | `scripts/explore 4 100000`, 86 s of one core with `opt-level = 2` | 5,871,162 | 11,324,929 | 312,677 | 0 |
//!
//! | three processes | states | distinct | violations |
//! | --- | --- | --- | --- |
//! | no fault, with the tests | 6,787 | 2,633 | 0 |
//! | one fault, in `scripts/explore` | 274,295 | 98,757 | 0 |
//! | `scripts/explore 3 5000 2`, 29 s beside another run with `opt-level = 2` | 6,262,068 | 2,159,307 | 0 |
//!
//! # Faults put in on purpose, by rule
//!
//! Each fault is built in behind a switch of a copy, and these are run: the unit tests of the state machine, the
//! exploration (two events, 2,000 walks), the three processes without faults, and the simulation (30 seeds
//! of 40 hosts). The model (300 histories) is asked about those that the others leave.
//!
//! | rule | fault | noticed by |
//! | --- | --- | --- |
//! | one fact, one place | a generation that has ended is refreshed again | 1 test, simulation |
//! | one fact, one place | who asks for a generation under way gets a refresh of its own | 3 tests |
//! | recorded first | what was minted is not dirty | 40 tests, exploration, three processes, simulation |
//! | recorded first | the spent token stays in the record | 10 tests, exploration, three processes, simulation |
//! | a worker may die | a worker that was replaced is heard | 1 test |
//! | a login takes effect at once | those who wait are not told | 7 tests, exploration |
//! | a login takes effect at once | the answer of a login that is gone is taken | 2 tests |
//! | a login takes effect at once | a retry is sent for another login | model, soak |
//! | shutdown | `Ok` while a record is unsaved | 1 test, exploration |
//! | shutdown | no attempt to save | 4 tests |
//! | shutdown | a refresh starts afterwards | 1 test, exploration |
//! | failures are per mode | a failure counts for both modes | 1 test |
//! | backoff | there is no pause | 6 tests |
//! | backoff | the pause does not grow | 1 test |
//! | the lease | a refresh without it | 68 tests, exploration, three processes, simulation |
//! | the lease | one that has run out is used | 4 tests, exploration |
//! | the lease | one that is lost counts as held | 1 test |
//! | the lease | it is not renewed beside a request | simulation, in 150 seeds |
//! | the lease | it is given back while a record is unsaved | 1 test, exploration |
//! | the lease | it is given back after the waiters are woken | 1 test |
//! | waiting is reading | the store is not read | 1 test |
//! | waiting is reading | what is read is not adopted | 6 tests, exploration, simulation |
//! | re-read under the lease | none | 10 tests, exploration |
//! | re-read | none after an unknown outcome | 4 tests |
//! | re-read | none after a rejection | 8 tests |
//! | a spent token is not sent again | further tries without a limit of one | 1 test |
//! | a spent token is not sent again | spent tokens are forgotten | 5 tests, exploration |
//! | save before publish | published first | 3 tests, exploration |
//! | save before publish | a refresh while a record is unsaved | simulation; the others do not end |
//! | an access token that arrived is used | one without a refresh token is dropped | 1 test, exploration |
//! | an answer is not thrown away | a limit of 2 s on a refresh request | simulation, in 60 seeds |
//! | what ends a login | any page rejects | model |
//! | revisions grow | a refresh adds nothing | 6 tests, exploration, three processes, simulation |
//! | revisions grow | a login has revision 1 | 6 tests, exploration, simulation |
//! | adopt | no higher revision | 14 tests, exploration, three processes, simulation |
//! | adopt | a lower revision | 1 test |
//! | adopt | a spent token | 5 tests, exploration |
//! | adopt | no rescue after a rejection | 2 tests |
//! | adopt | own valid access tokens are dropped | 3 tests |
//! | save | a higher login is overwritten | 3 tests |
//! | sign out | a tombstone is not seen | 2 tests, exploration, simulation |
//! | sign out | an unsaved one is undone | 3 tests, exploration |
//!
//! These were tried with the tests of the whole project instead, or with those of the library, the core, the
//! field cases and the model:
//!
//! | rule | fault | noticed by |
//! | --- | --- | --- |
//! | no user code under the mutex | events are told under it | 1 test |
//! | save | it names no record that it replaces | 4 tests, two of them with stopped processes |
//! | seeds | one that was seen counts as new | 3 tests |
//! | waiting is reading | a wall clock that is set ends the wait for the lease | 1 test |
//! | a worker may die | the next one goes on with the wait for the lease | 1 test |
//! | a spent token is not sent again | what another process was refused is not remembered | 1 test, model |
//! | a spent token is not sent again | its refusal at the same revision is not adopted | 1 test |
//! | a request that waited | nobody looks whether the login is the same | 1 test, model |
//! | a request that waited | nobody looks again when the inner service is ready | 1 test, model |
//! | an answer is not thrown away | the limit runs on while the process stands still | 1 test |
//! | a caller's wait | it has no limit | 2 tests |
//! | build | nobody looks whether there are timers | 2 tests |
//! | sealed records | they are bound to no name | 2 tests |
//! | families | keys that differ in case share a file | 4 tests |
//!
//! Nobody notices it when the second of two checks of a login is missing: the first one makes it needless.
//!
//! # More faults put in on purpose
//!
//! Each rule was broken in a copy, and the unit tests, the exploration (three events, 3,000 walks) and,
//! for some, the three processes (one fault) were run. The last seven rows were tried with two events, 2,000
//! walks, and 300 histories of the model; the last four with the model alone. Of 71 faults the tests notice 69; the other two change nothing
//! that can be seen. The exploration alone notices 32: it judges the guarantees, and not pauses, events or
//! error values.
//!
//! | rule that was broken | noticed by |
//! | --- | --- |
//! | single flight: who asks for a generation under way shares its ticket | 2 tests |
//! | single flight: a generation that has ended needs no refresh | 1 test |
//! | record: what was minted is dirty | 41 tests, exploration |
//! | record: the rotated token takes the place of the spent one | 10 tests, exploration |
//! | record: a refresh adds one to the revision | 6 tests, exploration, three processes |
//! | no refresh while dirty | 4 tests, exploration |
//! | refresh only under the lease | 67 tests, exploration, three processes |
//! | a lease that has run out is lost | 3 tests, exploration |
//! | re-read of the store under the lease | 10 tests, exploration |
//! | waiting for the lease is reading the store | 1 test |
//! | a lease is waited for only so long | 1 test |
//! | a lease that is being given back is not used | 3 tests, exploration |
//! | a lease is given back only when nothing is dirty | 1 test, exploration |
//! | release before the waiters are woken | 1 test |
//! | adopt a higher revision | 12 tests, exploration |
//! | adopt no lower revision | 1 test |
//! | adopt a rescue after a rejection | 2 tests |
//! | adopt no spent token | 5 tests, exploration, three processes |
//! | a sign-out wins over a refresh of its login | 1 test, exploration |
//! | written over with a higher revision | 5 tests, exploration |
//! | adoption keeps own valid access tokens | 3 tests |
//! | an adopted lower revision is raised | 1 test |
//! | the greater login wins at equal revisions | 1 test |
//! | another login of a higher revision wins | 3 tests, exploration |
//! | seeds are kept | 1 test |
//! | an answer belongs to its login | 2 tests, exploration |
//! | a rejection belongs to its login | 1 test, exploration |
//! | a login fails those who wait | 7 tests, exploration |
//! | a request of another login is refused | 1 test |
//! | a login ends every generation | nobody: the number of the login, which is a part of the generation, ends it as well |
//! | a login is saved | 15 tests, exploration |
//! | login revisions are above all known | 2 tests, exploration |
//! | only the newest record's save counts | 1 test, exploration |
//! | a refused token is remembered | 1 test |
//! | a rotated token is remembered as spent | 3 tests, exploration |
//! | a refusal is stored | 5 tests, exploration |
//! | re-read after a refusal | 7 tests |
//! | re-read after an unknown outcome | 4 tests |
//! | one further try after an unknown outcome | 1 test |
//! | a further try after an unknown outcome at all | 5 tests |
//! | a lost worker's request counts as unknown | 1 test |
//! | no replacement while a request is under way | 1 test |
//! | a replaced worker is not heard | 1 test |
//! | a lost worker leaves its place | 2 tests, exploration |
//! | a completed refresh ends the generation | 11 tests, exploration |
//! | tokens that can't be saved are published | 2 tests, exploration |
//! | saves are retried with backoff | 8 tests |
//! | an attempt ends after three conflicts | 1 test |
//! | flush waits for what is under way | 1 test |
//! | flush is not Ok while dirty | 1 test, exploration |
//! | flush is not Ok while the lease is held | 1 test, exploration |
//! | shutdown starts no further try | 1 test |
//! | shutdown starts no refresh | 1 test, exploration |
//! | shutdown tells of a lost answer | 1 test |
//! | a failure answers all who ask until its pause is over | 5 tests |
//! | failures are per mode | 6 tests |
//! | Retry-After is kept to | 1 test |
//! | backoff grows | 2 tests |
//! | refreshes for 401s are limited | 1 test |
//! | a look does not get around the limit | nobody: the limit is asked once more when the refresh starts |
//! | the store is looked at while nothing can be refreshed | 11 tests, exploration |
//! | looks have a pause | 4 tests |
//! | keep-warm has a pause | 1 test |
//! | a limit of three requests for a refresh | 1 test |
//! | save before publish | 3 tests, exploration, model |
//! | a rejection leaves the access tokens | 1 test, exploration |
//! | an answer without a refresh token keeps the old one | 1 test, exploration |
//! | a minted token stands beside its own mode | model |
//! | tokens go to allowed origins alone | model |
//! | a retry is of the same login | model |
//! | readiness is released before a wait | model |
//!
//! Publishing before the save went unnoticed by the exploration at first: it got a check of its own for it.
//!
//! The model does not notice two further faults in 300 histories: a limit of 2 s on a refresh request, which the
//! simulation notices since it asks who gave a request up, and a seed that is taken although it was seen, which
//! field cases notice.
//!
//! Faults of the shell around the machine, in 1,000 drawn interleavings of each of the six tests:
//!
//! | fault | noticed by |
//! | --- | --- |
//! | a waiter is registered after the mutex is free again | 3 tests |
//! | the snapshot is stored outside the mutex | 1 test |
//! | the serial of the snapshot is counted before it is stored | 1 test |
//! | a second worker starts beside the first | 4 tests |
//! | a worker is replaced while its request is under way | 4 tests |
//! | a worker that was replaced goes on | 4 tests |
//! | waiters are woken under the mutex | 6 tests |
//! | nobody is woken when a worker is lost | 1 test |
//! | a lost worker is not noticed | 1 test |
//! | an operation does not wake the worker | 1 test |
//!
//! Faults of what is fuzzed, with the number of executions until they were found: the proxy decodes a path
//! once instead of twice (343); the revision beside a record in Redis is not compared (30); a sealed record is
//! bound to no name (1,563); a spent token is not remembered (228); a panic on a high revision of a record of
//! version 1 (10).
//!
//! # Mutations
//!
//! `scripts/mutants [ARGUMENT...]` runs [cargo-mutants](https://mutants.rs) over the core: it changes an
//! operator, an arm or a function, and runs the tests. For this table all mutants were built into one copy,
//! each behind a switch, and run against the tests that reach them until one failed. The last column was
//! tried against 25 of these, then against the quick ones of the unit tests and of the folder's own
//! integration tests. Of what was left, 52 led to a test. Each was put into the code, and the test failed.
//!
//! | folder | mutants | noticed | by a time limit | not built | not noticed |
//! | --- | ---: | ---: | ---: | ---: | ---: |
//! | `middleware/` | 436 | 250 | 16 | 158 | 20 |
//! | `credentials/` | 871 | 537 | 20 | 302 | 24 |
//! | `refresh/` | 404 | 296 | 3 | 87 | 7 |
//! | `store/` | 909 | 553 | 15 | 317 | 33 |
//!
//! Not in the last four columns: 30 in constants, which were not tried, and 6 of code that changed nothing,
//! which is removed. "Not built" is a value of a type that has no default, as a rule. cargo-mutants itself
//! does not find the 59 of `store/file/unix.rs`, whose module names its file.
//!
//! | not noticed | mutants | why they stay |
//! | --- | ---: | --- |
//! | cost alone | 24 | a fast path, a pool or a private copy is left out; one more copy, look, wake-up or write |
//! | the same result | 10 | bits that never overlap, logins that never tie, a value that is set twice |
//! | an exact bound | 5 | one header, byte or fingerprint more or less |
//! | `Debug`, and traits that a bound asks for | 16 | nothing depends on them |
//! | test hooks, other features | 9 | not in a program, or not in this build |
//! | words of an error | 4 | which format was expected |
//! | what the system does or seldom answers | 16 | no test loses power, reads freed memory or meets a rare error code |
