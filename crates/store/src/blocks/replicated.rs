//! The blocklist as entries that nodes agree on, and back.

use std::net::IpAddr;

use portcullis_core::reputation::{BLOCKS_MAX, Block, Lockdown, REASON_BYTES_MAX, Target};
use rusqlite::{Connection, OptionalExtension as _};
use serde::{Deserialize, Serialize};

use super::Blocks;
use crate::StoreError;
use crate::replica::{Entries, Entry};
use crate::small::{sql, unsigned};

const LOCKDOWN: &str = "lockdown";
const EARNED: &str = "earned";
/// How far the clocks of nodes may be apart.
const CLOCKS_MS: i64 = 5_000;

/// What a ban or revocation says besides its target, its stamp and its end.
#[derive(Serialize, Deserialize)]
struct BlockBody {
    spares: Option<u64>,
    reason: String,
}

#[derive(Serialize, Deserialize)]
struct LockdownBody {
    reason: String,
    automatic: bool,
}

/// A matter of the blocklist.
enum Matter {
    Block(Target),
    Earned(IpAddr),
    Lockdown,
}

impl Matter {
    fn parse(name: &str) -> Option<Self> {
        if name == LOCKDOWN {
            return Some(Self::Lockdown);
        }
        let (kind, rest) = name.split_once(':')?;
        match kind {
            EARNED => rest.parse().ok().map(Self::Earned),
            "block" => {
                let (kind, value) = rest.split_once(':')?;
                Target::parse(kind, value).ok().map(Self::Block)
            }
            _ => None,
        }
    }
}

/// The stamp of the last word on a target.
pub(super) fn stamp(file: &Connection, kind: &str, value: &str) -> Result<Option<u64>, StoreError> {
    let query = "SELECT max(at) FROM (SELECT made_unix_ms AS at FROM blocks WHERE kind = ?1 AND value = ?2 \
                 UNION ALL SELECT at FROM lifted WHERE kind = ?1 AND value = ?2)";
    let found: Option<i64> = file.query_row(query, (kind, value), |row| row.get(0))?;
    Ok(found.map(unsigned))
}

/// Writes an entry in place of whatever was said of its target.
pub(super) fn write(file: &Connection, block: &Block) -> Result<(), StoreError> {
    let (kind, value) = (block.target.kind(), block.target.value());
    file.execute("DELETE FROM lifted WHERE kind = ?1 AND value = ?2", (kind, &value))?;
    file.execute(
        "INSERT OR REPLACE INTO blocks VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (
            kind,
            value,
            sql(block.until_unix_ms),
            sql(block.made_unix_ms),
            block.spares_issued_after_unix_s.map(sql),
            &block.reason,
        ),
    )?;
    Ok(())
}

pub(super) fn write_lockdown(file: &Connection, lockdown: &Lockdown) -> Result<(), StoreError> {
    file.execute(
        "INSERT OR REPLACE INTO lockdown VALUES (1, ?1, ?2, ?3, ?4)",
        (sql(lockdown.until_unix_ms), sql(lockdown.made_unix_ms), &lockdown.reason, lockdown.automatic),
    )?;
    Ok(())
}

/// Takes a target out and leaves a mark; how many entries went.
pub(super) fn lift(file: &Connection, kind: &str, value: &str) -> Result<usize, StoreError> {
    file.execute(
        "INSERT OR REPLACE INTO lifted SELECT kind, value, made_unix_ms + 1, until_unix_ms FROM blocks \
         WHERE kind = ?1 AND value = ?2",
        (kind, value),
    )?;
    Ok(file.execute("DELETE FROM blocks WHERE kind = ?1 AND value = ?2", (kind, value))?)
}

/// The same for a ban that an address earned. Its stamp is its end; the mark's is a little later, for other nodes have
/// written the end of the same ban by clocks of their own.
pub(super) fn lift_earned(file: &Connection, address: IpAddr) -> Result<usize, StoreError> {
    let address = address.to_string();
    file.execute(
        "INSERT OR REPLACE INTO lifted SELECT 'earned', address, until_unix_ms + ?2, until_unix_ms + ?2 FROM earned_bans \
         WHERE address = ?1",
        (&address, CLOCKS_MS),
    )?;
    Ok(file.execute("DELETE FROM earned_bans WHERE address = ?1", [&address])?)
}

