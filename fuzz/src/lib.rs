//! What several targets stand on: a policy with one key, and a present that does not move.

use std::path::Path;
use std::time::Duration;

use portcullis_core::policy::{Checked, Outside, Overrides, Source, load};
use portcullis_core::time::Now;

/// The present, Unix seconds.
pub const NOW_UNIX_S: u64 = 1_800_000_000;

/// What the only key signs with.
pub const SECRET: &[u8] = b"fuzzed-and-known-to-nobody-else!";

const POLICY: &str = "
environment: development
sources: { connection_rate: off, connections_per_ip_max: 5, failed_auth_rate: off }
origins: { allow: ['https://app.example.com', 'https://*.example.org'], localhost: off, same_host: off, missing: allow }
identity:
  keys: [{ algorithm: HS256, secret: 'fuzzed-and-known-to-nobody-else!' }]
  issuers: [https://issuer.example]
  audiences: [app]
routes:
  - { path: /open, name: open, upstream: 'ws://b', authenticate: off, http: pass }
  - { path: /maybe, name: maybe, upstream: 'ws://b', authenticate: optional }
  - { path: '/ws/{user_id}', name: bound, upstream: 'ws://b', authenticate: required, bind: { user_id: subject } }
  - { path: '/files/{a}/{b}', name: files, upstream: 'ws://b/base', authenticate: required,
      credentials: [header, cookie, query, subprotocol, first_message], refuse_with: close }
";

struct Nothing;

impl Outside for Nothing {
    fn var(&self, _: &str) -> Option<String> {
        None
    }

    fn vars(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn read(&self, _: &Path) -> Result<Vec<u8>, String> {
        Err("no files here".into())
    }
}

/// The policy of these targets.
///
/// # Panics
/// It is refused.
pub fn checked() -> Checked {
    let source = Source { name: "fuzz.yaml", text: POLICY };
    load(Some(source), &Overrides::default(), &Nothing).unwrap_or_else(|errors| panic!("{errors}")).checked
}

/// The present.
pub fn now() -> Now {
    Now { mono: Duration::from_secs(1000), wall: Duration::from_secs(NOW_UNIX_S) }
}
