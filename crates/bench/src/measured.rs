//! Figures: what can be measured, in which unit, and whether more is better.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::usage::Spent;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Figure {
    MessagesPerS,
    HandshakesPerS,
    CpuUs,
    P50Us,
    P99Us,
    AddedP50Us,
    AddedP99Us,
    SenderLateP99Us,
    Connections,
    BaseKib,
    KibPerConnectionBefore,
    KibPerConnectionAfter,
}

impl Figure {
    /// The heading in the table.
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::MessagesPerS => "msgs/s",
            Self::HandshakesPerS => "handshakes/s",
            Self::CpuUs => "CPU us",
            Self::P50Us => "p50 us",
            Self::P99Us => "p99 us",
            Self::AddedP50Us => "added p50",
            Self::AddedP99Us => "added p99",
            Self::SenderLateP99Us => "late p99",
            Self::Connections => "connections",
            Self::BaseKib => "base KiB",
            Self::KibPerConnectionBefore => "KiB/conn",
            Self::KibPerConnectionAfter => "KiB/conn after",
        }
    }

    /// The key in a JSON line.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::MessagesPerS => "messages_per_s",
            Self::HandshakesPerS => "handshakes_per_s",
            Self::CpuUs => "gateway_cpu_us",
            Self::P50Us => "p50_us",
            Self::P99Us => "p99_us",
            Self::AddedP50Us => "added_p50_us",
            Self::AddedP99Us => "added_p99_us",
            Self::SenderLateP99Us => "sender_late_p99_us",
            Self::Connections => "connections",
            Self::BaseKib => "base_kib",
            Self::KibPerConnectionBefore => "kib_per_connection_before_traffic",
            Self::KibPerConnectionAfter => "kib_per_connection_after_traffic",
        }
    }
}

/// The outcome of one measurement of one set-up.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    figures: BTreeMap<Figure, f64>,
    /// Messages lost or altered, and connections refused or broken.
    pub(crate) faults: u64,
    /// Cores kept busy by processes outside the benchmark.
    pub(crate) noise_cores: f64,
}

impl Measured {
    pub(crate) fn new(faults: u64, noise_cores: f64) -> Self {
        Self { figures: BTreeMap::new(), faults, noise_cores }
    }

    /// Keeps a figure; one that is no number (nothing was counted) stays absent.
    pub(crate) fn put(&mut self, figure: Figure, value: f64) {
        if value.is_finite() {
            self.figures.insert(figure, value);
        }
    }

    /// Gateway CPU time a unit of work; a run without a gateway has none.
    pub(crate) fn put_cpu(&mut self, spent: &Spent, units: u64) {
        if !spent.gateway.is_zero() {
            self.put(Figure::CpuUs, spent.gateway_us_per(units));
        }
    }

    /// Keeps by how much `figure` exceeds that of a run without a gateway.
    pub(crate) fn put_added(&mut self, added: Figure, figure: Figure, direct: &Self) {
        if let (Some(with), Some(without)) = (self.figure(figure), direct.figure(figure)) {
            self.put(added, with - without);
        }
    }

    pub(crate) fn figure(&self, figure: Figure) -> Option<f64> {
        self.figures.get(&figure).copied()
    }

    pub(crate) fn figures(&self) -> impl Iterator<Item = Figure> {
        self.figures.keys().copied()
    }

    pub(crate) fn to_json(&self) -> Map<String, Value> {
        let figures = self.figures.iter();
        let mut fields: Map<String, Value> =
            figures.map(|(figure, value)| (figure.key().to_owned(), json!(rounded(*value)))).collect();
        fields.insert("faults".into(), json!(self.faults));
        fields.insert("noise_cores".into(), json!(rounded(self.noise_cores)));
        fields
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// The middle of `values`, or of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some((values.get(low)? + values.get(high)?) / 2.0)
}

/// The value below which the given share of `sorted` lies.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quantiles_of_small_samples() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(quantile(&hundred, 0.5), 50.0);
        assert_eq!(quantile(&hundred, 0.99), 99.0);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
