//! What `inspect` counted: messages, refusals by reason, and rates by class where the lines name one.

use std::collections::BTreeMap;
use std::fmt;

use portcullis_core::inspection::Finding;

/// The class of lines that should pass.
const BENIGN: &str = "benign";
/// Classes counted apart; a file of inventions must not fill the memory.
const CLASSES_MAX: usize = 1_000;

/// Counts, printed as a table.
#[derive(Debug, Default)]
pub(super) struct Summary {
    messages: u64,
    blocked: u64,
    reasons: BTreeMap<&'static str, u64>,
    classes: BTreeMap<String, (u64, u64)>,
}

impl Summary {
    /// Counts one message.
    pub(super) fn count(&mut self, class: Option<&str>, blocked: bool, findings: &[Finding]) {
        self.messages += 1;
        self.blocked += u64::from(blocked);
        for finding in findings {
            *self.reasons.entry(finding.reason.label()).or_default() += 1;
        }
        let Some(class) = class else { return };
        if self.classes.len() < CLASSES_MAX || self.classes.contains_key(class) {
            let (seen, stopped) = self.classes.entry(class.to_owned()).or_default();
            *seen += 1;
            *stopped += u64::from(blocked);
        }
    }

    /// Blocked share of all attacks, the mean over their classes, and the blocked share of benign lines.
    fn rates(&self) -> (Option<f64>, Option<f64>, Option<f64>) {
        let attacks = || self.classes.iter().filter(|(class, _)| *class != BENIGN).map(|(_, counts)| *counts);
        let (seen, stopped) = attacks().fold((0, 0), |(seen, stopped), (n, k)| (seen + n, stopped + k));
        let each: Vec<f64> = attacks().filter_map(|(n, k)| share(k, n)).collect();
        let mean = share_of(each.iter().sum(), each.len() as f64);
        let benign = self.classes.get(BENIGN).and_then(|(n, k)| share(*k, *n));
        (share(stopped, seen), mean, benign)
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    share_of(part as f64, whole as f64)
}

fn share_of(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} messages, {} blocked", self.messages, self.blocked)?;
        for (reason, count) in &self.reasons {
            writeln!(f, "  {reason:<24}{count:>9}")?;
        }
        if self.classes.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n{:<24}{:>9}{:>9}{:>9}", "class", "lines", "blocked", "rate")?;
        for (class, (seen, stopped)) in &self.classes {
            let class: String = class.chars().filter(|c| !c.is_control()).take(23).collect();
            writeln!(f, "{class:<24}{seen:>9}{stopped:>9}{:>9.4}", share(*stopped, *seen).unwrap_or_default())?;
        }
        let (all, mean, benign) = self.rates();
        for (name, rate) in [("true positives, all", all), ("true positives, mean", mean), ("false positives", benign)]
        {
            if let Some(rate) = rate {
                writeln!(f, "{name:<42}{rate:>9.4}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_attacks_their_classes_and_honest_lines() {
        let mut summary = Summary::default();
        for (class, lines, blocked) in [("sqli", 8, 8), ("xss", 2, 1), ("benign", 100, 1)] {
            for n in 0..lines {
                summary.count(Some(class), n < blocked, &[]);
            }
        }
        assert_eq!(summary.rates(), (Some(0.9), Some(0.75), Some(0.01)));
        assert_eq!(Summary::default().rates(), (None, None, None));
    }

    #[test]
    fn classes_are_bounded() {
        let mut summary = Summary::default();
        for n in 0..CLASSES_MAX + 10 {
            summary.count(Some(&n.to_string()), false, &[]);
        }
        assert_eq!(summary.classes.len(), CLASSES_MAX);
        assert_eq!(summary.messages, CLASSES_MAX as u64 + 10);
    }
}
