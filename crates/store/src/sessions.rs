//! Sessions as they last (SPEC 5.3): a small SQLite file in the state folder, one row for each session in force. A row
//! holds the digest of a session's text, never the text, and its terms under a seal that only the text opens.
//!
//! The gateway writes it before a session is told; the command line and the admin API delete rows, and a gateway that
//! runs closes the connections of those within a second. A session that ended has no row; of one that was ended before its
//! time a mark stays until then, so that no other node brings it back.

use std::path::Path;
use std::time::Duration;

use portcullis_core::identity::session::{SESSIONS_MAX, Session, Terms};
use rusqlite::{Connection, Row};

use crate::StoreError;
use crate::replica::Entries;
use crate::small::{self, Shape, sql, unsigned};

pub mod replicated;

/// The file's name inside the state folder.
pub const SESSIONS_FILE: &str = "sessions.db";

/// Marks the sessions that are about to be deleted; one whose terms cannot be read would last for a year at most.
const MARK: &str = "INSERT OR IGNORE INTO ended SELECT digest, CAST(iif(json_valid(terms), \
                    ifnull(terms ->> '$.ends_unix_s', issued_unix_s + 31536000), issued_unix_s + 31536000) AS INTEGER) \
                    FROM sessions";

const SHAPE: Shape = Shape {
    application_id: 0x5072_7453, // "PrtS"
    version: 2,
    create: "
CREATE TABLE IF NOT EXISTS sessions (
  id TEXT PRIMARY KEY,
  digest BLOB NOT NULL,
  seal BLOB NOT NULL,
  terms TEXT NOT NULL,
  subject TEXT NOT NULL,
  tenant TEXT,
  issued_unix_s INTEGER NOT NULL,
  last_used_unix_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sessions_by_subject ON sessions (subject);
CREATE TABLE IF NOT EXISTS ended (digest BLOB PRIMARY KEY, ends_unix_s INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS ended_by_end ON ended (ends_unix_s);
",
};

/// The file, open.
#[derive(Debug)]
pub struct SessionFile {
    file: Connection,
}

impl SessionFile {
    /// Opens or creates the file, readable by its owner only.
    ///
    /// # Errors
    /// [`StoreError::Open`], [`StoreError::Foreign`], [`StoreError::Newer`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { file: small::open(path, &SHAPE)? })
    }

    /// A number that changes when another connection has changed the file.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn version(&self) -> Result<i64, StoreError> {
        small::version(&self.file)
    }

    /// Every session, the latest first; of one subject where it is named. A row that cannot be read is left out.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn all(&self, subject: Option<&str>) -> Result<Vec<Session>, StoreError> {
        let query = format!(
            "SELECT digest, seal, terms, last_used_unix_s FROM sessions WHERE ifnull(subject = ?1, 1) \
             ORDER BY issued_unix_s DESC, id LIMIT {SESSIONS_MAX}"
        );
        let mut statement = self.file.prepare_cached(&query)?;
        let rows = statement.query_map([subject], session)?;
        Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// Puts a session in, and takes out those it takes the place of.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`]; then nothing has changed.
    pub fn put(&mut self, session: &Session, leaving: &[String]) -> Result<(), StoreError> {
        let change = self.file.transaction()?;
        for id in leaving {
            end(&change, id)?;
        }
        insert(&change, "INSERT", session)?;
        replicated::trim(&change, session.terms.issued_unix_s, replicated::ENDED_MAX)?;
        Ok(change.commit()?)
    }

    /// Ends sessions by id, before their time; how many there were.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn remove(&mut self, ids: &[String]) -> Result<usize, StoreError> {
        let change = self.file.transaction()?;
        let mut removed = 0;
        for id in ids {
            removed += end(&change, id)?;
        }
        change.commit()?;
        Ok(removed)
    }

    /// Lets go of sessions that have ended by themselves; how many there were. Every node sees that for itself.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn forget(&mut self, ids: &[String]) -> Result<usize, StoreError> {
        let change = self.file.transaction()?;
        let mut removed = 0;
        for id in ids {
            removed += change.execute("DELETE FROM sessions WHERE id = ?1", [id])?;
        }
        change.commit()?;
        Ok(removed)
    }

    /// Takes over what other nodes said: sessions that are new here, uses of those that are not, and ends.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`]; then nothing has changed.
    pub fn merge(
        &mut self,
        new: &[Session],
        used: &[(String, u64)],
        ended: &[([u8; 32], u64)],
        now_unix_s: u64,
    ) -> Result<(), StoreError> {
        if new.is_empty() && used.is_empty() && ended.is_empty() {
            return Ok(());
        }
        let change = self.file.transaction()?;
        for session in new {
            // A row under its id that the caller does not know is one that cannot be read.
            insert(&change, "INSERT OR REPLACE", session)?;
        }
        note(&change, used)?;
        for (digest, ends) in ended {
            change.prepare_cached("DELETE FROM sessions WHERE digest = ?1")?.execute([digest])?;
            replicated::mark(&change, digest, *ends)?;
        }
        replicated::trim(&change, now_unix_s, replicated::ENDED_MAX)?;
        Ok(change.commit()?)
    }

    /// Whether the session with this digest was ended before its time.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn was_ended(&self, digest: &[u8; 32]) -> Result<bool, StoreError> {
        let mut statement = self.file.prepare_cached("SELECT 1 FROM ended WHERE digest = ?1")?;
        Ok(statement.exists([digest])?)
    }

    /// The last words on all sessions, for other nodes.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn entries(&self, idle: Duration) -> Result<Entries, StoreError> {
        let marks = replicated::marks(&self.file)?.into_iter().map(|(digest, ends)| replicated::ended(&digest, ends));
        let sessions = self.all(None)?.into_iter().map(|session| replicated::in_force(&session, idle));
        Ok(sessions.chain(marks).collect())
    }

    /// Ends every session of a subject, of all its tenants or of one; how many there were.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn remove_of(&self, subject: &str, tenant: Option<&str>) -> Result<usize, StoreError> {
        const OF: &str = "WHERE subject = ?1 AND (?2 IS NULL OR tenant = ?2)";
        let change = self.file.unchecked_transaction()?;
        change.execute(&format!("{MARK} {OF}"), (subject, tenant))?;
        let removed = change.execute(&format!("DELETE FROM sessions {OF}"), (subject, tenant))?;
        change.commit()?;
        Ok(removed)
    }

    /// Notes when sessions were last used.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn used(&mut self, used: &[(String, u64)]) -> Result<(), StoreError> {
        let change = self.file.transaction()?;
        note(&change, used)?;
        Ok(change.commit()?)
    }
}

