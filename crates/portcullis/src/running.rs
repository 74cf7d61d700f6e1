//! A gateway's life in this program: started, reloaded on SIGHUP and file change, drained on SIGTERM and
//! Ctrl-C.
//!
//! Decides when to reload and when to stop. How is the gateway's business; it has threads of its own, and
//! this one waits.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use portcullis_core::policy::{Loaded, Warning};
use portcullis_gateway::{Gateway, Reloader, Running};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{Log, LogFormat, LogLevel};
use crate::exit::Failure;
use crate::output;
use crate::watch::Watch;

/// Reads the configuration again.
pub(crate) type Load = Box<dyn Fn() -> Result<(Loaded, Vec<PathBuf>), Failure> + Send + Sync>;

/// A gateway that serves, and the files it was configured from.
pub(crate) struct Started {
    /// The gateway.
    pub(crate) running: Running,
    files: Arc<Mutex<Vec<PathBuf>>>,
    watch: Option<Watch>,
    orders: Orders,
}

/// What the system may tell this program. Heard from before it says that it is ready: until then a signal ends it.
struct Orders {
    runtime: tokio::runtime::Runtime,
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Orders {
    fn listen() -> Result<Self, Failure> {
        let outside = |error: std::io::Error| Failure::Outside(format!("cannot receive signals: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(outside)?;
        let heard = {
            let _inside = runtime.enter();
            [SignalKind::hangup(), SignalKind::terminate(), SignalKind::interrupt()].map(signal)
        };
        let [hangup, terminate, interrupt] = heard;
        let (hangup, terminate) = (hangup.map_err(outside)?, terminate.map_err(outside)?);
        Ok(Self { runtime, hangup, terminate, interrupt: interrupt.map_err(outside)? })
    }
}

/// Loads and starts; says on standard output where it listens.
///
/// # Errors
/// The configuration is refused, or an address, folder or key set is not there.
pub(crate) fn start(load: Load) -> Result<Started, Failure> {
    let (loaded, files) = load()?;
    warn(&loaded.warnings);
    let files = Arc::new(Mutex::new(files));
    let known = Arc::clone(&files);
    let reloader: Reloader = Box::new(move || {
        let (loaded, files) = load().map_err(|failure| failure.to_string())?;
        warn(&loaded.warnings);
        *known.lock().unwrap_or_else(PoisonError::into_inner) = files;
        Ok(loaded.checked)
    });
    let tls = loaded.checked.listen.tls.is_some();
    let running = Gateway::start(loaded.checked, reloader).map_err(|error| Failure::Outside(error.to_string()))?;
    let orders = Orders::listen()?;
    // Before anybody is told that it is ready, and may change a file.
    let mut watch = Watch::new().inspect_err(cannot_watch).ok();
    renew(&mut watch, &files);
    let (http, ws) = if tls { ("https", "wss") } else { ("http", "ws") };
    let address = running.gateway_address;
    output::line(&format!("listening gateway={http}://{address} websocket={ws}://{address}"))?;
    output::line(&format!("listening admin=http://{}", running.admin_address))?;
    Ok(Started { running, files, watch, orders })
}

/// The reviewer's warnings, in the log.
fn warn(warnings: &[Warning]) {
    for warning in warnings {
        let Warning { code, name, message, key, advice, .. } = warning;
        tracing::warn!(code, name, key, "{message}; {advice}");
    }
}

impl Started {
    /// Serves until told to stop, then drains. A second order to stop ends at once.
    pub(crate) fn until_told_to_stop(self) {
        let Self { running, files, watch, orders } = self;
        let Orders { runtime, hangup, terminate, interrupt } = orders;
        runtime.block_on(Attending { running, files }.attend(watch, hangup, terminate, interrupt));
    }
}

/// A gateway that serves, while signals are heard.
struct Attending {
    running: Running,
    files: Arc<Mutex<Vec<PathBuf>>>,
}

impl Attending {
    async fn attend(self, mut watch: Option<Watch>, mut hangup: Signal, mut terminate: Signal, mut interrupt: Signal) {
        loop {
            tokio::select! {
                _ = hangup.recv() => self.reload("SIGHUP", &mut watch),
                () = changed(&mut watch) => self.reload("a changed file", &mut watch),
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
        }
        tracing::info!("draining: no new connections, open ones are told to come back");
        let running = self.running;
        let drained = tokio::task::spawn_blocking(move || running.drain());
        tokio::select! {
            _ = drained => tracing::info!("drained"),
            _ = terminate.recv() => std::process::exit(0),
            _ = interrupt.recv() => std::process::exit(0),
        }
    }

    /// What went wrong is logged and recorded by the gateway; the policy in force stays.
    fn reload(&self, why: &str, watch: &mut Option<Watch>) {
        tracing::info!("reloading the configuration after {why}");
        if let Some(watch) = watch {
            watch.look();
        }
        let _ = self.running.reload();
        renew(watch, &self.files);
    }
}

/// Watches the files of the configuration that is in force.
fn renew(watch: &mut Option<Watch>, files: &Mutex<Vec<PathBuf>>) {
    let files = files.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(watch) = watch {
        watch.set(&files).unwrap_or_else(|error| cannot_watch(&error));
    }
}

fn cannot_watch(error: &notify::Error) {
    tracing::warn!("cannot watch the configuration for changes: {error}; send SIGHUP after a change");
}

async fn changed(watch: &mut Option<Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

/// The log, on standard error; `usual` unless a level is given.
pub(crate) fn log(told: &Log, usual: LogLevel) {
    let level = match told.log_level.unwrap_or(usual) {
        LogLevel::Error => tracing::Level::ERROR,
        LogLevel::Warn => tracing::Level::WARN,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Debug => tracing::Level::DEBUG,
        LogLevel::Trace => tracing::Level::TRACE,
    };
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // It fails when a log is set up already, and then there is one.
    let _ = match told.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}
