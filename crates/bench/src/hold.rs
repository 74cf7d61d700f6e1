//! Runs a program for as long as its own standard input stays open, then stops it by process id.
//!
//! The comparison holds the other end of that pipe: however it ends, by an error, Ctrl-C or
//! `kill -9`, the pipe closes and no gateway is left behind.

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::usage;

const LOOK_EVERY: Duration = Duration::from_millis(50);
/// After this long a program that was asked to end is killed.
const PATIENCE: Duration = Duration::from_secs(5);

static RELEASED: AtomicBool = AtomicBool::new(false);

/// Starts `program`, prints its process id, and stops it when standard input ends. Its output goes
/// to standard error.
pub(crate) fn run(program: &str, arguments: &[String]) -> Result<(), Failure> {
    let output = io::stderr().as_fd().try_clone_to_owned()?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(output)
        .spawn()
        .map_err(|source| Failure::Spawn { command: program.to_owned(), source })?;
    writeln!(io::stdout(), "{}", child.id())?;
    thread::spawn(|| {
        let _end_or_error = io::stdin().read_to_end(&mut Vec::new());
        RELEASED.store(true, Ordering::Relaxed);
    });
    while child.try_wait()?.is_none() {
        if RELEASED.load(Ordering::Relaxed) {
            return stop(&mut child);
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

fn stop(child: &mut Child) -> Result<(), Failure> {
    let tree = usage::tree_of(child.id());
    signal("-TERM", &[child.id()])?;
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        thread::sleep(LOOK_EVERY);
    }
    signal("-KILL", &tree)?;
    child.wait()?;
    Ok(())
}

fn signal(signal: &str, pids: &[u32]) -> Result<(), Failure> {
    let pids = pids.iter().map(u32::to_string);
    Command::new("sh").args(["-c", r#"kill "$@""#, "sh", signal]).args(pids).stderr(Stdio::null()).status()?;
    Ok(())
}
