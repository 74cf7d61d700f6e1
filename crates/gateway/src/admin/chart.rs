//! A line chart as an SVG path, drawn here so that the page's script only has to put it in place.

use std::fmt::Write as _;

/// Width of the drawing, in its own units: one a second.
pub(super) const WIDTH: usize = 300;
/// Height of the drawing.
pub(super) const HEIGHT: f64 = 60.0;

/// The path of `values`, one a second, newest at the right edge; `top` is the value at the upper edge.
/// More than [`WIDTH`] values: the newest are drawn.
pub(super) fn path(values: &[u64], top: u64) -> String {
    let values = values.get(values.len().saturating_sub(WIDTH)..).unwrap_or_default();
    let first = WIDTH - values.len();
    let mut path = String::with_capacity(values.len() * 10);
    for (at, value) in values.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "a drawing has fewer than 53 bits")]
        let height = HEIGHT * (*value as f64) / (top.max(1) as f64);
        let command = if at == 0 { 'M' } else { 'L' };
        // Writing to a String cannot fail.
        let _ = write!(path, "{command}{} {:.1}", first + at, HEIGHT - height.clamp(0.0, HEIGHT));
    }
    path
}

/// A round number at or above the largest value: 1, 2 or 5 times a power of ten.
pub(super) fn top(values: &[u64]) -> u64 {
    let most = values.iter().copied().max().unwrap_or(0);
    let mut power = 1_u64;
    loop {
        for step in [1, 2, 5] {
            let round = power.saturating_mul(step);
            if round >= most {
                return round;
            }
        }
        power = power.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_value_stands_at_the_right_edge() {
        assert_eq!(path(&[0, 5, 10], 10), "M297 60.0L298 30.0L299 0.0");
        assert_eq!(path(&[], 10), "");
        assert!(path(&vec![1; WIDTH + 5], 1).starts_with("M0 0.0L1 "));
    }

    #[test]
    fn the_upper_edge_is_round_and_not_below_any_value() {
        for (most, round) in [(0, 1), (1, 1), (3, 5), (7, 10), (11, 20), (501, 1000), (u64::MAX, u64::MAX)] {
            assert_eq!(top(&[most]), round);
        }
    }
}
