//! API keys as they last (SPEC 3.4): a small SQLite file in the state folder, one row for each key. Digests only.
//!
//! Anybody who may open the state folder may change it: the gateway, its admin API, and the command line while the
//! gateway runs or not. What a call has returned from survives the loss of the process. Keys that have ended stay on
//! the list for [`ENDED_KEPT_S`], so that an auditor can see them.

use std::path::Path;

use portcullis_core::identity::api_key::{ApiKey, Grants, KEYS_MAX, KeyDigest};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::StoreError;
use crate::replica::Entries;
use crate::small::{self, Shape, sql, unsigned};

mod replicated;

/// The file's name inside the state folder.
pub const KEYS_FILE: &str = "keys.db";
/// How long a key that has ended stays on the list, seconds.
const ENDED_KEPT_S: u64 = 365 * 86_400;

const SHAPE: Shape = Shape {
    application_id: 0x5072_744b, // "PrtK"
    version: 1,
    create: "
CREATE TABLE IF NOT EXISTS api_keys (
  id TEXT PRIMARY KEY,
  digest BLOB NOT NULL,
  earlier_digest BLOB,
  earlier_until_unix_s INTEGER,
  name TEXT NOT NULL,
  subject TEXT NOT NULL,
  tenant TEXT,
  roles TEXT NOT NULL,
  permissions TEXT NOT NULL,
  issued_unix_s INTEGER NOT NULL,
  expires_unix_s INTEGER,
  revoked_unix_s INTEGER,
  last_used_unix_s INTEGER
) STRICT, WITHOUT ROWID;
",
};

const COLUMNS: &str = "id, digest, earlier_digest, earlier_until_unix_s, name, subject, tenant, roles, permissions, \
                       issued_unix_s, expires_unix_s, revoked_unix_s, last_used_unix_s";

/// The file, open.
#[derive(Debug)]
pub struct Keys {
    file: Connection,
}

impl Keys {
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

    /// Every key, the latest first; those that have ended too.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn all(&self) -> Result<Vec<ApiKey>, StoreError> {
        let query = format!("SELECT {COLUMNS} FROM api_keys ORDER BY issued_unix_s DESC, id LIMIT {KEYS_MAX}");
        let mut statement = self.file.prepare_cached(&query)?;
        let rows = statement.query_map([], |row| Ok(key(row)))?;
        rows.map(|row| Ok(row??)).collect()
    }

    /// One key.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn find(&self, id: &str) -> Result<Option<ApiKey>, StoreError> {
        let query = format!("SELECT {COLUMNS} FROM api_keys WHERE id = ?1");
        Ok(self.file.query_row(&query, [id], key).optional()?)
    }

    /// Adds a key. Keys that ended long ago leave.
    ///
    /// # Errors
    /// [`StoreError::KeysFull`] with [`KEYS_MAX`] keys, [`StoreError::Sqlite`].
    pub fn add(&self, key: &ApiKey) -> Result<(), StoreError> {
        let before = sql(key.issued_unix_s.saturating_sub(ENDED_KEPT_S));
        self.file.execute("DELETE FROM api_keys WHERE min(ifnull(revoked_unix_s, expires_unix_s), ifnull(expires_unix_s, revoked_unix_s)) < ?1", [before])?;
        let held: i64 = self.file.query_row("SELECT count(*) FROM api_keys", [], |row| row.get(0))?;
        if usize::try_from(held).unwrap_or(usize::MAX) >= KEYS_MAX {
            return Err(StoreError::KeysFull { keys_max: KEYS_MAX });
        }
        let list = |texts: &[String]| serde_json::to_string(texts).unwrap_or_default();
        let grants = &key.grants;
        self.file.execute(
            &format!(
                "INSERT INTO api_keys ({COLUMNS}) VALUES (?1, ?2, NULL, NULL, ?3, ?4, ?5, ?6, ?7, ?8, ?9, NULL, NULL)"
            ),
            (
                &key.id,
                key.digest.0,
                &grants.name,
                &grants.subject,
                &grants.tenant,
                list(&grants.roles),
                list(&grants.permissions),
                sql(key.issued_unix_s),
                grants.expires_unix_s.map(sql),
            ),
        )?;
        Ok(())
    }

    /// Gives a key another secret; the one before is accepted until `earlier_until_unix_s`. False where no key that
    /// may still be used has the id.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn rotate(
        &self,
        id: &str,
        digest: KeyDigest,
        now_unix_s: u64,
        earlier_until_unix_s: u64,
    ) -> Result<bool, StoreError> {
        let changed = self.file.execute(
            "UPDATE api_keys SET earlier_digest = digest, earlier_until_unix_s = ?4, digest = ?2, issued_unix_s = ?3 \
             WHERE id = ?1 AND revoked_unix_s IS NULL AND ifnull(expires_unix_s > ?3, 1)",
            (id, digest.0, sql(now_unix_s), sql(earlier_until_unix_s)),
        )?;
        Ok(changed > 0)
    }

    /// Ends a key for good. False where no key that is not revoked has the id.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn revoke(&self, id: &str, now_unix_s: u64) -> Result<bool, StoreError> {
        let query = "UPDATE api_keys SET revoked_unix_s = ?2 WHERE id = ?1 AND revoked_unix_s IS NULL";
        Ok(self.file.execute(query, (id, sql(now_unix_s)))? > 0)
    }

    /// The last words on all keys, for other nodes. When a key was last used is each node's own.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn entries(&self, now_unix_s: u64) -> Result<Entries, StoreError> {
        Ok(replicated::entries(&self.all()?, now_unix_s))
    }

    /// Takes over what other nodes said of keys, where their word stands; how many did.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn merge(&mut self, entries: &Entries, now_unix_ms: u64) -> Result<usize, StoreError> {
        replicated::merge(&mut self.file, entries, now_unix_ms)
    }

    /// Notes when keys were last used.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn used(&mut self, used: &[(String, u64)]) -> Result<(), StoreError> {
        let change = self.file.transaction()?;
        {
            let mut note = change.prepare_cached(
                "UPDATE api_keys SET last_used_unix_s = max(?2, ifnull(last_used_unix_s, 0)) WHERE id = ?1",
            )?;
            for (id, at) in used {
                note.execute((id, sql(*at)))?;
            }
        }
        Ok(change.commit()?)
    }
}

