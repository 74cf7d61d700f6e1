//! The flood level of a node among others (SPEC 7.2, 14): the higher one of two detectors.
//!
//! One judges what this node sees, the other what all nodes see together, so that a swarm which spreads over nodes is
//! seen. Each has a baseline of its own. Where nothing is heard of others the second rests and has no say: a node that
//! is cut off is neither alarmed by that nor blind.

use super::flood::{Change, Flood, Level};
use super::watch::Observed;
use crate::policy::checked::{Factor, Floods};

/// What a node saw in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// Connection attempts.
    pub attempts: u64,
    /// Those refused.
    pub failures: u64,
    /// Sources that were refused; one that visits two nodes counts twice.
    pub sources: u64,
    /// Messages.
    pub messages: u64,
}

impl Rates {
    /// What was observed here.
    #[must_use]
    pub fn of(observed: &Observed, messages: u64) -> Self {
        let Observed { attempts, failures, sources, .. } = *observed;
        Self { attempts, failures, sources, messages }
    }
}

/// What other nodes saw in their last second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Others {
    /// How many there are.
    pub nodes: u64,
    /// Their sum.
    pub rates: Rates,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Levels {
    own: Flood,
    group: Flood,
    heard: bool,
}

impl Levels {
    /// Detectors that have learned nothing.
    #[must_use]
    pub fn new(spec: &Floods) -> Self {
        Self { own: Flood::new(spec.clone()), group: Flood::new(spec.clone()), heard: false }
    }

    /// Takes over other settings; what was learned stays.
    pub fn reconfigure(&mut self, spec: &Floods) {
        self.own.reconfigure(spec);
        self.group.reconfigure(spec);
    }

    /// What this node has learned alone, to be kept and restored.
    pub const fn own(&self) -> &Flood {
        &self.own
    }

    /// The same, to be restored.
    pub const fn own_mut(&mut self) -> &mut Flood {
        &mut self.own
    }

    /// The level.
    #[must_use]
    pub fn level(&self) -> Level {
        self.worst().level()
    }

    /// What the level multiplies limits by.
    #[must_use]
    pub fn factor(&self) -> Factor {
        self.worst().factor()
    }

    fn worst(&self) -> &Flood {
        if self.heard && self.group.level() > self.own.level() { &self.group } else { &self.own }
    }

    /// Takes one second's sample, and what others saw; tells a change of the level.
    pub fn step(&mut self, observed: &Observed, messages: u64, others: Option<Others>) -> Option<Change> {
        let from = self.level();
        let own = self.own.step(observed, messages);
        self.heard = others.is_some();
        let group = others.and_then(|others| {
            let rates = others.rates;
            let all = Observed {
                attempts: observed.attempts.saturating_add(rates.attempts),
                failures: observed.failures.saturating_add(rates.failures),
                sources: observed.sources.saturating_add(rates.sources),
                ..observed.clone()
            };
            let change = self.group.step(&all, messages.saturating_add(rates.messages))?;
            Some(Change { evidence: format!("{} nodes together: {}", others.nodes + 1, change.evidence), ..change })
        });
        let to = self.level();
        if to == from {
            return None;
        }
        let evidence = [group, own].into_iter().flatten().find(|change| change.to == to).map_or_else(
            || String::from("nothing is heard of the other nodes, whose rates had raised it"),
            |change| change.evidence,
        );
        Some(Change { from, to, evidence })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Floods {
        Floods { failures_floor: 5, messages_floor: 1000, ..Floods::default() }
    }

    fn seen(failures: u64) -> Observed {
        Observed { attempts: 20, failures, sources: failures, ..Observed::default() }
    }

    /// So many other nodes that see the same.
    fn others(nodes: u64, failures: u64) -> Option<Others> {
        let rates = Rates::of(&seen(failures), 100);
        let Rates { attempts, failures, sources, messages } = rates;
        let rates = Rates {
            attempts: attempts * nodes,
            failures: failures * nodes,
            sources: sources * nodes,
            messages: messages * nodes,
        };
        Some(Others { nodes, rates })
    }

    fn calm() -> Levels {
        let mut levels = Levels::new(&spec());
        for _ in 0..700 {
            assert_eq!(levels.step(&seen(1), 100, others(9, 1)), None);
        }
        levels
    }

    #[test]
    fn a_swarm_that_spreads_over_ten_nodes_is_seen_by_each_of_them() {
        let mut alone = calm();
        for _ in 0..60 {
            assert_eq!(alone.step(&seen(9), 100, None), None, "nine a second are nobody's flood");
        }
        let mut levels = calm();
        let changes: Vec<Change> = (0..20).filter_map(|_| levels.step(&seen(9), 100, others(9, 9))).collect();
        assert_eq!(levels.level(), Level::High, "{changes:?}");
        assert!(changes[0].evidence.starts_with("10 nodes together: "), "{}", changes[0].evidence);
        assert_eq!(levels.factor(), Factor::from_permille(500));
    }

    #[test]
    fn a_node_that_hears_nothing_judges_alone_and_is_not_alarmed() {
        let mut levels = calm();
        for _ in 0..20 {
            levels.step(&seen(9), 100, others(9, 9));
        }
        let change = levels.step(&seen(9), 100, None).expect("it falls");
        assert_eq!((change.from, change.to), (Level::High, Level::Normal));
        assert!(change.evidence.contains("nothing is heard"), "{}", change.evidence);
        // Back among the others the baseline is what it was: ten times of its own is no surprise.
        let mut levels = calm();
        for second in 0..600 {
            let heard = if second % 100 < 50 { None } else { others(9, 1) };
            assert_eq!(levels.step(&seen(1), 100, heard), None);
        }
    }

    #[test]
    fn a_flood_of_one_node_raises_its_level_whatever_others_see() {
        let mut levels = calm();
        let changes: Vec<Change> = (0..20).filter_map(|_| levels.step(&seen(100), 100, others(9, 1))).collect();
        assert_eq!(levels.level(), Level::Critical, "{changes:?}");
    }
}
