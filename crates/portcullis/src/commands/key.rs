//! `portcullis key create|list|rotate|revoke`: API keys in the state folder.
//!
//! Decides where randomness comes from and how a key is told. What a key is, is the core's; a gateway that runs on the
//! folder sees a change within a second, one that does not run yet finds it when it starts.

use portcullis_core::identity::api_key::{ApiKey, Grants, Minted, RANDOM_BYTES};
use portcullis_store::{KEYS_FILE, Keys};
use serde_json::json;

use super::audit;
use crate::cli::{Key, KeyCreate, KeyList, KeyRevoke, KeyRotate, StateFrom};
use crate::exit::{Failure, Outcome};
use crate::{output, when};

/// Creates, lists, rotates or revokes.
pub(crate) fn run(told: &Key) -> Outcome {
    match told {
        Key::Create(told) => create(told),
        Key::List(told) => list(told),
        Key::Rotate(told) => rotate(told),
        Key::Revoke(told) => revoke(told),
    }
}

fn create(told: &KeyCreate) -> Outcome {
    let minted = Minted::new(&random()?);
    let now = now_unix_s();
    let grants = Grants {
        name: told.name.clone().unwrap_or_else(|| told.subject.clone()),
        subject: told.subject.clone(),
        tenant: told.tenant.clone(),
        roles: told.roles.clone(),
        permissions: told.permissions.clone(),
        expires_unix_s: told.expires.map(|lasts| now.saturating_add(lasts.as_secs())),
    };
    let key = ApiKey::new(&minted, grants, now).map_err(|error| Failure::Usage(error.to_string()))?;
    folder_of_a_first_key(&told.shown.from)?;
    open(&told.shown.from)?.add(&key).map_err(audit::store)?;
    show_once(&key, &minted, told.shown.json)
}

fn list(told: &KeyList) -> Outcome {
    let now = now_unix_s();
    let keys = open(&told.shown.from)?.all().map_err(audit::store)?;
    let shown: Vec<&ApiKey> = keys.iter().filter(|key| told.all || !key.has_ended(now)).collect();
    if told.shown.json {
        return output::json(&json!({ "keys": shown }));
    }
    for key in &shown {
        output::line(&in_words(key, now))?;
    }
    if shown.is_empty() {
        let none =
            if keys.is_empty() { "there are no API keys" } else { "all API keys have ended; `--all` lists them" };
        return output::line(none);
    }
    Ok(())
}

fn rotate(told: &KeyRotate) -> Outcome {
    let file = open(&told.shown.from)?;
    let minted = Minted::again(&told.id, &random()?);
    let now = now_unix_s();
    let until = now.saturating_add(told.keep.as_secs());
    if !file.rotate(&told.id, minted.digest, now, until).map_err(audit::store)? {
        return Err(unknown(&told.id, "no key that may still be used has the id"));
    }
    let key = file.find(&told.id).map_err(audit::store)?;
    let key = key.ok_or_else(|| unknown(&told.id, "no key has the id"))?;
    show_once(&key, &minted, told.shown.json)
}

fn revoke(told: &KeyRevoke) -> Outcome {
    if open(&told.from)?.revoke(&told.id, now_unix_s()).map_err(audit::store)? {
        return output::line(&format!("{}: revoked", output::printable(&told.id)));
    }
    Err(unknown(&told.id, "no key that is not revoked has the id"))
}

/// The only time a key's text is told: alone on standard output, so that it can be piped.
fn show_once(key: &ApiKey, minted: &Minted, json: bool) -> Outcome {
    if json {
        return output::json(&json!({ "key": key, "secret": minted.text }));
    }
    remark(&format!("{}\nThis is the key. It is not kept and not shown again:", in_words(key, key.issued_unix_s)));
    output::line(&minted.text)
}

fn remark(words: &str) {
    use std::io::Write as _;
    // What cannot be written has no reader.
    let _ = writeln!(std::io::stderr(), "{words}");
}

fn in_words(key: &ApiKey, now_unix_s: u64) -> String {
    let grants = &key.grants;
    let at = |unix_s: u64| when::shown(unix_s.saturating_mul(1000));
    let mut words = format!("{} {}", key.id, grants.name);
    if grants.name != grants.subject {
        words.push_str(&format!(", subject {}", grants.subject));
    }
    for (what, list) in [("roles", &grants.roles), ("permissions", &grants.permissions)] {
        if !list.is_empty() {
            words.push_str(&format!(", {what} {}", list.join(" ")));
        }
    }
    if let Some(tenant) = &grants.tenant {
        words.push_str(&format!(", tenant {tenant}"));
    }
    match (key.revoked_unix_s, grants.expires_unix_s) {
        (Some(revoked), _) => words.push_str(&format!(", revoked {}", at(revoked))),
        (None, Some(until)) if until <= now_unix_s => words.push_str(&format!(", ended {}", at(until))),
        (None, Some(until)) => words.push_str(&format!(", until {}", at(until))),
        (None, None) => {}
    }
    if let Some(until) = key.earlier_until_unix_s.filter(|until| *until > now_unix_s) {
        words.push_str(&format!(", earlier secret until {}", at(until)));
    }
    words.push_str(
        &key.last_used_unix_s.map_or_else(|| String::from(", never used"), |used| format!(", last used {}", at(used))),
    );
    output::printable(&words)
}

fn unknown(id: &str, why: &str) -> Failure {
    Failure::Negative(format!("{why} `{}`; `portcullis key list` shows them", output::printable(id)))
}

/// Keys are often made before the gateway first runs: a folder that was named is made.
fn folder_of_a_first_key(from: &StateFrom) -> Outcome {
    if from.state.is_none() && from.config.is_none() {
        return Ok(());
    }
    let folder = audit::folder(from)?;
    std::fs::create_dir_all(&folder)
        .map_err(|error| Failure::Outside(format!("cannot make the state folder `{}`: {error}", folder.display())))
}

fn open(from: &StateFrom) -> Result<Keys, Failure> {
    Keys::open(&audit::existing_folder(from)?.join(KEYS_FILE)).map_err(audit::store)
}

fn random() -> Result<[u8; RANDOM_BYTES], Failure> {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::Outside(format!("the system gives no randomness: {error}")))?;
    Ok(bytes)
}

fn now_unix_s() -> u64 {
    when::present_unix_ms() / 1000
}
