//! `portcullis-bench`: measures Portcullis beside nginx and HAProxy on one machine.
//!
//! `compare` runs everything and prints the tables; the other commands are its parts, to point at
//! a gateway that runs already. `docs/benchmarks.md` says what the figures mean.
#![expect(clippy::print_stdout, reason = "its output is its product")]

mod cases;
mod chat;
mod client;
mod compare;
mod echo;
mod failure;
mod goals;
mod handshake;
mod hold;
mod idle;
mod latency;
mod load;
mod measured;
mod report;
mod samples;
mod setup;
mod throughput;
mod usage;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde_json::Value;

use crate::client::Target;
use crate::failure::Failure;
use crate::load::Times;
use crate::measured::Measured;
use crate::usage::Watch;

/// Measures WebSocket gateways on this machine's loopback.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures Portcullis and the peers that are installed, in interleaved rounds.
    Compare(Compare),
    /// Messages a second, and CPU time each, with a window in flight on every connection.
    Throughput(Throughput),
    /// Latency at a steady rate, counted from when each message was due.
    Latency(Latency),
    /// Opening handshakes a second.
    Handshake(Handshake),
    /// Memory of many connections, before and after traffic.
    Idle(Idle),
    /// The upstream: sends every message back.
    Echo {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long, default_value_t = 1)]
        threads: usize,
    },
    /// Runs a program until standard input ends.
    #[command(hide = true)]
    Hold {
        program: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

#[derive(Args)]
struct Compare {
    /// Fewer and shorter rounds: done in two minutes.
    #[arg(long)]
    quick: bool,
    /// Only these cases: 128B-w1 128B-w16 1KiB-w1 1KiB-w16 16KiB-w1 16KiB-w16 latency handshake
    /// idle.
    #[arg(long, num_args = 1.., value_name = "CASE", value_parser = case_names())]
    only: Vec<String>,
    /// Writes each measurement as a line of JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The gateway to measure; by default the one built beside this program.
    #[arg(long, value_name = "PROGRAM")]
    portcullis: Option<PathBuf>,
}

fn case_names() -> Vec<&'static str> {
    cases::CASES.iter().map(|case| case.name).collect()
}

/// Whom to measure.
#[derive(Args)]
struct Gateway {
    /// ws://127.0.0.1:PORT/PATH
    #[arg(long)]
    url: String,
    /// An access token to send as `Authorization: Bearer`.
    #[arg(long)]
    token: Option<String>,
    /// The gateway's process; its descendants count with it.
    #[arg(long)]
    pid: Option<u32>,
}

impl Gateway {
    fn target(&self) -> Result<Target, Failure> {
        Target::new(&self.url, self.token.clone())
    }

    fn watch(&self) -> Watch {
        Watch::new(self.pid)
    }
}

#[derive(Args)]
struct Span {
    /// How long to measure.
    #[arg(long, default_value_t = 3.0, value_parser = seconds)]
    seconds: f64,
    /// How long to load before that.
    #[arg(long, default_value_t = 0.3, value_parser = seconds)]
    warm_up_seconds: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=3600.0).contains(&seconds) { Ok(seconds) } else { Err("0 to 3600".to_owned()) }
}

impl Span {
    fn times(&self) -> Times {
        Times {
            warm_up: Duration::from_secs_f64(self.warm_up_seconds),
            measured: Duration::from_secs_f64(self.seconds),
        }
    }
}

