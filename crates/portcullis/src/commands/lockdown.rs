//! `portcullis lockdown`: orders, shows or ends a lockdown by the state folder.
//!
//! Decides nothing about traffic: a gateway that runs on the folder obeys within a second; one that does not run yet
//! finds the order when it starts.

use portcullis_core::reputation::Lockdown;

use super::audit::store as outside;
use super::ban::{open, usage};
use crate::cli::Lockdown as Told;
use crate::exit::{Failure, Outcome};
use crate::{output, when};

/// Runs the command.
pub(crate) fn run(told: &Told) -> Outcome {
    let file = open(&told.shown.from)?;
    let now = when::present_unix_ms();
    if told.end {
        if file.end_lockdown(now).map_err(outside)? {
            return output::line("the lockdown has ended");
        }
        return Err(Failure::Negative(String::from("there is no lockdown")));
    }
    if let Some(how_long) = told.how_long {
        let made = Lockdown::new(how_long, &told.reason, now).map_err(usage)?;
        file.lock_down(&made).map_err(outside)?;
        return show(Some(&made), told.shown.json);
    }
    show(file.lockdown(now).map_err(outside)?.as_ref(), told.shown.json)
}

fn show(lockdown: Option<&Lockdown>, json: bool) -> Outcome {
    if json {
        return output::json(&serde_json::json!({ "lockdown": lockdown }));
    }
    let Some(lockdown) = lockdown else { return output::line("there is no lockdown") };
    let why = if lockdown.reason.is_empty() { "no reason given" } else { &lockdown.reason };
    let until = when::shown(lockdown.until_unix_ms);
    output::line(&output::printable(&format!("locked down until {until}: {why}")))
}
