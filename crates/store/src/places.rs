//! Where an address, a connection, a user or a tenant occurs.
//!
//! Decides in which chunks of the file a search looks. An index would hold an entry of each for every event, and write
//! pages all over the file. Here a chunk is 256 places in the order of writing, and one number says that a value occurs in
//! a chunk: what comes often, or comes and goes soon, costs one number for many events. A search walks over the chunks
//! that are named, newest first, and compares the rows themselves: a number may name a chunk in vain (two values of one
//! hash), and never leaves one out.
//!
//! A number is, from its highest bit: the segment (64 chunks), 30 bits of the value's hash, the chunk in its segment. So
//! numbers written about the same time lie on few pages, and what a swept segment held goes in one piece. There is room
//! for 2^41 events.

use std::hash::Hasher;
use std::iter::successors;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::{Arc, LazyLock};

use portcullis_core::event::{Event, Origin};
use rusqlite::{Connection, params_from_iter};
use siphasher::sip::SipHasher13;

/// Places of a chunk, and chunks of a segment, as powers of two.
const CHUNK_BITS: u32 = 8;
const SEGMENT_BITS: u32 = 6;
const HASH_BITS: u32 = 30;
const CHUNKS: i64 = 1 << SEGMENT_BITS;
/// Numbers that one statement writes; the most that are there.
const TOGETHER: [usize; 3] = [128, 16, 1];
static INSERTS: LazyLock<[String; TOGETHER.len()]> = LazyLock::new(|| {
    // One may be there since before a restart.
    TOGETHER.map(|rows| format!("INSERT OR IGNORE INTO places (place) VALUES {}", ["(?)"].repeat(rows).join(",")))
});
/// Origins remembered within a batch, so that what neighbours share is not hashed again.
const SEEN: usize = 64;

