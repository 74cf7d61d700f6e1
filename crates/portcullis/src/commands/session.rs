//! `portcullis session list|revoke`: sessions in the state folder.
//!
//! Decides how a session is told. A gateway that runs on the folder sees that one is gone within a second; when a session
//! was last used may be half a minute old here.

use portcullis_core::identity::session::Session;
use portcullis_store::{SESSIONS_FILE, SessionFile};
use serde_json::json;

use super::audit;
use crate::cli::{SessionCommand, SessionList, SessionRevoke, StateFrom};
use crate::exit::{Failure, Outcome};
use crate::{output, when};

/// Lists or revokes.
pub(crate) fn run(told: &SessionCommand) -> Outcome {
    match told {
        SessionCommand::List(told) => list(told),
        SessionCommand::Revoke(told) => revoke(told),
    }
}

fn list(told: &SessionList) -> Outcome {
    let sessions = open(&told.shown.from)?.all(told.user.as_deref()).map_err(audit::store)?;
    if told.shown.json {
        return output::json(&json!({ "sessions": sessions }));
    }
    for session in &sessions {
        output::line(&in_words(session))?;
    }
    if sessions.is_empty() { output::line("there are no sessions") } else { Ok(()) }
}

fn revoke(told: &SessionRevoke) -> Outcome {
    let mut file = open(&told.from)?;
    let (ended, whose) = match (&told.id, &told.user) {
        (Some(id), _) => (file.remove(std::slice::from_ref(id)), id),
        (None, Some(user)) => (file.remove_of(user, told.tenant.as_deref()), user),
        (None, None) => return Err(Failure::Usage(String::from("name a session, or `--user`"))),
    };
    let whose = output::printable(whose);
    match ended.map_err(audit::store)? {
        0 => Err(Failure::Negative(format!("`{whose}` has no session in force; `portcullis session list` shows them"))),
        1 => output::line(&format!("{whose}: revoked")),
        ended => output::line(&format!("{whose}: {ended} sessions revoked")),
    }
}

fn in_words(session: &Session) -> String {
    let at = |unix_s: u64| when::shown(unix_s.saturating_mul(1000));
    let terms = &session.terms;
    let mut words = format!("{} {}", terms.id, terms.subject);
    if let Some(tenant) = &terms.tenant {
        words.push_str(&format!(", tenant {tenant}"));
    }
    if !terms.roles.is_empty() {
        words.push_str(&format!(", roles {}", terms.roles.join(" ")));
    }
    let (issued, ends, used) = (at(terms.issued_unix_s), at(terms.ends_unix_s), at(session.last_used_unix_s));
    words.push_str(&format!(", since {issued}, until {ends}, last used {used}"));
    output::printable(&words)
}

fn open(from: &StateFrom) -> Result<SessionFile, Failure> {
    SessionFile::open(&audit::existing_folder(from)?.join(SESSIONS_FILE)).map_err(audit::store)
}
