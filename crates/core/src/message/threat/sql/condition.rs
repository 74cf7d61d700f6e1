//! Conditions: does SQL go on with something that is true, or that tells something.

use super::super::text::{all, before, byte, is_word, word_at, words_up_to};
use super::{FUNCTIONS, Operand, arithmetic, comparison, gap, junction, operand, swallows};

/// `or 1=1`, `and 'a'='a`, `|| sleep(1)`, `or exists(select …`. `strict`: both operands are literals and equal in kind.
pub(in super::super) fn condition(low: &[u8], at: usize, strict: bool) -> Option<&'static str> {
    let after = junction(low, at)?;
    let word = word_at(low, at);
    if matches!(word, b"having" | b"where" | b"when") && !strict {
        return None;
    }
    if is_word(byte(low, after)) && !word.is_empty() {
        return None;
    }
    let (left, end) = operand(low, after)?;
    let end = if left == Operand::Number { arithmetic(low, end) } else { end };
    let name = word_at(low, gap(low, after));
    // Shells and editors ask whether something exists, too; SQL asks it of a query.
    let asks = name != b"exists" || word_at(low, gap(low, operand_inner(low, after))) == b"select";
    if left == Operand::Query
        || left == Operand::Call
            && FUNCTIONS.has(name)
            && asks
            && !matches!(name, b"if" | b"case" | b"not" | b"replace" | b"user" | b"count" | b"position")
    {
        return Some("a condition that calls the database");
    }
    if let Some(next) = comparison(low, end) {
        let (right, stop) = operand(low, next)?;
        let leads = low.get(..at).unwrap_or_default().trim_ascii().is_empty();
        let same = low.get(gap(low, after)..end).map(<[u8]>::trim_ascii) == low.get(gap(low, next)..stop);
        let literal = |kind| matches!(kind, Operand::Number | Operand::Text | Operand::OpenText | Operand::Constant);
        let one_sided = literal(left) && right != Operand::Name || literal(right) && left != Operand::Name;
        let fits = if strict {
            // Code compares texts of its own; only a probe compares one with itself.
            literal(left)
                && literal(right)
                && (left == right && (left != Operand::Text || same || leads) || right == Operand::OpenText)
                || literal(left) && right == Operand::Query
        } else {
            one_sided || literal(right) || left == Operand::Name && right == Operand::Name && low.len() < 32
        };
        return fits.then_some("a condition that is always true or tells something");
    }
    // An opinion about a literal alone needs a value in front of it, not a text.
    let head = low.get(..at).unwrap_or_default();
    // `the 'and' (of logic)`: a word in quotes, and prose behind it.
    let spoken = left == Operand::OpenText && byte(low, after + 1) == b' ' && is_word(before(low, after));
    if spoken || strict || at > 48 || words_up_to(head, 4) > 3 {
        return None;
    }
    let rest_at = gap(low, end);
    let ends = rest_at >= low.len() || byte(low, rest_at) == b';' || swallows(low, rest_at);
    match left {
        Operand::Number | Operand::Constant | Operand::OpenText if ends && low.len() > gap(low, after) + 1 => {
            Some("a condition that is always true")
        }
        Operand::Text if ends || matches!(byte(low, rest_at), b'-' | b'+' | b'*' | b'/' | b'^' | b'&' | b'|') => {
            Some("a condition that is always true")
        }
        Operand::Number | Operand::Text if junction(low, rest_at).is_some_and(|next| operand(low, next).is_some()) => {
            Some("a chain of conditions")
        }
        Operand::Name if swallows(low, rest_at) && byte(low, rest_at) != b';' => {
            Some("a condition and a comment that swallows the rest")
        }
        _ => None,
    }
}

/// Where the argument of the call at an offset begins.
fn operand_inner(low: &[u8], at: usize) -> usize {
    let name = gap(low, at);
    gap(low, name + word_at(low, name).len()) + 1
}

/// `or 1=1` behind a number: literals on both sides, or the database called.
pub(in super::super) fn numeric_condition(low: &[u8], at: usize, symbolic: bool) -> Option<&'static str> {
    let after = junction(low, at)?;
    let (left, end) = operand(low, after)?;
    let name = word_at(low, gap(low, after));
    if left == Operand::Query
        || left == Operand::Call
            && FUNCTIONS.has(name)
            && !matches!(name, b"if" | b"not" | b"user" | b"min" | b"max" | b"log" | b"right" | b"left" | b"position")
    {
        return Some("a condition that calls the database");
    }
    let literal = |kind| {
        matches!(kind, Operand::Number | Operand::Text | Operand::OpenText | Operand::Constant | Operand::Variable)
    };
    if let Some(next) = comparison(low, end) {
        let (right, stop) = operand(low, next)?;
        let symbols_only =
            symbolic && left == Operand::Number && right == Operand::Number && low.get(gap(low, end)) != Some(&b'=');
        let short = low.len() - stop.min(low.len()) < 48;
        let same_names = left == Operand::Name && right == Operand::Name && low.len() < 24;
        if !symbols_only
            && short
            && (literal(left) && literal(right)
                || same_names
                || matches!(right, Operand::Query | Operand::Call) && literal(left)
                || literal(right) && left == Operand::Name && low.len() < 40)
        {
            return Some("a condition that is always true or tells something");
        }
        return None;
    }
    let ends = gap(low, end) >= low.len() || swallows(low, gap(low, end));
    (ends && !symbolic && matches!(left, Operand::Constant | Operand::OpenText)
        || swallows(low, gap(low, end)) && byte(low, gap(low, end)) != b';' && literal(left))
    .then_some("a condition that is always true")
}

/// `or 1=1`, `and 'a'='a'` anywhere: no sentence compares a literal with itself.
pub(in super::super) fn tautology(low: &[u8]) -> Option<&'static str> {
    for word in ["or", "and", "||", "having", "xor", "&&"] {
        for at in all(low, word) {
            if is_word(before(low, at)) && is_word(byte(low, at)) {
                continue;
            }
            let Some(after) = junction(low, at) else { continue };
            let Some((left, end)) = operand(low, after) else { continue };
            if !matches!(left, Operand::Number | Operand::Text) {
                continue;
            }
            let op = gap(low, end);
            if byte(low, op) != b'=' && word_at(low, op) != b"like" {
                continue;
            }
            let Some(next) = comparison(low, end) else { continue };
            let Some((right, stop)) = operand(low, next) else { continue };
            let bare = |from: usize, to: usize| {
                low.get(from..to.max(from))
                    .unwrap_or_default()
                    .iter()
                    .copied()
                    .filter(|&b| is_word(b))
                    .take(40)
                    .collect::<Vec<u8>>()
            };
            let (a, b) = (bare(after, end), bare(next, stop.min(low.len())));
            if a == b && !a.is_empty() && (left == right || right == Operand::OpenText)
                || left == Operand::Number
                    && right == Operand::Number
                    && matches!(word, "or" | "and" | "having")
                    && byte(low, next) != b'='
            {
                return Some("a literal compared with itself");
            }
        }
    }
    None
}