/// Marks of earned bans that were lifted: address and stamp.
pub(super) fn lifted_earned(file: &Connection, now_unix_ms: u64) -> Result<Vec<(IpAddr, u64)>, StoreError> {
    let query = "SELECT value, at FROM lifted WHERE kind = 'earned' AND until_unix_ms > ?1";
    let mut marks = file.prepare_cached(query)?;
    let marks = marks.query_map([sql(now_unix_ms)], |row| {
        Ok(row.get::<_, String>(0)?.parse().ok().zip(row.get(1).ok().map(unsigned)))
    })?;
    Ok(marks.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

pub(super) fn entries(blocks: &Blocks, file: &Connection, now_unix_ms: u64) -> Result<Entries, StoreError> {
    let mut entries = Entries::new();
    for block in blocks.all(now_unix_ms)? {
        let body = BlockBody { spares: block.spares_issued_after_unix_s, reason: block.reason };
        let name = format!("block:{}:{}", block.target.kind(), block.target.value());
        entries.insert(name, entry(block.made_unix_ms, block.until_unix_ms, &body));
    }
    for (address, until) in blocks.earned(now_unix_ms)? {
        entries.insert(format!("{EARNED}:{address}"), entry(until, until, &serde_json::json!({})));
    }
    let mut marks =
        file.prepare_cached("SELECT kind, value, at, until_unix_ms FROM lifted WHERE until_unix_ms > ?1")?;
    let marks = marks.query_map([sql(now_unix_ms)], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, unsigned(row.get(2)?), unsigned(row.get(3)?)))
    })?;
    for mark in marks {
        let (kind, value, at, until_unix_ms) = mark?;
        let name = if kind == EARNED { format!("{EARNED}:{value}") } else { format!("block:{kind}:{value}") };
        let mark = Entry { at, gone: true, until_unix_ms, body: String::from("{}") };
        // An address may have earned another ban since.
        if entries.get(&name).is_none_or(|held| !held.outdoes(&mark)) {
            entries.insert(name, mark);
        }
    }
    if let Some((name, lockdown)) = lockdown_entry(file)? {
        entries.insert(name, lockdown);
    }
    Ok(entries)
}

fn lockdown_entry(file: &Connection) -> Result<Option<(String, Entry)>, StoreError> {
    let query = "SELECT until_unix_ms, made_unix_ms, reason, automatic FROM lockdown";
    let found = file.query_row(query, [], |row| {
        let body = LockdownBody { reason: row.get(2)?, automatic: row.get(3)? };
        let until = unsigned(row.get(0)?);
        // It never leaves: one entry, and the last word on the matter.
        Ok((until, Entry { gone: until == 0, ..entry(unsigned(row.get(1)?), 0, &(until, body)) }))
    });
    Ok(found.optional()?.map(|(_, entry)| (LOCKDOWN.to_owned(), entry)))
}

fn entry(at: u64, until_unix_ms: u64, body: &impl Serialize) -> Entry {
    // Strings and numbers always make JSON.
    Entry { at, gone: false, until_unix_ms, body: serde_json::to_string(body).unwrap_or_default() }
}

