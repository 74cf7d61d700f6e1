//! The comparison: starts every set-up, measures case by case in interleaved rounds (A B C, A B C,
//! …), so that a machine that grows slower does so for all, prints the tables.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::thread;

use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::cases::{CASES, Case, Extent, Kind};
use crate::failure::Failure;
use crate::measured::{Figure, Measured};
use crate::report;
use crate::samples::{Sample, Samples};
use crate::setup::{self, Running, SetUp, Site};
use crate::usage::{self, Watch};
use crate::{handshake, idle, latency, load, throughput};

const CONNECTIONS: usize = 32;
const RATE_PER_S: f64 = 2000.0;
const LATENCY_BYTES: usize = 1024;
const IDLE_BYTES: [usize; 2] = [1024, 16 * 1024];
/// Worker processes or threads of each gateway.
const WORKERS: usize = 2;
/// More than this many cores busy with other things make the figures doubtful.
const NOISE_CORES_MAX: f64 = 0.2;
/// The exit code of a run that a signal ended.
const INTERRUPTED: i32 = 130;

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) only: Vec<String>,
    pub(crate) json: Option<PathBuf>,
    pub(crate) portcullis: Option<PathBuf>,
}

/// Says whether every message came back and every set-up that is installed took part.
pub(crate) fn run(options: Options) -> Result<bool, Failure> {
    let directory = Directory::make()?;
    let site = site(&directory, options.portcullis);
    let threads = thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).clamp(1, 4));
    let echo = site.start_echo(threads)?;
    let mut comparison = Comparison {
        extent: if options.quick { Extent::QUICK } else { Extent::FULL },
        threads,
        running: Vec::new(),
        samples: Samples::default(),
        json: options.json.map(open_json).transpose()?,
        left_out: Vec::new(),
        site: &site,
        echo: &echo,
    };
    comparison.introduce()?;
    comparison.start_all();
    for case in CASES.iter().filter(|case| wanted(case, &options.only)) {
        comparison.measure_case(case)?;
        println!("{}", report::case_table(case, &comparison.samples));
    }
    Ok(comparison.conclude())
}

fn wanted(case: &Case, only: &[String]) -> bool {
    only.is_empty() || only.iter().any(|name| name == case.name)
}

fn site(directory: &Directory, portcullis: Option<PathBuf>) -> Site {
    let beside = || Some(std::env::current_exe().ok()?.with_file_name("portcullis"));
    Site {
        directory: directory.0.clone(),
        portcullis: portcullis.or_else(beside).filter(|program| program.is_file()),
        nginx: setup::installed("nginx"),
        haproxy: setup::installed("haproxy"),
        workers: WORKERS,
        open_files: usage::open_files_max(),
    }
}

fn open_json(path: PathBuf) -> Result<File, Failure> {
    File::create(&path).map_err(|source| Failure::File { path, source })
}

struct Comparison<'s> {
    extent: Extent,
    threads: usize,
    running: Vec<(SetUp, Running)>,
    samples: Samples,
    json: Option<File>,
    /// Set-ups that are installed and did not start, or failed in a case.
    left_out: Vec<String>,
    site: &'s Site,
    echo: &'s Running,
}

