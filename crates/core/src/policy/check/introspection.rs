//! `identity.introspection`: an endpoint, and who we are there.

use std::time::Duration;

use super::Checking;
use crate::policy::checked::{ClaimPointers, Introspection};
use crate::policy::raw;
use crate::policy::tree::KeyPath;

const CACHE_TTL_DEFAULT: Duration = Duration::from_secs(30);
/// Longest name, bytes.
const CLIENT_ID_BYTES_MAX: usize = 256;

impl Checking<'_> {
    pub(super) fn introspection(
        &mut self,
        at: &KeyPath,
        raw: &raw::Introspection,
        identity: &raw::Identity,
        claims: Option<&ClaimPointers>,
    ) -> Option<Introspection> {
        let help = "write the endpoint, as `url: https://issuer.example/introspect`";
        let url = self.need(&at.key("url"), raw.url.as_ref(), help);
        let url = url.and_then(|url| self.endpoint_url(&at.key("url"), url, false));
        let client_id =
            self.need(&at.key("client_id"), raw.client_id.clone(), "register the gateway as a client there");
        let client_id = client_id.filter(|id| {
            let fits = (1..=CLIENT_ID_BYTES_MAX).contains(&id.len());
            if !fits {
                self.fault(&at.key("client_id"), "the name is empty or too long", "write it as it is registered");
            }
            fits
        });
        let (inline, file, variable) =
            (raw.client_secret.as_ref(), raw.client_secret_file.as_ref(), raw.client_secret_env.as_ref());
        let secret = match self.secret(at, "client_secret", inline, file, variable) {
            Ok(secret) => {
                self.need(&at.key("client_secret_file"), secret, "name the file that holds the client secret")
            }
            Err(()) => None,
        };
        let asking = self.asking(at, raw.timeout, raw.cache_ttl, CACHE_TTL_DEFAULT, raw.cache_entries_max);
        let claims = claims.and_then(|claims| self.overlaid(&at.key("claims"), raw.claims.as_ref(), claims));
        let asking = asking?;
        Some(Introspection {
            url: url?,
            client_id: client_id?,
            client_secret: secret?,
            issuer: raw.issuer.clone(),
            audiences: raw.audiences.as_ref().or(identity.audiences.as_ref()).cloned().unwrap_or_default(),
            claims: claims?,
            timeout: asking.timeout,
            cache_ttl: asking.cache_ttl,
            cache_entries_max: asking.cache_entries_max,
            private_network: raw.private_network.is_some_and(|on| on.0),
        })
    }

    fn overlaid(&mut self, at: &KeyPath, raw: Option<&raw::Claims>, under: &ClaimPointers) -> Option<ClaimPointers> {
        let mut pointers = under.clone();
        let Some(raw) = raw else { return Some(pointers) };
        let written = [
            ("subject", &raw.subject, &mut pointers.subject),
            ("roles", &raw.roles, &mut pointers.roles),
            ("permissions", &raw.permissions, &mut pointers.permissions),
            ("tenant", &raw.tenant, &mut pointers.tenant),
            ("tenants", &raw.tenants, &mut pointers.tenants),
            ("session", &raw.session, &mut pointers.session),
        ];
        for (key, text, pointer) in written {
            if let Some(text) = text {
                *pointer = self.pointer(&at.key(key), text)?;
            }
        }
        Some(pointers)
    }
}