fn insert(change: &Connection, how: &str, session: &Session) -> Result<(), StoreError> {
    let terms = &session.terms;
    change.prepare_cached(&format!("{how} INTO sessions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"))?.execute((
        &terms.id,
        session.digest,
        session.seal,
        serde_json::to_string(terms).unwrap_or_default(),
        &terms.subject,
        &terms.tenant,
        sql(terms.issued_unix_s),
        sql(session.last_used_unix_s),
    ))?;
    Ok(())
}

fn end(change: &Connection, id: &str) -> Result<usize, StoreError> {
    change.execute(&format!("{MARK} WHERE id = ?1"), [id])?;
    Ok(change.execute("DELETE FROM sessions WHERE id = ?1", [id])?)
}

fn note(change: &Connection, used: &[(String, u64)]) -> Result<(), StoreError> {
    let mut note =
        change.prepare_cached("UPDATE sessions SET last_used_unix_s = max(?2, last_used_unix_s) WHERE id = ?1")?;
    for (id, at) in used {
        note.execute((id, sql(*at)))?;
    }
    Ok(())
}

fn session(row: &Row<'_>) -> rusqlite::Result<Option<Session>> {
    let terms: String = row.get(2)?;
    let Ok(terms) = serde_json::from_str::<Terms>(&terms) else { return Ok(None) };
    Ok(Some(Session { digest: row.get(0)?, seal: row.get(1)?, last_used_unix_s: row.get(3).map(unsigned)?, terms }))
}