/// See [`Blocks::merge`].
pub(super) fn merge(file: &mut Connection, entries: &Entries, now_unix_ms: u64) -> Result<usize, StoreError> {
    let change = file.transaction()?;
    change.execute("DELETE FROM lifted WHERE until_unix_ms <= ?1", [sql(now_unix_ms)])?;
    change.execute("DELETE FROM blocks WHERE until_unix_ms <= ?1", [sql(now_unix_ms)])?;
    let count = |table: &str| -> rusqlite::Result<usize> {
        let held: i64 = change.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
        Ok(usize::try_from(held).unwrap_or(usize::MAX))
    };
    let (mut blocks, mut marks, mut earned) = (count("blocks")?, count("lifted")?, count("earned_bans")?);
    let mut taken = 0;
    for (name, entry) in entries.iter().filter(|(_, entry)| entry.matters(now_unix_ms)) {
        let Some(matter) = Matter::parse(name) else { continue };
        let full = match (&matter, entry.gone) {
            (Matter::Lockdown, _) => false,
            (_, true) => marks >= BLOCKS_MAX,
            (Matter::Block(_), false) => blocks >= BLOCKS_MAX,
            (Matter::Earned(_), false) => earned >= BLOCKS_MAX,
        };
        if full {
            continue;
        }
        if take(&change, &matter, entry)? {
            taken += 1;
            match (&matter, entry.gone) {
                (Matter::Lockdown, _) => {}
                (_, true) => marks += 1,
                (Matter::Block(_), false) => blocks += 1,
                (Matter::Earned(_), false) => earned += 1,
            }
        }
    }
    change.commit()?;
    Ok(taken)
}

/// Takes one word over, where it stands.
fn take(file: &Connection, matter: &Matter, entry: &Entry) -> Result<bool, StoreError> {
    match matter {
        Matter::Lockdown => take_lockdown(file, entry),
        Matter::Earned(address) => take_earned(file, *address, entry),
        Matter::Block(target) => {
            let (kind, value) = (target.kind(), target.value());
            let marked = "SELECT 1 FROM lifted WHERE kind = ?1 AND value = ?2";
            let gone = file.query_row(marked, (kind, &value), |_| Ok(())).optional()?.is_some();
            let body = serde_json::from_str::<BlockBody>(&entry.body).ok();
            if let Some(at) = stamp(file, kind, &value)? {
                let tied = at == entry.at && !gone && !entry.gone;
                if (at, gone) >= (entry.at, entry.gone) && !(tied && differs(file, target, entry, body.as_ref())?) {
                    return Ok(false);
                }
            }
            if entry.gone {
                file.execute("DELETE FROM blocks WHERE kind = ?1 AND value = ?2", (kind, &value))?;
                mark(file, kind, &value, entry)?;
                return Ok(true);
            }
            let Some(body) = body.filter(|body| is_reason(&body.reason)) else { return Ok(false) };
            let block = Block {
                target: target.clone(),
                until_unix_ms: entry.until_unix_ms,
                made_unix_ms: entry.at,
                spares_issued_after_unix_s: body.spares,
                reason: body.reason,
            };
            write(file, &block)?;
            Ok(true)
        }
    }
}

/// Whether a word of one stamp says something else than ours.
fn differs(file: &Connection, target: &Target, entry: &Entry, body: Option<&BlockBody>) -> Result<bool, StoreError> {
    let Some(body) = body else { return Ok(false) };
    let query = "SELECT 1 FROM blocks WHERE kind = ?1 AND value = ?2 AND until_unix_ms = ?3 AND reason = ?4 \
                 AND spares_issued_after_unix_s IS ?5";
    let same = (target.kind(), target.value(), sql(entry.until_unix_ms), &body.reason, body.spares.map(sql));
    Ok(file.query_row(query, same, |_| Ok(())).optional()?.is_none())
}

fn take_earned(file: &Connection, address: IpAddr, entry: &Entry) -> Result<bool, StoreError> {
    let text = address.to_string();
    let held: Option<i64> = file
        .query_row("SELECT until_unix_ms FROM earned_bans WHERE address = ?1", [&text], |row| row.get(0))
        .optional()?;
    let marked: Option<i64> = file
        .query_row("SELECT at FROM lifted WHERE kind = 'earned' AND value = ?1", [&text], |row| row.get(0))
        .optional()?;
    let held = held.map(|until| (unsigned(until), false)).max(marked.map(|at| (unsigned(at), true)));
    if held.is_some_and(|held| held >= (entry.at, entry.gone)) {
        return Ok(false);
    }
    if entry.gone {
        file.execute("DELETE FROM earned_bans WHERE address = ?1", [&text])?;
        mark(file, EARNED, &text, entry)?;
    } else {
        file.execute("INSERT OR REPLACE INTO earned_bans VALUES (?1, ?2)", (&text, sql(entry.until_unix_ms)))?;
    }
    Ok(true)
}

