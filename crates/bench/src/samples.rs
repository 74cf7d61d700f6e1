//! The outcomes of all rounds, and what is drawn from them: medians, and ratios of two set-ups
//! that are taken within a round before their median is.

use crate::measured::{Figure, Measured, median};
use crate::setup::SetUp;

#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) case: &'static str,
    pub(crate) setup: SetUp,
    pub(crate) round: usize,
    pub(crate) measured: Measured,
}

#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<Sample>);

impl Samples {
    pub(crate) fn push(&mut self, sample: Sample) {
        self.0.push(sample);
    }

    pub(crate) fn of<'s>(&'s self, case: &'s str, setup: SetUp) -> impl Iterator<Item = &'s Sample> + Clone {
        self.0.iter().filter(move |sample| sample.case == case && sample.setup == setup)
    }

    pub(crate) fn in_round_mut(&mut self, case: &str, round: usize) -> impl Iterator<Item = &mut Sample> {
        self.0.iter_mut().filter(move |sample| sample.case == case && sample.round == round)
    }

    pub(crate) fn median(&self, case: &str, setup: SetUp, figure: Figure) -> Option<f64> {
        median(self.of(case, setup).filter_map(|sample| sample.measured.figure(figure)).collect())
    }

    /// The median over rounds of `setup`'s figure divided by `base`'s of the same round.
    pub(crate) fn ratio(&self, case: &str, setup: SetUp, base: SetUp, figure: Figure) -> Option<f64> {
        let in_round = |round| self.of(case, base).find(move |sample| sample.round == round);
        let ratios = self.of(case, setup).filter_map(|sample| {
            let below = in_round(sample.round)?.measured.figure(figure)?;
            let above = sample.measured.figure(figure)?;
            (below > 0.0).then_some(above / below)
        });
        median(ratios.collect())
    }

    pub(crate) fn faults(&self) -> u64 {
        self.0.iter().map(|sample| sample.measured.faults).sum()
    }

    pub(crate) fn noise_cores(&self) -> Option<f64> {
        median(self.0.iter().map(|sample| sample.measured.noise_cores).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_paired_within_their_round() {
        let mut samples = Samples::default();
        // The machine is twice as fast in the second round; the ratio does not care.
        for (round, ours, theirs) in [(0, 100.0, 50.0), (1, 200.0, 100.0), (2, 90.0, 45.0)] {
            for (setup, rate) in [(SetUp::Portcullis, ours), (SetUp::Nginx, theirs)] {
                let mut measured = Measured::new(0, 0.0);
                measured.put(Figure::MessagesPerS, rate);
                samples.push(Sample { case: "c", setup, round, measured });
            }
        }
        let ratio = |base| samples.ratio("c", SetUp::Portcullis, base, Figure::MessagesPerS);
        assert_eq!(ratio(SetUp::Nginx), Some(2.0));
        assert_eq!(ratio(SetUp::HaProxy), None);
    }
}