/// A value that is searched for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Facet<'a> {
    Ip(IpAddr),
    Connection(&'a str),
    User(&'a str),
    Tenant(&'a str),
}

impl Facet<'_> {
    /// The same in every version: it is kept in the file.
    fn hash(self) -> i64 {
        let mut hasher = SipHasher13::new();
        match self {
            Self::Ip(IpAddr::V4(ip)) => hasher.write(&ip.octets()),
            Self::Ip(IpAddr::V6(ip)) => hasher.write(&ip.octets()),
            Self::Connection(text) | Self::User(text) | Self::Tenant(text) => hasher.write(text.as_bytes()),
        }
        hasher.write_u8(match self {
            Self::Ip(_) => 1,
            Self::Connection(_) => 2,
            Self::User(_) => 3,
            Self::Tenant(_) => 4,
        });
        (hasher.finish() >> (u64::BITS - HASH_BITS)).cast_signed()
    }
}

fn number(seq: i64, facet: Facet<'_>) -> i64 {
    let chunk = (seq >> CHUNK_BITS) & (CHUNKS - 1);
    first_of_segment(seq) | (facet.hash() << SEGMENT_BITS) | chunk
}

/// The least number that a segment can hold.
pub(crate) const fn first_of_segment(seq: i64) -> i64 {
    ((seq >> (CHUNK_BITS + SEGMENT_BITS)) << (HASH_BITS + SEGMENT_BITS)) & i64::MAX
}

/// A number without its hash: equal for all of a chunk.
const fn chunk(number: i64) -> i64 {
    number & !(((1 << HASH_BITS) - 1) << SEGMENT_BITS)
}

/// Numbers to be written, and those of the chunk that is being filled.
#[derive(Debug)]
pub(crate) struct Places {
    /// At most four an event of a batch.
    fresh: Vec<i64>,
    /// Sorted; at most four for each place of a chunk.
    known: Vec<i64>,
    /// Origins of this batch by where they are in memory, with the chunk for which they were noted.
    seen: [(usize, i64); SEEN],
}

impl Default for Places {
    fn default() -> Self {
        Self { fresh: Vec::new(), known: Vec::new(), seen: [(0, 0); SEEN] }
    }
}

impl Places {
    /// Notes where the values of an event occur. It stays where it is until they are written.
    pub(crate) fn note(&mut self, seq: i64, event: &Event) {
        let this = (Arc::as_ptr(&event.origin).addr(), seq >> CHUNK_BITS);
        if let Some(seen) = self.seen.get_mut((this.0 >> 5) % SEEN)
            && std::mem::replace(seen, this) == this
        {
            return;
        }
        let Origin { source_ip, connection, user, tenant, .. } = &*event.origin;
        let facets = [
            source_ip.map(Facet::Ip),
            connection.as_deref().map(Facet::Connection),
            user.as_deref().map(Facet::User),
            tenant.as_deref().map(Facet::Tenant),
        ];
        self.note_all(seq, facets);
    }

    pub(crate) fn note_all(&mut self, seq: i64, facets: [Option<Facet<'_>>; 4]) {
        self.fresh.extend(facets.into_iter().flatten().map(|facet| number(seq, facet)));
    }

    /// Writes what was noted up to the place `newest`. Where this or what comes after it in the transaction fails, what
    /// is known of the chunk is wrong: begin with fresh `Places` then.
    pub(crate) fn write(&mut self, file: &Connection, newest: i64) -> rusqlite::Result<()> {
        self.seen = [(0, 0); SEEN];
        self.fresh.sort_unstable();
        self.fresh.dedup();
        self.fresh.retain(|number| self.known.binary_search(number).is_err());
        let mut left = self.fresh.as_slice();
        for (sql, rows) in INSERTS.iter().zip(TOGETHER) {
            if left.len() < rows {
                continue;
            }
            let mut insert = file.prepare_cached(sql)?;
            while let Some((numbers, rest)) = left.split_at_checked(rows) {
                insert.execute(params_from_iter(numbers))?;
                left = rest;
            }
        }
        let filling = chunk(number(newest, Facet::Tenant("")));
        self.known.append(&mut self.fresh);
        self.known.retain(|number| chunk(*number) == filling);
        self.known.sort_unstable();
        Ok(())
    }
}

/// The chunks up to the one of `newest` that may hold a value, newest first, each as the range of its places. `oldest` is
/// the first place of the file. `found` says whether to go on.
pub(crate) fn walk<E: From<rusqlite::Error>>(
    file: &Connection,
    facet: Facet<'_>,
    (oldest, newest): (i64, i64),
    mut found: impl FnMut(RangeInclusive<i64>) -> Result<bool, E>,
) -> Result<(), E> {
    const SEGMENT: i64 = 1 << (CHUNK_BITS + SEGMENT_BITS);
    let mut statement =
        file.prepare_cached("SELECT place FROM places WHERE place BETWEEN ?1 AND ?2 ORDER BY place DESC")?;
    let segments = successors(Some(newest - newest % SEGMENT), |start| Some(start - SEGMENT));
    for start in segments.take_while(|start| *start >= 0 && start + SEGMENT > oldest) {
        let first = number(start, facet);
        let mut rows = statement.query([first, first + CHUNKS - 1])?;
        while let Some(row) = rows.next()? {
            let chunk: i64 = start + ((row.get::<_, i64>(0)? - first) << CHUNK_BITS);
            if chunk <= newest && !found(chunk..=chunk + (1 << CHUNK_BITS) - 1)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers are in files: another hash would find nothing there. These come from another SipHash-1-3.
    #[test]
    fn a_number_is_made_as_it_was_made_before() {
        for (facet, expected) in [
            (Facet::Ip([192, 0, 2, 7].into()), 693_877_891),
            (Facet::Ip(IpAddr::V6("2001:db8::7".parse().unwrap())), 698_139_593),
            (Facet::Connection("c1"), 334_411_024),
            (Facet::User("alice"), 195_352_981),
            (Facet::Tenant("alice"), 27_622_975),
        ] {
            assert_eq!(number((3 << 14) + (5 << 8) + 9, facet), (3 << 36) | (expected << 6) | 5, "{facet:?}");
        }
    }

    fn file() -> Connection {
        let file = Connection::open_in_memory().unwrap();
        file.execute_batch("CREATE TABLE places (place INTEGER PRIMARY KEY) STRICT").unwrap();
        file
    }

    fn chunks(file: &Connection, facet: Facet<'_>, ends: (i64, i64)) -> Vec<i64> {
        let mut chunks = Vec::new();
        walk(file, facet, ends, |chunk| {
            chunks.push(*chunk.start());
            Ok::<_, rusqlite::Error>(chunks.len() < 5)
        })
        .unwrap();
        chunks
    }

    #[test]
    fn a_value_is_found_in_each_chunk_where_it_occurs_newest_first_and_named_once_in_it() {
        let file = file();
        let mut places = Places::default();
        let newest = 3 * 16_384 + 700;
        for seq in 1..=newest {
            let seldom = [1, 255, 256, 16_383, 16_384, 40_000, newest].contains(&seq).then_some(Facet::User("seldom"));
            places.note_all(seq, [None, None, seldom, Some(Facet::Tenant("always"))]);
            // Batches end anywhere in a chunk, and a restart forgets what is known.
            if seq % 300 == 0 {
                places.write(&file, seq).unwrap();
            }
            if seq % 9_000 == 0 {
                places = Places::default();
            }
        }
        places.write(&file, newest).unwrap();
        assert!(places.known.len() <= 2);
        let found = chunks(&file, Facet::User("seldom"), (1, newest));
        assert_eq!(found, [newest - newest % 256, 39_936, 16_384, 16_128, 256]);
        assert_eq!(chunks(&file, Facet::User("seldom"), (1, 16_383)), [16_128, 256, 0]);
        assert_eq!(chunks(&file, Facet::User("seldom"), (16_384, newest)).last(), Some(&16_384));
        assert_eq!(chunks(&file, Facet::Tenant("seldom"), (1, newest)), Vec::<i64>::new());
        let numbers: i64 = file.query_row("SELECT count(*) FROM places", [], |row| row.get(0)).unwrap();
        assert_eq!(numbers, 6 + newest / 256 + 1);
    }
}