fn take_lockdown(file: &Connection, entry: &Entry) -> Result<bool, StoreError> {
    let Ok((until_unix_ms, body)) = serde_json::from_str::<(u64, LockdownBody)>(&entry.body) else { return Ok(false) };
    let own = lockdown_entry(file)?;
    if !is_reason(&body.reason) || own.is_some_and(|(_, own)| !entry.replaces(&own)) {
        return Ok(false);
    }
    let until_unix_ms = if entry.gone { 0 } else { until_unix_ms };
    let LockdownBody { reason, automatic } = body;
    write_lockdown(file, &Lockdown { until_unix_ms, made_unix_ms: entry.at, reason, automatic })?;
    Ok(true)
}

fn mark(file: &Connection, kind: &str, value: &str, entry: &Entry) -> Result<(), StoreError> {
    let row = (kind, value, sql(entry.at), sql(entry.until_unix_ms));
    file.execute("INSERT OR REPLACE INTO lifted VALUES (?1, ?2, ?3, ?4)", row)?;
    Ok(())
}

fn is_reason(text: &str) -> bool {
    text.len() <= REASON_BYTES_MAX && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::super::BLOCKS_FILE;
    use super::*;

    const NOW: u64 = 10;

    struct Node {
        blocks: Blocks,
        _folder: tempfile::TempDir,
    }

    fn node() -> Node {
        let folder = tempfile::tempdir().unwrap();
        Node { blocks: Blocks::open(&folder.path().join(BLOCKS_FILE)).unwrap(), _folder: folder }
    }

    /// Both nodes hear all that the other says.
    fn meet(one: &mut Node, other: &mut Node) {
        let said = one.blocks.entries(NOW).unwrap();
        other.blocks.merge(&said, NOW).unwrap();
        let said = other.blocks.entries(NOW).unwrap();
        one.blocks.merge(&said, NOW).unwrap();
        assert_eq!(one.blocks.entries(NOW).unwrap(), other.blocks.entries(NOW).unwrap());
    }

    fn ban(user: &str, made: u64) -> Block {
        Block {
            target: Target::parse("user", user).unwrap(),
            until_unix_ms: 1000,
            made_unix_ms: made,
            spares_issued_after_unix_s: None,
            reason: format!("at {made}"),
        }
    }

    #[test]
    fn a_ban_reaches_the_other_node_and_so_does_its_lifting() {
        let (mut one, mut other) = (node(), node());
        one.blocks.put(&ban("u:1", 5)).unwrap();
        meet(&mut one, &mut other);
        assert_eq!(other.blocks.all(NOW).unwrap(), [ban("u:1", 5)]);
        assert!(other.blocks.remove(&ban("u:1", 0).target).unwrap());
        meet(&mut one, &mut other);
        assert_eq!(one.blocks.all(NOW).unwrap(), []);
    }

    #[test]
    fn whoever_saw_the_ban_lifts_it_with_a_slow_clock_and_bans_again_with_a_slower_one() {
        let (mut one, mut other) = (node(), node());
        one.blocks.put(&ban("u", 500)).unwrap();
        meet(&mut one, &mut other);
        other.blocks.remove(&ban("u", 0).target).unwrap();
        meet(&mut one, &mut other);
        other.blocks.put(&ban("u", 3)).unwrap();
        meet(&mut one, &mut other);
        assert_eq!(one.blocks.all(NOW).unwrap().len(), 1);
        assert_eq!(one.blocks.all(NOW).unwrap(), other.blocks.all(NOW).unwrap());
    }

    #[test]
    fn a_node_that_was_away_does_not_bring_a_lifted_ban_back() {
        let (mut one, mut other, mut away) = (node(), node(), node());
        one.blocks.put(&ban("u", 5)).unwrap();
        meet(&mut one, &mut other);
        meet(&mut one, &mut away);
        other.blocks.remove(&ban("u", 0).target).unwrap();
        meet(&mut one, &mut other);
        meet(&mut away, &mut other);
        assert_eq!(away.blocks.all(NOW).unwrap(), []);
        assert_eq!(other.blocks.all(NOW).unwrap(), []);
    }

    #[test]
    fn a_lockdown_reaches_the_other_node_and_so_does_its_end() {
        let (mut one, mut other) = (node(), node());
        let order = Lockdown { until_unix_ms: 900, made_unix_ms: 7, reason: "flood".into(), automatic: true };
        one.blocks.lock_down(&order).unwrap();
        meet(&mut one, &mut other);
        assert_eq!(other.blocks.lockdown(NOW).unwrap(), Some(order.clone()));
        assert!(other.blocks.end_lockdown(NOW).unwrap());
        meet(&mut one, &mut other);
        assert_eq!(one.blocks.lockdown(NOW).unwrap(), None);
        one.blocks.lock_down(&Lockdown { made_unix_ms: 1, ..order }).unwrap();
        meet(&mut one, &mut other);
        assert!(other.blocks.lockdown(NOW).unwrap().is_some(), "the last order stands, whatever its clock");
    }

    #[test]
    fn an_earned_ban_is_lifted_everywhere_and_may_be_earned_again() {
        let (mut one, mut other) = (node(), node());
        let address: IpAddr = "203.0.113.9".parse().unwrap();
        one.blocks.keep_earned(&[(address, 90)]).unwrap();
        meet(&mut one, &mut other);
        assert_eq!(other.blocks.earned(NOW).unwrap(), [(address, 90)]);
        one.blocks.keep_earned(&[(address, 92)]).unwrap();
        assert!(other.blocks.remove(&Target::parse("network", "203.0.113.0/24").unwrap()).unwrap());
        meet(&mut one, &mut other);
        assert_eq!(one.blocks.earned(NOW).unwrap(), []);
        one.blocks.keep_earned(&[(address, 12_000)]).unwrap();
        meet(&mut one, &mut other);
        assert_eq!(other.blocks.earned(NOW).unwrap(), [(address, 12_000)]);
    }

    #[test]
    fn words_of_one_stamp_end_alike_and_nonsense_is_left_out() {
        let (mut one, mut other) = (node(), node());
        one.blocks.put(&ban("u", 5)).unwrap();
        other.blocks.put(&Block { reason: "another".into(), ..ban("u", 5) }).unwrap();
        meet(&mut one, &mut other);
        let word = |body: &str| Entry { at: 900, gone: false, until_unix_ms: 900, body: body.into() };
        let nonsense = [
            ("block:planet:mars", word("{}")),
            ("block:user:v", word("not JSON")),
            ("block:user:w", word(r#"{"spares":null,"reason":"a\nb"}"#)),
            ("earned:nowhere", word("{}")),
            ("lockdown", word("{}")),
            ("key:0123", word("{}")),
        ];
        let nonsense: Entries = nonsense.into_iter().map(|(name, entry)| (name.to_owned(), entry)).collect();
        assert_eq!(one.blocks.merge(&nonsense, NOW).unwrap(), 0);
    }

    #[test]
    fn what_has_ended_is_told_to_nobody() {
        let mut one = node();
        one.blocks.put(&ban("u", 5)).unwrap();
        one.blocks.remove(&ban("u", 0).target).unwrap();
        assert_eq!(one.blocks.entries(999).unwrap().len(), 1);
        assert_eq!(one.blocks.entries(1000).unwrap(), Entries::new());
        let late = Entry { at: 9, gone: false, until_unix_ms: NOW, body: r#"{"spares":null,"reason":""}"#.into() };
        assert_eq!(one.blocks.merge(&Entries::from([("block:user:x".to_owned(), late)]), NOW).unwrap(), 0);
    }
}