#[cfg(test)]
mod tests {
    use portcullis_core::identity::Method;

    use super::*;

    fn made(id: &str, subject: &str, tenant: Option<&str>, issued: u64) -> Session {
        let terms = Terms {
            id: id.into(),
            subject: subject.into(),
            tenant: tenant.map(Into::into),
            tenants: vec![],
            roles: vec!["user".into()],
            permissions: vec![],
            mfa: true,
            proved_by: Method::Jwt,
            token_id: Some("t1".into()),
            provider_session: None,
            issued_unix_s: issued,
            ends_unix_s: 9_000,
            address: None,
            user_agent: None,
        };
        let seed = id.as_bytes()[0];
        Session { terms, last_used_unix_s: issued, digest: [seed; 32], seal: [seed; 32] }
    }

    fn file() -> (tempfile::TempDir, SessionFile) {
        let folder = tempfile::tempdir().unwrap();
        let file = SessionFile::open(&folder.path().join(SESSIONS_FILE)).unwrap();
        (folder, file)
    }

    #[test]
    fn a_session_is_there_when_the_file_is_opened_again_and_takes_the_place_of_others() {
        let (folder, mut file) = file();
        let (old, new, other) = (made("a", "u1", None, 100), made("b", "u1", None, 200), made("c", "u2", None, 150));
        file.put(&old, &[]).unwrap();
        file.put(&other, &[]).unwrap();
        file.put(&new, &[String::from("a")]).unwrap();
        drop(file);
        let file = SessionFile::open(&folder.path().join(SESSIONS_FILE)).unwrap();
        assert_eq!(file.all(None).unwrap(), [new.clone(), other]);
        assert_eq!(file.all(Some("u1")).unwrap(), [new]);
        assert_eq!(file.all(Some("nobody")).unwrap(), []);
    }

    #[test]
    fn what_cannot_be_written_changes_nothing() {
        let (_folder, mut file) = file();
        let (one, two) = (made("a", "u1", None, 100), made("b", "u1", None, 100));
        file.put(&one, &[]).unwrap();
        file.put(&two, &[]).unwrap();
        assert!(file.put(&two, &[String::from("a")]).is_err(), "the id is taken");
        assert_eq!(file.all(None).unwrap().len(), 2);
    }

    #[test]
    fn sessions_end_by_id_by_user_and_by_tenant() {
        let (_folder, mut file) = file();
        for (id, subject, tenant) in
            [("a", "u1", None), ("b", "u1", Some("acme")), ("c", "u1", Some("other")), ("d", "u2", Some("acme"))]
        {
            file.put(&made(id, subject, tenant, 100), &[]).unwrap();
        }
        assert_eq!(file.remove_of("u1", Some("acme")).unwrap(), 1);
        assert_eq!(file.remove_of("u1", None).unwrap(), 2);
        assert_eq!(file.remove(&[String::from("d"), String::from("a")]).unwrap(), 1);
        assert_eq!(file.all(None).unwrap(), []);
    }

    #[test]
    fn the_last_use_never_goes_back() {
        let (_folder, mut file) = file();
        file.put(&made("a", "u1", None, 100), &[]).unwrap();
        file.used(&[("a".into(), 700)]).unwrap();
        file.used(&[("a".into(), 600), ("nobody".into(), 1)]).unwrap();
        assert_eq!(file.all(None).unwrap()[0].last_used_unix_s, 700);
    }

    #[test]
    fn what_was_ended_leaves_a_mark_and_what_ended_by_itself_does_not() {
        let (_folder, mut file) = file();
        for id in ["a", "b", "c", "d"] {
            file.put(&made(id, "u1", None, 100), &[]).unwrap();
        }
        file.put(&made("e", "u2", None, 100), &[String::from("a")]).unwrap();
        assert_eq!(file.remove(&[String::from("b")]).unwrap(), 1);
        assert_eq!(file.forget(&[String::from("c")]).unwrap(), 1);
        assert_eq!(file.remove_of("u1", None).unwrap(), 1);
        let marked: Vec<bool> = "abcde".bytes().map(|id| file.was_ended(&[id; 32]).unwrap()).collect();
        assert_eq!(marked, [true, true, false, true, false]);
        let entries = file.entries(Duration::from_secs(60)).unwrap();
        let gone = entries.values().filter(|entry| entry.gone && entry.until_unix_ms == 9_000_000).count();
        assert_eq!((entries.len(), gone), (4, 3));
    }

