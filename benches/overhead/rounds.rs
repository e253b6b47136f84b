//! Measurements that take turns, so that whatever else the machine does meets all of them.

/// The best of each, over so many rounds: what the machine adds is never less than nothing.
pub(crate) fn best_of<const N: usize>(
    rounds: usize,
    mut round: impl FnMut() -> [f64; N],
) -> [f64; N] {
    let mut best = [f64::INFINITY; N];
    for _ in 0..rounds {
        for (best, once) in best.iter_mut().zip(round()) {
            *best = best.min(once);
        }
    }
    best
}
