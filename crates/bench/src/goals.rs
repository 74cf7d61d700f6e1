//! How fast Portcullis has to be: a floor that must hold and a goal worth working for.

use crate::measured::Figure;
use crate::samples::Samples;
use crate::setup::SetUp;

#[derive(Debug, Clone, Copy)]
enum Against {
    /// The ratio to another set-up, paired by round.
    Ratio(SetUp),
    /// The figure itself, divided by this much to reach the goal's unit.
    Itself(f64),
}

#[derive(Debug)]
pub(crate) struct Goal {
    pub(crate) title: &'static str,
    case: &'static str,
    figure: Figure,
    against: Against,
    bound: Bound,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    AtLeast { floor: f64, goal: f64 },
    AtMost { floor: f64, goal: f64 },
}

impl Bound {
    pub(crate) fn floor(self) -> String {
        match self {
            Self::AtLeast { floor, .. } => format!(">= {floor}"),
            Self::AtMost { floor, .. } => format!("<= {floor}"),
        }
    }

    pub(crate) fn goal(self) -> String {
        match self {
            Self::AtLeast { goal, .. } => format!(">= {goal}"),
            Self::AtMost { goal, .. } => format!("<= {goal}"),
        }
    }

    /// One word on a value: `missed` says that it does not even reach the floor.
    pub(crate) fn judge(self, value: f64) -> &'static str {
        let (floor, goal) = match self {
            Self::AtLeast { floor, goal } => (value >= floor, value >= goal),
            Self::AtMost { floor, goal } => (value <= floor, value <= goal),
        };
        match (goal, floor) {
            (true, _) => "goal met",
            (false, true) => "floor met",
            (false, false) => "missed",
        }
    }
}

impl Goal {
    pub(crate) fn bound(&self) -> Bound {
        self.bound
    }

    /// What was measured, in the goal's unit.
    pub(crate) fn reached(&self, samples: &Samples) -> Option<f64> {
        let ours = SetUp::Portcullis;
        match self.against {
            Against::Ratio(base) => samples.ratio(self.case, ours, base, self.figure),
            Against::Itself(unit) => samples.median(self.case, ours, self.figure).map(|value| value / unit),
        }
    }
}

const fn at_least(
    title: &'static str,
    case: &'static str,
    figure: Figure,
    base: SetUp,
    (floor, goal): (f64, f64),
) -> Goal {
    let bound = Bound::AtLeast { floor, goal };
    Goal { title, case, figure, against: Against::Ratio(base), bound }
}

const fn at_most(
    title: &'static str,
    case: &'static str,
    figure: Figure,
    against: Against,
    (floor, goal): (f64, f64),
) -> Goal {
    Goal { title, case, figure, against, bound: Bound::AtMost { floor, goal } }
}

const KIB: Against = Against::Itself(1.0);
const MIB_OF_KIB: Against = Against::Itself(1024.0);

pub(crate) const GOALS: [Goal; 12] = [
    at_most(
        "all checks, 1 KiB, window 1: CPU / nginx",
        "1KiB-w1",
        Figure::CpuUs,
        Against::Ratio(SetUp::Nginx),
        (1.30, 1.00),
    ),
    at_least(
        "all checks, 1 KiB, window 1: msgs/s / nginx",
        "1KiB-w1",
        Figure::MessagesPerS,
        SetUp::Nginx,
        (0.85, 1.00),
    ),
    at_least("1 KiB, window 16: msgs/s / nginx", "1KiB-w16", Figure::MessagesPerS, SetUp::Nginx, (1.2, 2.0)),
    at_least("1 KiB, window 16: msgs/s / nginx-32k", "1KiB-w16", Figure::MessagesPerS, SetUp::Nginx32k, (0.5, 0.9)),
    at_least("16 KiB, window 1: msgs/s / nginx", "16KiB-w1", Figure::MessagesPerS, SetUp::Nginx, (1.1, 2.2)),
    at_least("16 KiB, window 1: msgs/s / nginx-32k", "16KiB-w1", Figure::MessagesPerS, SetUp::Nginx32k, (0.45, 0.9)),
    at_most(
        "added p50 at 2,000 msgs/s / nginx",
        "latency",
        Figure::AddedP50Us,
        Against::Ratio(SetUp::Nginx),
        (1.15, 1.0),
    ),
    at_least(
        "handshakes/s with HS256 verified / nginx",
        "handshake",
        Figure::HandshakesPerS,
        SetUp::Nginx,
        (0.7, 0.95),
    ),
    at_most("KiB per idle connection, before traffic", "idle", Figure::KibPerConnectionBefore, KIB, (5.0, 2.5)),
    at_most("KiB per idle connection, after traffic", "idle", Figure::KibPerConnectionAfter, KIB, (5.0, 2.5)),
    at_most("base memory, MiB", "idle", Figure::BaseKib, MIB_OF_KIB, (20.0, 8.0)),
    at_most(
        "checks on / checks off, 1 KiB, window 1: CPU",
        "1KiB-w1",
        Figure::CpuUs,
        Against::Ratio(SetUp::PortcullisUnchecked),
        (1.15, 1.05),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::CASES;

    #[test]
    fn a_value_on_the_line_meets_it() {
        let bound = Bound::AtMost { floor: 1.3, goal: 1.0 };
        let verdicts = [1.0, 1.3, 1.31].map(|value| bound.judge(value));
        assert_eq!(verdicts, ["goal met", "floor met", "missed"]);
        let bound = Bound::AtLeast { floor: 0.5, goal: 0.9 };
        let verdicts = [0.9, 0.5, 0.49].map(|value| bound.judge(value));
        assert_eq!(verdicts, ["goal met", "floor met", "missed"]);
    }

    #[test]
    fn every_goal_is_of_a_case_that_is_measured() {
        for goal in &GOALS {
            assert!(CASES.iter().any(|case| case.name == goal.case), "{}", goal.title);
        }
    }
}
