//! API keys as entries that nodes agree on, and back: digests only. A revocation is above every other word on its key.

use portcullis_core::identity::api_key::{ApiKey, Grants, KEYS_MAX, KeyDigest, Minted};
use rusqlite::{Connection, OptionalExtension as _};
use serde::{Deserialize, Serialize};

use super::{COLUMNS, ENDED_KEPT_S, key};
use crate::StoreError;
use crate::replica::{Entries, Entry};
use crate::small::sql;

/// Above every time of issue in milliseconds, and exact as a floating-point number.
const REVOKED: u64 = 1 << 52;
/// Longest id taken over.
const ID_CHARS_MAX: usize = 64;

#[derive(Serialize, Deserialize)]
struct Body {
    digest: [u8; 32],
    earlier: Option<[u8; 32]>,
    earlier_until: Option<u64>,
    name: String,
    subject: String,
    tenant: Option<String>,
    roles: Vec<String>,
    permissions: Vec<String>,
    issued: u64,
    expires: Option<u64>,
    revoked: Option<u64>,
}

pub(super) fn entries(keys: &[ApiKey], now_unix_s: u64) -> Entries {
    let all = keys.iter().map(|key| (format!("key:{}", key.id), entry(key)));
    all.filter(|(_, entry)| entry.matters(now_unix_s.saturating_mul(1000))).collect()
}

fn entry(key: &ApiKey) -> Entry {
    let grants = &key.grants;
    let body = Body {
        digest: key.digest.0,
        earlier: key.earlier.map(|digest| digest.0),
        earlier_until: key.earlier_until_unix_s,
        name: grants.name.clone(),
        subject: grants.subject.clone(),
        tenant: grants.tenant.clone(),
        roles: grants.roles.clone(),
        permissions: grants.permissions.clone(),
        issued: key.issued_unix_s,
        expires: grants.expires_unix_s,
        revoked: key.revoked_unix_s,
    };
    let ended = [key.revoked_unix_s, grants.expires_unix_s].into_iter().flatten().min();
    Entry {
        at: key.revoked_unix_s.map_or(key.issued_unix_s.saturating_mul(1000), |at| REVOKED.saturating_add(at)),
        gone: false,
        until_unix_ms: ended.map_or(0, |at| at.saturating_add(ENDED_KEPT_S).saturating_mul(1000)),
        // Strings, numbers and lists of them always make JSON.
        body: serde_json::to_string(&body).unwrap_or_default(),
    }
}

/// See [`super::Keys::merge`].
pub(super) fn merge(file: &mut Connection, entries: &Entries, now_unix_ms: u64) -> Result<usize, StoreError> {
    let change = file.transaction()?;
    let held: i64 = change.query_row("SELECT count(*) FROM api_keys", [], |row| row.get(0))?;
    let mut held = usize::try_from(held).unwrap_or(usize::MAX);
    let mut taken = 0;
    for (name, entry) in entries.iter().filter(|(_, entry)| entry.matters(now_unix_ms)) {
        let Some(id) = name.strip_prefix("key:") else { continue };
        let Some(theirs) = parse(id, entry) else { continue };
        let own = change
            .query_row(&format!("SELECT {COLUMNS} FROM api_keys WHERE id = ?1"), [id], key)
            .optional()?
            .map(|key| self::entry(&key));
        match &own {
            Some(own) if !entry.replaces(own) => continue,
            None if held >= KEYS_MAX => continue,
            None => held += 1,
            Some(_) => {}
        }
        write(&change, &theirs)?;
        taken += 1;
    }
    change.commit()?;
    Ok(taken)
}

fn parse(id: &str, entry: &Entry) -> Option<ApiKey> {
    let body: Body = serde_json::from_str(&entry.body).ok()?;
    let grants = Grants {
        name: body.name,
        subject: body.subject,
        tenant: body.tenant,
        roles: body.roles,
        permissions: body.permissions,
        expires_unix_s: body.expires,
    };
    if id.is_empty() || id.len() > ID_CHARS_MAX || !id.chars().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    // Judged as a key that is made here; nobody knows its text.
    let minted = Minted { id: id.to_owned(), text: String::new(), digest: KeyDigest(body.digest) };
    let key = ApiKey::new(&minted, grants, body.issued).ok()?;
    Some(ApiKey {
        earlier: body.earlier.map(KeyDigest),
        earlier_until_unix_s: body.earlier_until,
        revoked_unix_s: body.revoked,
        ..key
    })
}

