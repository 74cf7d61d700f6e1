//! Sessions as they last (SPEC 5.3): a small SQLite file in the state folder, one row for each session in force. A row
//! holds the digest of a session's text, never the text, and its terms under a seal that only the text opens.
//!
//! The gateway writes it before a session is told; the command line and the admin API delete rows, and a gateway that
//! runs closes the connections of those within a second. A session that ended has no row.

use std::path::Path;

use portcullis_core::identity::session::{SESSIONS_MAX, Session, Terms};
use rusqlite::{Connection, Row};

use crate::StoreError;
use crate::small::{self, Shape, sql, unsigned};

/// The file's name inside the state folder.
pub const SESSIONS_FILE: &str = "sessions.db";

const SHAPE: Shape = Shape {
    application_id: 0x5072_7453, // "PrtS"
    version: 1,
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
            change.execute("DELETE FROM sessions WHERE id = ?1", [id])?;
        }
        let terms = &session.terms;
        change.execute(
            "INSERT INTO sessions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            (
                &terms.id,
                session.digest,
                session.seal,
                serde_json::to_string(terms).unwrap_or_default(),
                &terms.subject,
                &terms.tenant,
                sql(terms.issued_unix_s),
                sql(session.last_used_unix_s),
            ),
        )?;
        Ok(change.commit()?)
    }

    /// Ends sessions by id; how many there were.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn remove(&mut self, ids: &[String]) -> Result<usize, StoreError> {
        let change = self.file.transaction()?;
        let mut removed = 0;
        for id in ids {
            removed += change.execute("DELETE FROM sessions WHERE id = ?1", [id])?;
        }
        change.commit()?;
        Ok(removed)
    }

    /// Ends every session of a subject, of all its tenants or of one; how many there were.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn remove_of(&self, subject: &str, tenant: Option<&str>) -> Result<usize, StoreError> {
        let query = "DELETE FROM sessions WHERE subject = ?1 AND (?2 IS NULL OR tenant = ?2)";
        Ok(self.file.execute(query, (subject, tenant))?)
    }

    /// Notes when sessions were last used.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn used(&mut self, used: &[(String, u64)]) -> Result<(), StoreError> {
        let change = self.file.transaction()?;
        {
            let mut note = change
                .prepare_cached("UPDATE sessions SET last_used_unix_s = max(?2, last_used_unix_s) WHERE id = ?1")?;
            for (id, at) in used {
                note.execute((id, sql(*at)))?;
            }
        }
        Ok(change.commit()?)
    }
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
}
