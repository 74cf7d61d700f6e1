//! `identity.renewal`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Checking;
use crate::policy::checked::{Algorithm, StaticKey, TokenRenewal};
use crate::policy::nearest::nearest;
use crate::policy::raw;
use crate::policy::read::clip;
use crate::policy::tree::KeyPath;

const TTL_DEFAULT: Duration = Duration::from_secs(900);
const TTL: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(86_400);
const LIFE_DEFAULT: Duration = Duration::from_secs(12 * 3600);
const LIFE_MAX: Duration = Duration::from_secs(366 * 86_400);

impl Checking<'_> {
    pub(super) fn renewal(
        &mut self,
        at: &KeyPath,
        raw: &raw::Renewal,
        keys: Option<&[StaticKey]>,
    ) -> Option<TokenRenewal> {
        let ttl = raw.ttl.map_or(TTL_DEFAULT, |ttl| ttl.0);
        if !TTL.contains(&ttl) {
            self.fault(&at.key("ttl"), "a fresh token lasts 10 seconds to a day", "write `ttl: 15m`");
        }
        let life_max = raw.life_max.map_or(LIFE_DEFAULT, |life| life.0);
        if !(ttl..=LIFE_MAX).contains(&life_max) {
            let help = "write at least `ttl` and at most a year, as `life_max: 12h`";
            self.fault(&at.key("life_max"), "the life is out of bounds", help);
        }
        let at = at.key("key");
        let named = self.need(&at, raw.key.as_ref(), "name a key of `identity.keys` by its `id`, as `key: k1`")?;
        let keys = keys?;
        let Some(key) = keys.iter().find(|key| key.id.as_ref() == Some(named)) else {
            let near = nearest(named, keys.iter().filter_map(|key| key.id.as_deref()));
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => String::from("name one by its `id`, as `keys: [{ id: k1, algorithm: HS256, secret_file: … }]`"),
            };
            self.fault(&at, format!("no key of `identity.keys` has the id `{}`", clip(named)), help);
            return None;
        };
        if !matches!(key.algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512) {
            let message = format!("`{}` only verifies: the gateway has no private key of it", clip(named));
            self.fault(&at, message, "name a key of HS256, HS384 or HS512");
            return None;
        }
        let (algorithm, secret) = (key.algorithm, key.material.clone());
        let fits = TTL.contains(&ttl) && (ttl..=LIFE_MAX).contains(&life_max);
        fits.then(|| TokenRenewal { key_id: named.clone(), algorithm, secret, ttl, life_max })
    }
}