fn write(file: &Connection, key: &ApiKey) -> Result<(), StoreError> {
    let list = |texts: &[String]| serde_json::to_string(texts).unwrap_or_default();
    let grants = &key.grants;
    file.execute(
        "INSERT INTO api_keys (id, digest, earlier_digest, earlier_until_unix_s, name, subject, tenant, roles, \
         permissions, issued_unix_s, expires_unix_s, revoked_unix_s) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
         ON CONFLICT (id) DO UPDATE SET digest = ?2, earlier_digest = ?3, earlier_until_unix_s = ?4, name = ?5, \
         subject = ?6, tenant = ?7, roles = ?8, permissions = ?9, issued_unix_s = ?10, expires_unix_s = ?11, \
         revoked_unix_s = ?12",
        rusqlite::params![
            key.id,
            key.digest.0,
            key.earlier.map(|digest| digest.0),
            key.earlier_until_unix_s.map(sql),
            grants.name,
            grants.subject,
            grants.tenant,
            list(&grants.roles),
            list(&grants.permissions),
            sql(key.issued_unix_s),
            grants.expires_unix_s.map(sql),
            key.revoked_unix_s.map(sql),
        ],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use portcullis_core::identity::api_key::RANDOM_BYTES;

    use super::super::{KEYS_FILE, Keys};
    use super::*;

    const NOW: u64 = 1_000;

    fn node() -> (Keys, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (Keys::open(&folder.path().join(KEYS_FILE)).unwrap(), folder)
    }

    fn made(seed: u8) -> ApiKey {
        let grants = Grants {
            name: "import".into(),
            subject: "svc".into(),
            tenant: Some("acme".into()),
            roles: vec!["writer".into()],
            permissions: vec!["chat:send".into()],
            expires_unix_s: Some(NOW + 50),
        };
        ApiKey::new(&Minted::new(&[seed; RANDOM_BYTES]), grants, NOW).unwrap()
    }

    fn meet(one: &mut Keys, other: &mut Keys) {
        other.merge(&one.entries(NOW).unwrap(), NOW * 1000).unwrap();
        one.merge(&other.entries(NOW).unwrap(), NOW * 1000).unwrap();
        assert_eq!(one.entries(NOW).unwrap(), other.entries(NOW).unwrap());
    }

    #[test]
    fn a_key_reaches_the_other_node_whole_and_so_does_its_end() {
        let ((mut one, _a), (mut other, _b)) = (node(), node());
        let key = made(1);
        one.add(&key).unwrap();
        meet(&mut one, &mut other);
        assert_eq!(other.find(&key.id).unwrap().as_ref(), Some(&key));
        other.revoke(&key.id, NOW + 1).unwrap();
        // Rotated elsewhere at the same time: the revocation stands.
        one.rotate(&key.id, KeyDigest([9; 32]), NOW + 30, NOW + 40).unwrap();
        meet(&mut one, &mut other);
        assert_eq!(one.find(&key.id).unwrap().unwrap().revoked_unix_s, Some(NOW + 1));
    }

    #[test]
    fn a_rotated_key_reaches_the_other_node_and_its_own_last_use_stays() {
        let ((mut one, _a), (mut other, _b)) = (node(), node());
        let key = made(1);
        one.add(&key).unwrap();
        meet(&mut one, &mut other);
        other.used(&[(key.id.clone(), NOW + 3)]).unwrap();
        one.rotate(&key.id, KeyDigest([9; 32]), NOW + 5, NOW + 40).unwrap();
        meet(&mut one, &mut other);
        let there = other.find(&key.id).unwrap().unwrap();
        assert_eq!(there.digest, KeyDigest([9; 32]));
        assert_eq!((there.earlier, there.last_used_unix_s), (Some(key.digest), Some(NOW + 3)));
    }

    #[test]
    fn what_no_key_could_be_is_left_out() {
        let (mut one, _a) = node();
        let good = entry(&made(1));
        for (name, body) in [
            ("key:zz", good.body.clone()),
            ("block:user:x", good.body.clone()),
            ("key:01", String::from("{}")),
            ("key:01", good.body.replace("\"svc\"", "\"a\\nb\"")),
        ] {
            let entries = Entries::from([(name.to_owned(), Entry { body, ..good.clone() })]);
            assert_eq!(one.merge(&entries, NOW).unwrap(), 0, "{name}");
        }
    }
}
