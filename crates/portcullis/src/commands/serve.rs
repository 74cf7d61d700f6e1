//! `portcullis serve`: the gateway before a backend.
//!
//! Decides where the configuration comes from. Everything after is `running`.

use crate::cli::{LogLevel, Serve};
use crate::configuration::Origin;
use crate::exit::Outcome;
use crate::running;

/// Serves until told to stop.
pub(crate) fn run(told: &Serve) -> Outcome {
    running::log(&told.log, LogLevel::Info);
    let origin = Origin { file: told.config.clone(), overrides: told.over.overrides(told.upstream.as_ref()) };
    let load = move || {
        let loaded = origin.load()?;
        let files = origin.files(&loaded);
        Ok((loaded, files))
    };
    running::start(Box::new(load))?.until_told_to_stop();
    Ok(())
}
