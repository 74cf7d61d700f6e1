//! The blocklist as it lasts: a small SQLite file beside the audit, one row for each target.
//!
//! Anybody who may open the state folder may change it: the gateway, its admin API, and the command line while the
//! gateway runs or not. A reader learns of another's change by [`Blocks::version`], which costs microseconds. What
//! `put` or `remove` has returned from survives the loss of the process.

use std::net::IpAddr;
use std::path::Path;

use portcullis_core::limits::IpKey;
use portcullis_core::reputation::{BLOCKS_MAX, Block, Lockdown, Target};
use rusqlite::{Connection, OptionalExtension as _};

use crate::StoreError;
use crate::replica::Entries;
use crate::small::{self, Shape, sql, unsigned};

mod replicated;

/// The file's name inside the state folder.
pub const BLOCKS_FILE: &str = "blocks.db";

const SHAPE: Shape = Shape {
    application_id: 0x5072_7442, // "PrtB"
    version: 3,
    create: "
CREATE TABLE IF NOT EXISTS blocks (
  kind TEXT NOT NULL,
  value TEXT NOT NULL,
  until_unix_ms INTEGER NOT NULL,
  made_unix_ms INTEGER NOT NULL,
  spares_issued_after_unix_s INTEGER,
  reason TEXT NOT NULL,
  PRIMARY KEY (kind, value)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS earned_bans (
  address TEXT PRIMARY KEY,
  until_unix_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lockdown (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  until_unix_ms INTEGER NOT NULL,
  made_unix_ms INTEGER NOT NULL,
  reason TEXT NOT NULL,
  automatic INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS lifted (
  kind TEXT NOT NULL,
  value TEXT NOT NULL,
  at INTEGER NOT NULL,
  until_unix_ms INTEGER NOT NULL,
  PRIMARY KEY (kind, value)
) STRICT, WITHOUT ROWID;
",
};

/// The file, open.
#[derive(Debug)]
pub struct Blocks {
    file: Connection,
}

impl Blocks {
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

    /// Adds an entry, or replaces the one with the same target. Entries that have ended leave.
    ///
    /// # Errors
    /// [`StoreError::Full`] with [`BLOCKS_MAX`] entries, [`StoreError::Sqlite`].
    pub fn put(&self, block: &Block) -> Result<(), StoreError> {
        self.file.execute("DELETE FROM blocks WHERE until_unix_ms <= ?1", [sql(block.made_unix_ms)])?;
        let held: i64 = self.file.query_row("SELECT count(*) FROM blocks", [], |row| row.get(0))?;
        if usize::try_from(held).unwrap_or(usize::MAX) >= BLOCKS_MAX && !self.has(&block.target)? {
            return Err(StoreError::Full { entries_max: BLOCKS_MAX });
        }
        // Above every word on this target that was seen here, whatever this machine's clock says.
        let seen = replicated::stamp(&self.file, block.target.kind(), &block.target.value())?;
        let made = seen.map_or(block.made_unix_ms, |seen| block.made_unix_ms.max(seen.saturating_add(1)));
        replicated::write(&self.file, &Block { made_unix_ms: made, ..block.clone() })
    }

    fn has(&self, target: &Target) -> Result<bool, StoreError> {
        let query = "SELECT 1 FROM blocks WHERE kind = ?1 AND value = ?2";
        let found = self.file.query_row(query, (target.kind(), target.value()), |_| Ok(()));
        Ok(found.optional()?.is_some())
    }

    /// Takes an entry out; an address leaves the earned bans too. False where there was none. A mark stays for other
    /// nodes until the entry would have ended.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn remove(&self, target: &Target) -> Result<bool, StoreError> {
        let mut gone = replicated::lift(&self.file, target.kind(), &target.value())?;
        if matches!(target, Target::Network(_)) {
            gone += self.remove_earned(target)?;
        }
        Ok(gone > 0)
    }

    /// Earned bans of a network, or of an address and the /64 it is counted under.
    fn remove_earned(&self, target: &Target) -> Result<usize, StoreError> {
        let Target::Network(net) = target else { return Ok(0) };
        let own = match net.addr() {
            IpAddr::V6(ip) if net.prefix_len() == 128 => IpKey::of(ip.into(), 64).address(),
            address => address,
        };
        let mut gone = 0;
        for (address, _) in self.earned(0)? {
            if net.contains(&address) || address == own {
                gone += replicated::lift_earned(&self.file, address)?;
            }
        }
        Ok(gone)
    }

    /// Addresses whose earned bans were lifted, and up to which end.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn lifted(&self, now_unix_ms: u64) -> Result<Vec<(IpAddr, u64)>, StoreError> {
        replicated::lifted_earned(&self.file, now_unix_ms)
    }

    /// The last words on all matters, marks of what was lifted included.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn entries(&self, now_unix_ms: u64) -> Result<Entries, StoreError> {
        replicated::entries(self, &self.file, now_unix_ms)
    }

    /// Takes over what other nodes said, where their word stands; how many did. What names nobody is left out.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn merge(&mut self, entries: &Entries, now_unix_ms: u64) -> Result<usize, StoreError> {
        replicated::merge(&mut self.file, entries, now_unix_ms)
    }

    /// The entries that have not ended, the latest first.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn all(&self, now_unix_ms: u64) -> Result<Vec<Block>, StoreError> {
        let mut statement = self.file.prepare_cached(
            "SELECT kind, value, until_unix_ms, made_unix_ms, spares_issued_after_unix_s, reason FROM blocks \
             WHERE until_unix_ms > ?1 ORDER BY made_unix_ms DESC, kind, value LIMIT ?2",
        )?;
        let rows = statement.query_map((sql(now_unix_ms), BLOCKS_MAX as i64), |row| {
            let (kind, value): (String, String) = (row.get(0)?, row.get(1)?);
            let spares: Option<i64> = row.get(4)?;
            Ok(Target::parse(&kind, &value).ok().map(|target| Block {
                target,
                until_unix_ms: row.get(2).map_or(0, unsigned),
                made_unix_ms: row.get(3).map_or(0, unsigned),
                spares_issued_after_unix_s: spares.map(unsigned),
                reason: row.get(5).unwrap_or_default(),
            }))
        })?;
        // A row that names nobody was not written by this program.
        Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// Orders a lockdown in place of the one before.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn lock_down(&self, lockdown: &Lockdown) -> Result<(), StoreError> {
        let before: Option<i64> =
            self.file.query_row("SELECT made_unix_ms FROM lockdown", [], |row| row.get(0)).optional()?;
        let made = before.map_or(0, |before| unsigned(before).saturating_add(1)).max(lockdown.made_unix_ms);
        replicated::write_lockdown(&self.file, &Lockdown { made_unix_ms: made, ..lockdown.clone() })
    }

    /// Ends the lockdown. False where there was none in force.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn end_lockdown(&self, now_unix_ms: u64) -> Result<bool, StoreError> {
        // It stays as a word that ends the one before, so that other nodes hear of it.
        let ended = self.file.execute(
            "UPDATE lockdown SET until_unix_ms = 0, made_unix_ms = max(?1, made_unix_ms + 1) WHERE until_unix_ms > ?1",
            [sql(now_unix_ms)],
        )?;
        Ok(ended > 0)
    }

    /// The lockdown in force.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn lockdown(&self, now_unix_ms: u64) -> Result<Option<Lockdown>, StoreError> {
        let query = "SELECT until_unix_ms, made_unix_ms, reason, automatic FROM lockdown WHERE until_unix_ms > ?1";
        let found = self.file.query_row(query, [sql(now_unix_ms)], |row| {
            Ok(Lockdown {
                until_unix_ms: unsigned(row.get(0)?),
                made_unix_ms: unsigned(row.get(1)?),
                reason: row.get(2)?,
                automatic: row.get(3)?,
            })
        });
        Ok(found.optional()?)
    }

    /// Keeps the bans that addresses have earned, in place of those kept before.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn keep_earned(&mut self, bans: &[(IpAddr, u64)]) -> Result<(), StoreError> {
        let change = self.file.transaction()?;
        change.execute("DELETE FROM earned_bans", [])?;
        {
            let mut insert = change.prepare_cached("INSERT OR REPLACE INTO earned_bans VALUES (?1, ?2)")?;
            for (address, until) in bans.iter().take(BLOCKS_MAX) {
                insert.execute((address.to_string(), sql(*until)))?;
            }
        }
        Ok(change.commit()?)
    }

    /// The bans that addresses had earned, those that have not ended.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn earned(&self, now_unix_ms: u64) -> Result<Vec<(IpAddr, u64)>, StoreError> {
        let mut statement =
            self.file.prepare_cached("SELECT address, until_unix_ms FROM earned_bans WHERE until_unix_ms > ?1")?;
        let rows = statement.query_map([sql(now_unix_ms)], |row| {
            let address: String = row.get(0)?;
            Ok(address.parse().ok().zip(row.get(1).ok().map(unsigned)))
        })?;
        Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(kind: &str, value: &str, until: u64, made: u64) -> Block {
        Block {
            target: Target::parse(kind, value).unwrap(),
            until_unix_ms: until,
            made_unix_ms: made,
            spares_issued_after_unix_s: (kind == "user").then_some(7),
            reason: "it attacked".into(),
        }
    }

    #[test]
    fn what_was_put_is_there_when_the_file_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(BLOCKS_FILE);
        let kept = [block("user", "u1", 90, 2), block("network", "203.0.113.0/24", 90, 1)];
        {
            let blocks = Blocks::open(&path).unwrap();
            kept.iter().for_each(|block| blocks.put(block).unwrap());
        }
        let blocks = Blocks::open(&path).unwrap();
        assert_eq!(blocks.all(10).unwrap(), kept);
        assert_eq!(blocks.all(90).unwrap(), [], "all have ended");
        assert!(blocks.remove(&kept[0].target).unwrap());
        assert!(!blocks.remove(&kept[0].target).unwrap());
        assert_eq!(blocks.all(10).unwrap(), kept[1..]);
    }

    #[test]
    fn a_later_entry_replaces_the_one_for_the_same_target() {
        let folder = tempfile::tempdir().unwrap();
        let blocks = Blocks::open(&folder.path().join(BLOCKS_FILE)).unwrap();
        for (until, made) in [(50, 1), (90, 4), (70, 4)] {
            blocks.put(&block("tenant", "acme", until, made)).unwrap();
        }
        assert_eq!(blocks.all(10).unwrap(), [block("tenant", "acme", 70, 5)], "made after the one it replaces");
    }

    #[test]
    fn another_connection_sees_that_something_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(BLOCKS_FILE);
        let (one, other) = (Blocks::open(&path).unwrap(), Blocks::open(&path).unwrap());
        let before = one.version().unwrap();
        assert_eq!(one.version().unwrap(), before);
        other.put(&block("session", "s", 90, 1)).unwrap();
        assert_ne!(one.version().unwrap(), before);
    }

    #[test]
    fn earned_bans_last_until_they_end_or_are_lifted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(BLOCKS_FILE);
        let bans = [("203.0.113.9".parse().unwrap(), 90), ("2001:db8::".parse().unwrap(), 50)];
        Blocks::open(&path).unwrap().keep_earned(&bans).unwrap();
        let blocks = Blocks::open(&path).unwrap();
        assert_eq!(blocks.earned(60).unwrap(), bans[..1]);
        assert!(blocks.remove(&Target::parse("network", "203.0.113.9").unwrap()).unwrap());
        assert_eq!(blocks.earned(60).unwrap(), []);
    }

    #[test]
    fn a_lockdown_lasts_until_its_end_or_an_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(BLOCKS_FILE);
        let order = |until| Lockdown {
            until_unix_ms: until,
            made_unix_ms: until - 89,
            reason: "flood".into(),
            automatic: true,
        };
        Blocks::open(&path).unwrap().lock_down(&order(90)).unwrap();
        let blocks = Blocks::open(&path).unwrap();
        assert_eq!(blocks.lockdown(89).unwrap(), Some(order(90)));
        assert_eq!(blocks.lockdown(90).unwrap(), None);
        blocks.lock_down(&order(120)).unwrap();
        assert_eq!(blocks.lockdown(90).unwrap(), Some(order(120)), "the later order");
        assert!(blocks.end_lockdown(90).unwrap());
        assert!(!blocks.end_lockdown(90).unwrap());
        assert_eq!(blocks.lockdown(90).unwrap(), None);
    }

    #[test]
    fn a_file_of_the_first_version_is_brought_up_to_date() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(BLOCKS_FILE);
        {
            let blocks = Blocks::open(&path).unwrap();
            blocks.put(&block("user", "u1", 90, 2)).unwrap();
            blocks.file.execute_batch("DROP TABLE lockdown; DROP TABLE lifted; PRAGMA user_version = 1").unwrap();
        }
        let blocks = Blocks::open(&path).unwrap();
        assert_eq!(blocks.lockdown(0).unwrap(), None);
        assert_eq!(blocks.all(10).unwrap().len(), 1);
    }

    #[test]
    fn a_file_of_another_kind_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(BLOCKS_FILE);
        std::fs::write(&path, "these are not the entries you look for, nor a database at all".repeat(40)).unwrap();
        assert!(matches!(Blocks::open(&path), Err(StoreError::Foreign { .. })));
    }
}
