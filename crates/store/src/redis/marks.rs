//! What nodes tell each other of sources and of floods, in one question each (SPEC 6.3, 7.1, 7.2): scores, waits, rates.
//!
//! Bounded: [`MARKS_MAX`] sources; where there is no room the one that is forgotten first leaves for one that lasts
//! longer, so that whoever invents sources frees nobody. Every key ends by itself. Names are digests.

use std::fmt::Write as _;
use std::time::Duration;

use portcullis_core::limits::Wait;
use portcullis_core::reputation::exchange::{Act, Heard, Points, Told};
use portcullis_core::reputation::{Others, Rates};
use redis::Script;

use super::{Link, LinkError};

/// Most sources that are held in common; some 40 MB there.
pub const MARKS_MAX: usize = 100_000;
/// Most words of one question.
pub const WORDS_MAX: usize = 256;
/// Most changes of one answer.
const CHANGES_MAX: usize = 1000;

/// See the module.
pub struct Marks {
    script: Script,
    keys: [String; 6],
    node: String,
    marks_max: usize,
}

/// What one node says in one question.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// Of scores.
    pub scores: &'a [Told],
    /// Of waits.
    pub waits: &'a [Wait],
    /// What it saw in the last second.
    pub rates: Option<Rates>,
}

/// One question: what is said, and how far the node has heard.
#[derive(Debug, Clone, Copy)]
pub struct Turn<'a> {
    /// What it says.
    pub said: Said<'a>,
    /// What changed after this version is told.
    pub since: u64,
    /// Names the server's memory, where it has no name yet.
    pub epoch: &'a str,
    /// Points fade by half in this time.
    pub half_life: Duration,
    /// The rates hold for so long.
    pub hold: Duration,
}

/// What it hears.
#[derive(Debug, Clone, PartialEq)]
pub struct MarkNews {
    /// Names the server's memory: another epoch is another memory, and what was said before is lost.
    pub epoch: String,
    /// Up to where these changes reach.
    pub read_to: u64,
    /// There are more.
    pub more: bool,
    /// Scores that changed.
    pub scores: Vec<Heard>,
    /// Waits that changed.
    pub waits: Vec<Wait>,
    /// What other nodes saw; `None` where nobody else is there.
    pub others: Option<Others>,
}

impl Marks {
    /// The marks of a group of nodes, as one node sees them.
    #[must_use]
    pub fn new(prefix: &str, node: String) -> Self {
        let key = |name: &str| format!("{{{prefix}:marks}}:{name}");
        Self {
            script: Script::new(include_str!("lua/marks.lua")),
            keys: ["marks", "ends", "log", "version", "epoch", "floods"].map(key),
            node,
            marks_max: MARKS_MAX,
        }
    }

    /// The same with another bound, for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn bounded(self, marks_max: usize) -> Self {
        Self { marks_max, ..self }
    }

    /// Says something and hears what changed.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn exchange(&self, link: &Link, turn: Turn<'_>) -> Result<MarkNews, LinkError> {
        let Turn { said, since, epoch, half_life, hold } = turn;
        let mut call = self.script.prepare_invoke();
        for key in &self.keys {
            call.key(key);
        }
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1);
        let rates = said.rates.map_or(String::new(), |rates| {
            format!("{} {} {} {}", rates.attempts, rates.failures, rates.sources, rates.messages)
        });
        call.arg(epoch).arg(since).arg(self.marks_max).arg(CHANGES_MAX).arg(millis(half_life));
        call.arg(&self.node).arg(rates).arg(millis(hold));
        for told in said.scores {
            let (kind, text) = match &told.act {
                Act::Add(points) => ("add", words(points)),
                Act::Raise(points) => ("raise", words(points)),
                Act::Forget => ("forget", String::new()),
            };
            if told.act == Act::Forget || worth(&told.act) {
                call.arg(kind).arg(format!("s{:032x}", told.name)).arg(text);
            }
        }
        for wait in said.waits {
            let text = format!("{} {} {}", wait.left_ms, wait.step, wait.forgive_ms);
            call.arg("wait").arg(format!("w{:032x}", wait.name)).arg(text);
        }
        type Told5 = (String, u64, Vec<(String, u64, String)>, u64, [u64; 4]);
        let (epoch, version, changes, nodes, rates): Told5 = link.tend(async |to| call.invoke_async(to).await).await?;
        let read_to = changes.iter().map(|(_, version, _)| *version).max().unwrap_or(version);
        let [attempts, failures, sources, messages] = rates;
        let others = Others { nodes, rates: Rates { attempts, failures, sources, messages } };
        let mut news = MarkNews {
            epoch,
            read_to,
            more: changes.len() >= CHANGES_MAX,
            scores: Vec::new(),
            waits: Vec::new(),
            others: (nodes > 0).then_some(others),
        };
        for (name, _, text) in changes {
            match name.split_at_checked(1) {
                Some(("s", name)) => news.scores.extend(heard(name, &text)),
                Some(("w", name)) => news.waits.extend(wait(name, &text)),
                _ => {}
            }
        }
        Ok(news)
    }
}

fn worth(act: &Act) -> bool {
    matches!(act, Act::Add(points) | Act::Raise(points) if points.iter().sum::<f32>() > 0.0)
}

fn words(points: &Points) -> String {
    let mut text = String::new();
    for points in points {
        // Writing to a String cannot fail.
        let _ = write!(text, "{points:.3} ");
    }
    text
}

fn heard(name: &str, text: &str) -> Option<Heard> {
    let mut points = Points::default();
    for (held, word) in points.iter_mut().zip(text.split(' ')) {
        *held = word.parse().ok()?;
    }
    Some(Heard { name: u128::from_str_radix(name, 16).ok()?, points })
}

fn wait(name: &str, text: &str) -> Option<Wait> {
    let mut words = text.split(' ');
    let mut next = || words.next();
    let (left, step, forgive) = (next()?.parse().ok()?, next()?.parse().ok()?, next()?.parse().ok()?);
    Some(Wait::heard(u128::from_str_radix(name, 16).ok()?, left, step, forgive))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_not_heard() {
        assert!(heard("0f", "1.500 0.000").is_some_and(|heard| heard.name == 15 && heard.points[0] == 1.5));
        assert!(heard("0f", "much").is_none() && heard("xx", "1").is_none());
        assert_eq!(wait("0f", "-5 3 600000"), Some(Wait::heard(15, -5, 3, 600_000)));
        assert!(wait("0f", "5 3").is_none() && wait("0f", "5 three 1").is_none());
    }
}