    #[test]
    fn a_record_whose_terms_cannot_be_read_can_be_ended() {
        let (_folder, mut file) = file();
        file.put(&made("a", "u1", None, 100), &[]).unwrap();
        for terms in ["{", "{}", r#"{"ends_unix_s":"soon"}"#, r#"{"ends_unix_s":18446744073709551615}"#] {
            file.file
                .execute(
                    "INSERT OR IGNORE INTO sessions SELECT 'x', digest, seal, ?1, subject, tenant, 1, 1 FROM sessions",
                    [terms],
                )
                .unwrap();
            assert_eq!(file.remove(&[String::from("x")]).unwrap(), 1, "{terms}");
            file.file.execute("DELETE FROM ended", []).unwrap();
        }
    }

    #[test]
    fn words_of_one_node_are_understood_by_another() {
        let (_folder, mut here) = file();
        let (_folder, mut there) = self::file();
        let (kept, ended) = (made("a", "u1", Some("acme"), 100), made("b", "u1", None, 100));
        here.put(&kept, &[]).unwrap();
        here.put(&ended, &[]).unwrap();
        there.merge(std::slice::from_ref(&ended), &[], &[], 100).unwrap();
        here.remove(&[String::from("b")]).unwrap();
        here.used(&[("a".into(), 150)]).unwrap();
        let idle = Duration::from_secs(60);
        let entries = here.entries(idle).unwrap();
        let mut said: Vec<_> = replicated::said(&entries, 0).collect();
        said.sort_by_key(|said| matches!(said, replicated::Said::Ended(..)));
        let used = Session { last_used_unix_s: 150, ..kept };
        assert_eq!(
            said,
            [replicated::Said::InForce(Box::new(used.clone())), replicated::Said::Ended(ended.digest, 9_000)]
        );
        assert_eq!(replicated::said(&entries, 210_000).count(), 1, "one is idle by then");
        there.merge(std::slice::from_ref(&used), &[], &[(ended.digest, 9_000)], 100).unwrap();
        assert_eq!(there.all(None).unwrap(), [used]);
        assert!(there.was_ended(&ended.digest).unwrap());
        assert_eq!(there.entries(idle).unwrap(), entries, "both say the same");
        there.merge(&[], &[("a".into(), 170)], &[], 9_001).unwrap();
        assert_eq!(there.all(None).unwrap()[0].last_used_unix_s, 170);
        assert!(!there.was_ended(&ended.digest).unwrap(), "nobody needs the mark any longer");
    }

    #[test]
    fn the_mark_of_an_ended_session_stands_against_every_use() {
        let mut late = made("a", "u1", None, 100);
        late.last_used_unix_s = u64::MAX;
        let (name, alive) = replicated::in_force(&late, Duration::MAX);
        let (same, gone) = replicated::ended(&late.digest, 9_000);
        assert_eq!(name, same);
        assert!(gone.outdoes(&alive) && !alive.outdoes(&gone));
        for name in ["session:", "session:zz", "block:user:u1", &format!("session:{}", "é".repeat(32))] {
            assert_eq!(replicated::said(&Entries::from([(name.to_owned(), gone.clone())]), 0).count(), 0, "{name}");
        }
    }

    #[test]
    fn marks_past_their_bound_leave_those_that_end_soonest_first() {
        let (_folder, file) = file();
        for n in 1..=5_u8 {
            replicated::mark(&file.file, &[n; 32], u64::from(n) * 100).unwrap();
        }
        replicated::trim(&file.file, 100, 3).unwrap();
        let left: Vec<u8> = replicated::marks(&file.file).unwrap().into_iter().map(|(digest, _)| digest[0]).collect();
        assert_eq!(left, [3, 4, 5]);
    }
}