#[derive(Args)]
struct Throughput {
    #[command(flatten)]
    gateway: Gateway,
    #[command(flatten)]
    span: Span,
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Messages in flight on each connection.
    #[arg(long, default_value_t = 1)]
    window: usize,
    #[arg(long, default_value_t = 1024)]
    message_bytes: usize,
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

#[derive(Args)]
struct Latency {
    #[command(flatten)]
    gateway: Gateway,
    #[command(flatten)]
    span: Span,
    #[arg(long, default_value_t = 32)]
    connections: usize,
    #[arg(long, default_value_t = 2000.0)]
    rate_per_s: f64,
    #[arg(long, default_value_t = 1024)]
    message_bytes: usize,
}

#[derive(Args)]
struct Handshake {
    #[command(flatten)]
    gateway: Gateway,
    #[command(flatten)]
    span: Span,
    /// Handshakes under way at once.
    #[arg(long, default_value_t = 32)]
    lanes: usize,
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

#[derive(Args)]
struct Idle {
    #[command(flatten)]
    gateway: Gateway,
    #[arg(long, default_value_t = 9000)]
    connections: usize,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("portcullis-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Says whether all went as it should.
fn run(command: Command) -> Result<bool, Failure> {
    match command {
        Command::Compare(Compare { quick, only, json, portcullis }) => {
            compare::run(compare::Options { quick, only, json, portcullis })
        }
        Command::Throughput(options) => {
            let plan = throughput::Plan {
                target: options.gateway.target()?,
                connections: options.connections,
                window: options.window.max(1),
                message_bytes: options.message_bytes,
                threads: options.threads.max(1),
                times: options.span.times(),
            };
            print(throughput::measure(&plan, &options.gateway.watch()))
        }
        Command::Latency(options) => {
            let plan = latency::Plan {
                target: options.gateway.target()?,
                connections: options.connections.max(1),
                rate_per_s: options.rate_per_s.max(1.0),
                message_bytes: options.message_bytes,
                times: options.span.times(),
            };
            print(latency::measure(&plan, &options.gateway.watch()))
        }
        Command::Handshake(options) => {
            let plan = handshake::Plan {
                target: options.gateway.target()?,
                lanes: options.lanes,
                threads: options.threads.max(1),
                times: options.span.times(),
            };
            print(handshake::measure(&plan, &options.gateway.watch()))
        }
        Command::Idle(options) => {
            let plan = idle::Plan {
                target: options.gateway.target()?,
                connections: options.connections,
                message_bytes: [1024, 16 * 1024],
                settle: Duration::from_secs(1),
            };
            print(idle::measure(&plan, &options.gateway.watch()))
        }
        Command::Echo { listen, threads } => echo::run(listen, threads.max(1)).map(|()| true),
        Command::Hold { program, arguments } => hold::run(&program, &arguments).map(|()| true),
    }
}

fn print(measured: Result<Measured, Failure>) -> Result<bool, Failure> {
    let measured = measured?;
    println!("{}", Value::Object(measured.to_json()));
    Ok(measured.faults == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measured::Figure;

    #[test]
    fn the_load_finds_no_fault_with_the_echo_alone() {
        let listen = setup::free_address().unwrap();
        std::thread::spawn(move || echo::run(listen, 1));
        while std::net::TcpStream::connect(listen).is_err() {
            std::thread::yield_now();
        }
        let target = || Target::new(&format!("ws://{listen}/"), None).unwrap();
        let times = Times { warm_up: Duration::from_millis(20), measured: Duration::from_millis(80) };
        let nobody = Watch::new(None);

        let (connections, window, message_bytes, threads) = (4, 3, 70_000, 2);
        let throughput = throughput::Plan { target: target(), connections, window, message_bytes, threads, times };
        let latency = latency::Plan { target: target(), connections, rate_per_s: 500.0, message_bytes: 128, times };
        let handshake = handshake::Plan { target: target(), lanes: 2, threads: 1, times };
        let idle = idle::Plan { target: target(), connections: 70, message_bytes: [128, 1024], settle: Duration::ZERO };
        let outcomes = [
            (throughput::measure(&throughput, &nobody).unwrap(), Figure::MessagesPerS),
            (latency::measure(&latency, &nobody).unwrap(), Figure::P50Us),
            (handshake::measure(&handshake, &nobody).unwrap(), Figure::HandshakesPerS),
            (idle::measure(&idle, &nobody).unwrap(), Figure::Connections),
        ];
        for (measured, figure) in outcomes {
            assert_eq!(measured.faults, 0, "{measured:?}");
            assert!(measured.figure(figure).unwrap() > 0.0, "{measured:?}");
        }
    }
}
