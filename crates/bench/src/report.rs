//! The tables on standard output.

use std::collections::BTreeSet;

use crate::cases::Case;
use crate::goals::GOALS;
use crate::measured::Figure;
use crate::samples::Samples;
use crate::setup::SetUp;

/// One case: a line a set-up, medians, and the ratios to both set-ups of nginx.
pub(crate) fn case_table(case: &Case, samples: &Samples) -> String {
    let setups: Vec<SetUp> =
        SetUp::ALL.into_iter().filter(|setup| samples.of(case.name, *setup).next().is_some()).collect();
    let figures: BTreeSet<Figure> = setups
        .iter()
        .flat_map(|setup| samples.of(case.name, *setup))
        .flat_map(|sample| sample.measured.figures())
        .collect();
    let bases = [SetUp::Nginx, SetUp::Nginx32k];
    let compared = case.compared();

    let mut head = vec![String::new()];
    head.extend(figures.iter().map(|figure| figure.heading().to_owned()));
    for figure in compared {
        head.extend(bases.map(|base| format!("{} / {}", figure.heading(), base.name())));
    }
    head.extend(["faults".to_owned(), "noise".to_owned()]);

    let mut rows = vec![head];
    for setup in setups {
        let mut row = vec![setup.name().to_owned()];
        row.extend(figures.iter().map(|figure| number(samples.median(case.name, setup, *figure))));
        for figure in compared {
            row.extend(bases.map(|base| ratio(samples.ratio(case.name, setup, base, *figure))));
        }
        let faults: u64 = samples.of(case.name, setup).map(|sample| sample.measured.faults).sum();
        let noise = samples.of(case.name, setup).map(|sample| sample.measured.noise_cores);
        row.push(faults.to_string());
        row.push(ratio(crate::measured::median(noise.collect())));
        rows.push(row);
    }
    format!("{}\n{}", case.title, align(&rows))
}

/// What was to be reached, and what was.
pub(crate) fn goal_table(samples: &Samples) -> String {
    let head = ["", "floor", "goal", "measured", "verdict"].map(str::to_owned).to_vec();
    let mut rows = vec![head];
    for goal in &GOALS {
        let reached = goal.reached(samples);
        let verdict = reached.map_or("not measured", |value| goal.bound().judge(value));
        rows.push(vec![
            goal.title.to_owned(),
            goal.bound().floor(),
            goal.bound().goal(),
            ratio(reached),
            verdict.to_owned(),
        ]);
    }
    format!("Portcullis: floors and goals\n{}", align(&rows))
}

/// Pads columns to one width: names to the right, numbers to the left.
fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column == 0 { format!("  {cell:<width$}") } else { format!("  {cell:>width$}") }
        });
        text.push_str(cells.collect::<String>().trim_end());
        text.push('\n');
    }
    text
}

/// Three digits that matter, thousands apart.
fn number(value: Option<f64>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    match value.abs() {
        size if size >= 1000.0 => thousands(value.round() as i64),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn thousands(value: i64) -> String {
    if value.abs() < 1000 {
        return value.to_string();
    }
    format!("{},{:03}", thousands(value / 1000), value.abs() % 1000)
}

fn ratio(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.2}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_easily() {
        let shown = [1_234_567.0, 1000.4, 229.4, 18.44, 4.386, -0.5].map(|n| number(Some(n)));
        assert_eq!(shown, ["1,234,567", "1,000", "229", "18.4", "4.39", "-0.50"]);
    }

    #[test]
    fn columns_line_up() {
        let rows = [["", "msgs/s"], ["nginx", "1"], ["x", "20"]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(align(&rows), "         msgs/s\n  nginx       1\n  x          20\n");
    }
}
