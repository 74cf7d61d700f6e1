//! What processes cost, from `/proc`: CPU time and resident memory of a process and its
//! descendants, and what the rest of the machine was busy with meanwhile.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

/// The unit of CPU times in `/proc`; Linux fixes it at 100 a second for user space.
const TICK_MS: u64 = 10;

/// Watches a gateway's process tree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watch {
    root: Option<u32>,
}

/// A moment's readings.
#[derive(Debug)]
pub(crate) struct Look {
    at: Instant,
    gateway: Duration,
    own: Duration,
    machine: Duration,
}

/// CPU time spent between two looks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    pub(crate) elapsed: Duration,
    pub(crate) gateway: Duration,
    /// By processes that have nothing to do with the benchmark.
    pub(crate) strangers: Duration,
}

impl Spent {
    pub(crate) fn gateway_us_per(&self, units: u64) -> f64 {
        self.gateway.as_secs_f64() * 1e6 / (units as f64)
    }

    /// Cores that strangers kept busy: the share of the result that is noise.
    pub(crate) fn noise_cores(&self) -> f64 {
        self.strangers.as_secs_f64() / self.elapsed.as_secs_f64()
    }
}

impl Watch {
    /// Watches this process and its descendants, or nothing.
    pub(crate) fn new(root: Option<u32>) -> Self {
        Self { root }
    }

    pub(crate) fn look(&self) -> Look {
        let all = Processes::read();
        Look {
            at: Instant::now(),
            gateway: self.root.map_or(Duration::ZERO, |root| all.cpu_of_tree(root)),
            own: all.cpu_of_tree(std::process::id()),
            machine: machine_busy(),
        }
    }

    pub(crate) fn since(&self, start: &Look) -> Spent {
        let end = self.look();
        let own = end.own.saturating_sub(start.own);
        Spent {
            elapsed: end.at - start.at,
            gateway: end.gateway.saturating_sub(start.gateway),
            strangers: end.machine.saturating_sub(start.machine).saturating_sub(own),
        }
    }

    /// Resident memory of the tree, in KiB; pages that its processes share count in each.
    pub(crate) fn resident_kib(&self) -> u64 {
        let Some(root) = self.root else { return 0 };
        Processes::read().tree(root).into_iter().map(resident_kib).sum()
    }
}

/// The process and its descendants.
pub(crate) fn tree_of(root: u32) -> Vec<u32> {
    Processes::read().tree(root)
}

struct Process {
    parent: u32,
    cpu: Duration,
}

struct Processes(HashMap<u32, Process>);

impl Processes {
    fn read() -> Self {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Self(pids.filter_map(|pid| Some((pid, read_process(pid)?))).collect())
    }

    fn tree(&self, root: u32) -> Vec<u32> {
        let mut tree = vec![root];
        let mut next = 0;
        while let Some(&parent) = tree.get(next) {
            next += 1;
            let children = self.0.iter().filter(|(_, process)| process.parent == parent);
            tree.extend(children.map(|(pid, _)| *pid));
        }
        tree
    }

    fn cpu_of_tree(&self, root: u32) -> Duration {
        self.tree(root).iter().filter_map(|pid| self.0.get(pid)).map(|process| process.cpu).sum()
    }
}

fn read_process(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(&stat)
}

/// proc(5): the name, which may hold anything, ends at the last parenthesis; then come the state,
/// the parent, and as twelfth and thirteenth the user and system time.
fn parse_stat(stat: &str) -> Option<Process> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let user: u64 = fields.nth(9)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Process { parent, cpu: Duration::from_millis(TICK_MS * (user + system)) })
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Time the machine's cores spent on anything but idling and waiting for disks.
fn machine_busy() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = stat.lines().next().unwrap_or_default();
    let ticks = first.split_ascii_whitespace().skip(1).take(7).enumerate();
    let busy = ticks.filter(|(at, _)| !matches!(at, 3 | 4));
    Duration::from_millis(TICK_MS * busy.filter_map(|(_, field)| field.parse::<u64>().ok()).sum::<u64>())
}

/// How many files a process may have open (`ulimit -n`).
pub(crate) fn open_files_max() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_ascii_whitespace().next());
    soft.map_or(1024, |soft| soft.parse().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_a_name_with_spaces_and_parentheses() {
        let stat = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 1 0 1 1 1";
        let process = parse_stat(stat).unwrap();
        assert_eq!((process.parent, process.cpu), (7, Duration::from_secs(2)));
    }

    #[test]
    fn this_process_is_in_its_own_tree_and_takes_memory() {
        let own = std::process::id();
        assert_eq!(tree_of(own).first(), Some(&own));
        assert!(Watch::new(Some(own)).resident_kib() > 0);
    }
}
