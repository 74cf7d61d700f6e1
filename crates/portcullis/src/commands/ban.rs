//! `portcullis ban`, `revoke`, `unban` and `bans`: the blocklist in the state folder.
//!
//! Decides nothing about traffic: a gateway that runs on the folder sees a change within a second and closes who is
//! named; one that does not run yet finds it when it starts.

use portcullis_core::reputation::{Block, Target};
use portcullis_store::{BLOCKS_FILE, Blocks};

use super::audit;
use crate::cli::{Ban, Bans, Revoke, Shown, StateFrom, Unban, Whom};
use crate::exit::{Failure, Outcome};
use crate::{output, when};

/// Keeps somebody out.
pub(crate) fn ban(told: &Ban) -> Outcome {
    let target = whom(told.network.as_deref(), &told.whom)?;
    let made = Block::ban(target, told.how_long, &told.reason, when::present_unix_ms());
    put(&told.shown, &made.map_err(usage)?)
}

/// Ends the credentials somebody holds.
pub(crate) fn revoke(told: &Revoke) -> Outcome {
    let target = whom(None, &told.whom)?;
    let made = Block::revocation(target, told.how_long, &told.reason, when::present_unix_ms());
    put(&told.shown, &made.map_err(usage)?)
}

/// Lifts a ban or a revocation.
pub(crate) fn unban(told: &Unban) -> Outcome {
    let target = whom(told.network.as_deref(), &told.whom)?;
    if open(&told.from)?.remove(&target).map_err(audit::store)? {
        return output::line(&format!("{}: lifted", output::printable(&target.to_string())));
    }
    let target = output::printable(&target.to_string());
    Err(Failure::Negative(format!("{target} is on no list; `portcullis bans` shows who is")))
}

/// Who is kept out.
pub(crate) fn bans(told: &Bans) -> Outcome {
    let now = when::present_unix_ms();
    let file = open(&told.shown.from)?;
    let (blocks, earned) = (file.all(now).map_err(audit::store)?, file.earned(now).map_err(audit::store)?);
    if told.shown.json {
        let earned: Vec<_> = earned
            .iter()
            .map(|(address, until)| serde_json::json!({ "address": address, "until_unix_ms": until }))
            .collect();
        return output::json(&serde_json::json!({ "blocks": blocks, "earned": earned }));
    }
    for block in &blocks {
        output::line(&in_words(block))?;
    }
    for (address, until) in &earned {
        output::line(&format!("banned   network {address} until {}: failed authentications", when::shown(*until)))?;
    }
    if blocks.is_empty() && earned.is_empty() { output::line("nobody is banned or revoked") } else { Ok(()) }
}

fn put(shown: &Shown, block: &Block) -> Outcome {
    open(&shown.from)?.put(block).map_err(audit::store)?;
    if shown.json { output::json(block) } else { output::line(&in_words(block)) }
}

fn in_words(block: &Block) -> String {
    let what = if block.spares_issued_after_unix_s.is_some() { "revoked" } else { "banned" };
    let why = if block.reason.is_empty() { "no reason given" } else { &block.reason };
    let until = when::shown(block.until_unix_ms);
    output::printable(&format!("{what:<8} {} until {until}: {why}", block.target))
}

fn whom(network: Option<&str>, whom: &Whom) -> Result<Target, Failure> {
    let named = [
        ("network", network),
        ("user", whom.user.as_deref()),
        ("session", whom.session.as_deref()),
        ("token", whom.token_id.as_deref()),
        ("tenant", whom.tenant.as_deref()),
    ];
    let mut named = named.into_iter().filter_map(|(kind, value)| Some((kind, value?)));
    match (named.next(), named.next()) {
        (Some((kind, value)), None) => Target::parse(kind, value).map_err(usage),
        _ => Err(Failure::Usage(String::from(
            "name one: an address or network, --user, --session, --token-id or --tenant",
        ))),
    }
}

pub(super) fn open(from: &StateFrom) -> Result<Blocks, Failure> {
    Blocks::open(&audit::existing_folder(from)?.join(BLOCKS_FILE)).map_err(audit::store)
}

pub(super) fn usage(error: impl std::fmt::Display) -> Failure {
    Failure::Usage(output::printable(&error.to_string()))
}
