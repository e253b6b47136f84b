//! Every sequence of events up to a bound, and longer ones at random.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use super::check::{check_end, checked_step};
use super::steps::Step;
use super::world::World;

/// How a world came to be, for the report of what was broken.
struct Path {
    step: Step,
    before: Option<Rc<Path>>,
}

#[derive(Default)]
struct Figures {
    states: usize,
    transitions: u64,
    worker_deaths: u64,
    violations: u64,
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn hash_of(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

fn show(path: &Option<Rc<Path>>) -> String {
    let mut steps = Vec::new();
    let mut at = path;
    while let Some(path) = at {
        steps.push(format!("{:?}", path.step));
        at = &path.before;
    }
    steps.reverse();
    steps.join("\n  ")
}

impl Figures {
    fn count(&mut self, step: Step) {
        self.transitions += 1;
        self.worker_deaths += u64::from(matches!(step, Step::Die { .. } | Step::Replace(_)));
    }

    fn violation(&mut self, broken: &str, path: &Option<Rc<Path>>) {
        self.violations += 1;
        if self.violations <= 5 {
            println!("broken: {broken}\n  {}", show(path));
        }
    }

    fn check_end(&mut self, world: &World, seen: &mut HashSet<u64>, path: &Option<Rc<Path>>) {
        if let Err(broken) = check_end(&mut world.clone(), |world| !seen.insert(hash_of(world))) {
            self.violation(&format!("at rest: {broken}"), path);
        }
    }

    /// Every sequence with up to `events` events.
    fn explore(&mut self, events: u8) {
        let (mut visited, mut rested) = (HashSet::new(), HashSet::new());
        let mut stack: Vec<(World, Option<Rc<Path>>)> = Vec::new();
        for logged_in in [true, false] {
            stack.push((World::new(logged_in, events), None));
        }
        while let Some((world, path)) = stack.pop() {
            if !visited.insert(hash_of(&world)) {
                continue;
            }
            self.check_end(&world, &mut rested, &path);
            for step in world.steps() {
                self.count(step);
                let mut next = world.clone();
                let path = Some(Rc::new(Path { step, before: path.clone() }));
                match checked_step(&mut next, step) {
                    Ok(_) => stack.push((next, path)),
                    Err(broken) => self.violation(&broken, &path),
                }
            }
            if self.violations > 20 {
                break;
            }
        }
        self.states += visited.len();
    }

    /// Sequences of twelve events, at random.
    fn walk(&mut self, walks: u64) {
        let mut rested = HashSet::new();
        for seed in 0..walks {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut world = World::new(random.u8(..4) > 0, 12);
            let mut path = None;
            for _ in 0..120 {
                let steps = world.steps();
                // Mostly the worker goes on.
                let usual = world.usual_step().filter(|_| random.u8(..3) > 0);
                let Some(step) = usual.or_else(|| random.choice(&steps).copied()) else { break };
                self.count(step);
                path = Some(Rc::new(Path { step, before: path }));
                if let Err(broken) = checked_step(&mut world, step) {
                    self.violation(&format!("seed {seed}: {broken}"), &path);
                    break;
                }
            }
            self.check_end(&world, &mut rested, &path);
            self.states += 1;
            if self.violations > 20 {
                break;
            }
        }
    }
}

#[test]
fn p1_p2_p3_p10_p11_p12_hold_after_every_sequence_of_events() {
    let mut figures = Figures::default();
    figures.explore(u8::try_from(number("EXPLORE_EVENTS", 2)).unwrap());
    figures.walk(number("EXPLORE_WALKS", 2000));
    let Figures { states, transitions, worker_deaths, violations } = figures;
    println!(
        "states={states} transitions={transitions} worker_deaths={worker_deaths} \
         violations={violations}"
    );
    assert_eq!(violations, 0, "what was broken is printed above");
}