impl Comparison<'_> {
    fn introduce(&mut self) -> Result<(), Failure> {
        let versions = [SetUp::Portcullis, SetUp::Nginx, SetUp::HaProxy].map(|setup| {
            let flag = if setup == SetUp::Portcullis { "--version" } else { "-v" };
            let program = self.site.program(setup);
            program.map_or(format!("{}: not found", setup.name()), |program| setup::version(program, flag))
        });
        let cores = thread::available_parallelism().map_or(0, usize::from);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        println!("{}", versions.join("\n"));
        println!("{cores} cores, Linux {}, {WORKERS} workers each\n", kernel.trim());
        self.write_json(json!({ "cores": cores, "kernel": kernel.trim(), "versions": versions }))
    }

    fn start_all(&mut self) {
        for setup in SetUp::ALL {
            let Some(program) = self.site.program(setup) else { continue };
            match self.site.start(setup, program, self.echo.listen) {
                Ok(running) => self.running.push((setup, running)),
                Err(failure) => self.leave_out(failure.to_string()),
            }
        }
    }

    fn leave_out(&mut self, why: String) {
        // The same every round is told once.
        if !self.left_out.contains(&why) {
            eprintln!("left out: {why}");
            self.left_out.push(why);
        }
    }

    fn measure_case(&mut self, case: &Case) -> Result<(), Failure> {
        let rounds = if case.kind == Kind::Idle { 1 } else { self.extent.rounds };
        for round in 0..rounds {
            for setup in SetUp::ALL.into_iter().filter(|setup| case.concerns(*setup)) {
                match self.measure(case.kind, setup) {
                    Some(Ok(measured)) => {
                        eprintln!("{} {} of {rounds}: {}", case.name, round + 1, setup.name());
                        self.samples.push(Sample { case: case.name, setup, round, measured });
                    }
                    Some(Err(failure)) => {
                        self.leave_out(format!("{} in {}: {failure}", setup.name(), case.name));
                    }
                    None => {}
                }
            }
            self.end_round(case, round)?;
        }
        Ok(())
    }

    /// Nothing if the set-up does not run here.
    fn measure(&self, kind: Kind, setup: SetUp) -> Option<Result<Measured, Failure>> {
        if kind == Kind::Idle {
            let program = self.site.program(setup)?;
            return self.is_running(setup).then(|| {
                let fresh = self.site.start(setup, program, self.echo.listen)?;
                self.measure_running(kind, &fresh, &fresh.watch)
            });
        }
        if setup == SetUp::Direct {
            return Some(self.measure_running(kind, self.echo, &Watch::new(None)));
        }
        let (_, running) = self.running.iter().find(|(running, _)| *running == setup)?;
        Some(self.measure_running(kind, running, &running.watch))
    }

    fn is_running(&self, setup: SetUp) -> bool {
        self.running.iter().any(|(running, _)| *running == setup)
    }

    fn measure_running(&self, kind: Kind, running: &Running, watch: &Watch) -> Result<Measured, Failure> {
        let (target, threads, extent) = (running.target()?, self.threads, self.extent);
        match kind {
            Kind::Throughput { message_bytes, window } => {
                let (connections, times) = (CONNECTIONS, extent.throughput);
                let plan = throughput::Plan { target, connections, window, message_bytes, threads, times };
                throughput::measure(&plan, watch)
            }
            Kind::Latency => {
                let (connections, times) = (CONNECTIONS, extent.latency);
                let (rate_per_s, message_bytes) = (RATE_PER_S, LATENCY_BYTES);
                let plan = latency::Plan { target, connections, rate_per_s, message_bytes, times };
                latency::measure(&plan, watch)
            }
            Kind::Handshake => {
                let (lanes, times) = (CONNECTIONS, extent.handshake);
                handshake::measure(&handshake::Plan { target, lanes, threads, times }, watch)
            }
            Kind::Idle => {
                let connections = extent.idle_connections.min(self.site.connections_max());
                let (message_bytes, settle) = (IDLE_BYTES, extent.settle);
                idle::measure(&idle::Plan { target, connections, message_bytes, settle }, watch)
            }
        }
    }

    /// Adds what needs the whole round, and writes it out.
    fn end_round(&mut self, case: &Case, round: usize) -> Result<(), Failure> {
        let direct = self.samples.of(case.name, SetUp::Direct).find(|it| it.round == round);
        let direct = direct.map(|sample| sample.measured.clone());
        let mut lines = Vec::new();
        for sample in self.samples.in_round_mut(case.name, round) {
            if let (Kind::Latency, Some(direct), true) = (case.kind, &direct, sample.setup != SetUp::Direct) {
                sample.measured.put_added(Figure::AddedP50Us, Figure::P50Us, direct);
                sample.measured.put_added(Figure::AddedP99Us, Figure::P99Us, direct);
            }
            let mut fields = sample.measured.to_json();
            fields.insert("case".into(), json!(sample.case));
            fields.insert("setup".into(), json!(sample.setup.name()));
            fields.insert("round".into(), json!(round));
            lines.push(Value::Object(fields));
        }
        lines.into_iter().try_for_each(|line| self.write_json(line))
    }

    fn write_json(&mut self, line: Value) -> Result<(), Failure> {
        if let Some(file) = &mut self.json {
            writeln!(file, "{line}")?;
        }
        Ok(())
    }

    fn conclude(self) -> bool {
        if self.is_running(SetUp::Portcullis) {
            println!("{}", report::goal_table(&self.samples));
        }
        let possible = self.site.connections_max();
        if possible < self.extent.idle_connections {
            println!(
                "Idle connections are {possible} instead of {}: a process may open {} files here.",
                self.extent.idle_connections, self.site.open_files
            );
        }
        let noise = self.samples.noise_cores().unwrap_or(0.0);
        if noise > NOISE_CORES_MAX {
            println!("Other programs kept {noise:.2} cores busy: do not quote these figures.");
        }
        for why in &self.left_out {
            println!("Left out: {why}");
        }
        let faults = self.samples.faults();
        if faults > 0 {
            println!("{faults} messages or connections were lost or altered.");
        }
        faults == 0 && self.left_out.is_empty()
    }
}

/// A directory that goes with the run, on Ctrl-C too.
struct Directory(PathBuf);

impl Directory {
    fn make() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("portcullis-bench-{}", std::process::id()));
        setup::make_directory(&path)?;
        let on_signal = path.clone();
        thread::spawn(move || {
            if load::on_this_thread(interruption()).is_ok() {
                let _leftover = fs::remove_dir_all(&on_signal);
                std::process::exit(INTERRUPTED);
            }
        });
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _leftover = fs::remove_dir_all(&self.0);
    }
}

async fn interruption() -> Result<(), Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(())
}
