//! The `portcullis` program: reads the command line, runs one command, ends with its exit code.
//!
//! Decides nothing about traffic; the rules are in `portcullis-core`, the sockets in `portcullis-gateway`.

mod cli;
mod commands;
mod configuration;
mod demo;
mod exit;
mod output;
mod running;
mod watch;
mod when;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};
use exit::{Failure, Outcome};

/// Fewer pages held by idle connections than the system's allocator, and faster across threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::from(exit::OK),
        Err(failure) => {
            if !matches!(failure, Failure::OutputClosed) {
                // Where standard error is closed, the exit code has to speak alone.
                let _ = writeln!(std::io::stderr(), "error: {failure}");
            }
            ExitCode::from(failure.code())
        }
    }
}

fn run(cli: Cli) -> Outcome {
    let demo = || Cli::parse_from(["portcullis", "demo"]);
    let Some(command) = cli.command else { return run(demo()) };
    match command {
        Command::Serve(told) if told.says_nothing() => run(demo()),
        Command::Serve(told) => commands::serve::run(&told),
        Command::Demo(told) => demo::run(&told),
        Command::Check(told) => commands::check::run(&told),
        Command::Doctor(told) => commands::doctor::run(&told),
        Command::Access(told) => commands::access::run(&told),
        Command::Init(told) => commands::init::run(&told),
        Command::Inspect(told) => commands::inspect::run(&told),
        Command::Schema => commands::schema::run(),
        Command::Verdicts(told) => commands::verdicts::run(&told),
        Command::Token(told) => commands::token::run(&told),
        Command::Key(told) => commands::key::run(&told),
        Command::Session(told) => commands::session::run(&told),
        Command::Audit(told) => commands::audit::run(&told),
        Command::Ban(told) => commands::ban::ban(&told),
        Command::Revoke(told) => commands::ban::revoke(&told),
        Command::Unban(told) => commands::ban::unban(&told),
        Command::Lockdown(told) => commands::lockdown::run(&told),
        Command::Bans(told) => commands::ban::bans(&told),
        Command::Explain(told) => commands::explain::run(&told),
        Command::Completions(told) => commands::completions::run(&told),
    }
}