fn key(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    let list = |column: usize| -> rusqlite::Result<Vec<String>> {
        let text: String = row.get(column)?;
        Ok(serde_json::from_str(&text).unwrap_or_default())
    };
    let seconds = |column: usize| row.get(column).map(|at: Option<i64>| at.map(unsigned));
    Ok(ApiKey {
        id: row.get(0)?,
        digest: KeyDigest(row.get(1)?),
        earlier: row.get::<_, Option<[u8; 32]>>(2)?.map(KeyDigest),
        earlier_until_unix_s: seconds(3)?,
        grants: Grants {
            name: row.get(4)?,
            subject: row.get(5)?,
            tenant: row.get(6)?,
            roles: list(7)?,
            permissions: list(8)?,
            expires_unix_s: seconds(10)?,
        },
        issued_unix_s: row.get(9).map(unsigned)?,
        revoked_unix_s: seconds(11)?,
        last_used_unix_s: seconds(12)?,
    })
}

#[cfg(test)]
mod tests {
    use portcullis_core::identity::api_key::{Minted, RANDOM_BYTES};

    use super::*;

    fn made(seed: u8, issued: u64, expires: Option<u64>) -> ApiKey {
        let grants = Grants {
            name: "import".into(),
            subject: "svc".into(),
            tenant: None,
            roles: vec!["importer".into()],
            permissions: vec!["rows.write".into(), "rows.read".into()],
            expires_unix_s: expires,
        };
        ApiKey::new(&Minted::new(&[seed; RANDOM_BYTES]), grants, issued).unwrap()
    }

    fn keys() -> (tempfile::TempDir, Keys) {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(&folder.path().join(KEYS_FILE)).unwrap();
        (folder, keys)
    }

    #[test]
    fn a_key_is_there_when_the_file_is_opened_again() {
        let (folder, keys) = keys();
        let kept = [made(2, 200, None), made(1, 100, Some(900))];
        kept.iter().for_each(|key| keys.add(key).unwrap());
        drop(keys);
        let keys = Keys::open(&folder.path().join(KEYS_FILE)).unwrap();
        assert_eq!(keys.all().unwrap(), kept);
        assert_eq!(keys.find(&kept[1].id).unwrap().as_ref(), Some(&kept[1]));
        assert_eq!(keys.find("nobody").unwrap(), None);
    }

    #[test]
    fn a_rotated_key_keeps_its_id_and_its_earlier_secret_for_a_while() {
        let (_folder, keys) = keys();
        let old = made(1, 100, Some(900));
        keys.add(&old).unwrap();
        let new = KeyDigest([7; 32]);
        assert!(keys.rotate(&old.id, new, 500, 600).unwrap());
        let found = keys.find(&old.id).unwrap().unwrap();
        assert_eq!((found.digest, found.earlier, found.earlier_until_unix_s), (new, Some(old.digest), Some(600)));
        assert_eq!(found.issued_unix_s, 500);
        assert!(!keys.rotate(&old.id, new, 900, 950).unwrap(), "it has ended");
        assert!(!keys.rotate("nobody", new, 500, 600).unwrap());
    }

    #[test]
    fn a_revoked_key_stays_revoked_and_on_the_list() {
        let (_folder, keys) = keys();
        let key = made(1, 100, None);
        keys.add(&key).unwrap();
        assert!(keys.revoke(&key.id, 300).unwrap());
        assert!(!keys.revoke(&key.id, 400).unwrap());
        assert!(!keys.rotate(&key.id, KeyDigest([7; 32]), 500, 600).unwrap());
        assert_eq!(keys.find(&key.id).unwrap().unwrap().revoked_unix_s, Some(300));
    }

    #[test]
    fn keys_that_ended_long_ago_leave_when_another_is_made() {
        let (_folder, keys) = keys();
        let (revoked, expired, lasting) = (made(1, 100, None), made(2, 100, Some(300)), made(3, 100, None));
        [&revoked, &expired, &lasting].iter().for_each(|key| keys.add(key).unwrap());
        keys.revoke(&revoked.id, 300).unwrap();
        keys.add(&made(4, 300 + ENDED_KEPT_S, None)).unwrap();
        assert_eq!(keys.all().unwrap().len(), 4, "just not long enough");
        keys.add(&made(5, 301 + ENDED_KEPT_S, None)).unwrap();
        let left: Vec<_> = keys.all().unwrap().into_iter().map(|key| key.id).collect();
        assert_eq!(left.len(), 3);
        assert!(left.contains(&lasting.id));
    }

    #[test]
    fn the_last_use_never_goes_back() {
        let (_folder, mut keys) = keys();
        let key = made(1, 100, None);
        keys.add(&key).unwrap();
        keys.used(&[(key.id.clone(), 700)]).unwrap();
        keys.used(&[(key.id.clone(), 600), ("nobody".into(), 1)]).unwrap();
        assert_eq!(keys.find(&key.id).unwrap().unwrap().last_used_unix_s, Some(700));
    }
}
