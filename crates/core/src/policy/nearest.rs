//! The nearest valid word to one that is not, for "did you mean". Decides nothing else.

/// Longest word compared, characters: the table is quadratic.
const WORD_CHARS_MAX: usize = 64;

/// The candidate fewest edits away (insert, remove, change, swap), if it is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    let near_enough = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(edits, candidate)| {
            *edits <= near_enough.max(2).min(candidate.chars().count()) || is_part(&word, candidate)
        })
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// `retention` is meant by `retention_days`, and the other way round.
fn is_part(word: &str, candidate: &str) -> bool {
    word.len() >= 4 && (candidate.starts_with(word) || (candidate.len() >= 4 && word.starts_with(candidate)))
}

/// Optimal string alignment distance.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(WORD_CHARS_MAX).collect();
    let b: Vec<char> = b.chars().take(WORD_CHARS_MAX).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(above.len());
        row.push(i.saturating_add(1));
        for (j, y) in b.iter().enumerate() {
            let at = |line: &[usize], column: usize| line.get(column).copied().unwrap_or(usize::MAX / 2);
            let mut cost = at(&above, j).saturating_add(usize::from(x != y));
            cost = cost.min(at(&above, j + 1).saturating_add(1)).min(at(&row, j).saturating_add(1));
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                cost = cost.min(at(&before, j - 1).saturating_add(1));
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_the_one_meant() {
        let keys = ["address", "workers", "tls", "retention", "connections_max", "headers_max"];
        for (word, meant) in [
            ("adress", Some("address")),
            ("wrokers", Some("workers")),
            ("Address", Some("address")),
            ("tsl", Some("tls")),
            ("retention_days", Some("retention")),
            ("connection_max", Some("connections_max")),
            ("zzz", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), meant, "{word}");
        }
    }

    #[test]
    fn distance_counts_edits_and_swaps() {
        for (a, b, edits) in [("", "", 0), ("a", "", 1), ("ab", "ba", 1), ("kitten", "sitting", 3)] {
            assert_eq!(distance(a, b), edits);
        }
    }
}
