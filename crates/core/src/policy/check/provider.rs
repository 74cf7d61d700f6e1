//! `identity.providers`: each issuer once, at a URL that may be asked. Decides nothing about what a provider answers;
//! that is the identity room's.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Checking;
use super::identity::is_loopback;
use crate::policy::checked::{BackchannelLogout, JwksLocation, JwksSource, LogoutEnds, Provider};
use crate::policy::raw;
use crate::policy::read::clip;
use crate::policy::tree::KeyPath;

/// Most providers: each is asked over the network again and again.
const PROVIDERS_MAX: usize = 64;
/// Longest issuer, bytes.
const ISSUER_BYTES_MAX: usize = 512;
const LOGOUT_LASTS_DEFAULT: Duration = Duration::from_secs(24 * 3600);
const LOGOUT_LASTS: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(30 * 86_400);

impl Checking<'_> {
    /// The key sets of the providers.
    pub(super) fn providers(&mut self, at: &KeyPath, raw: &raw::Identity) -> Option<Vec<JwksSource>> {
        let written = raw.providers.as_deref().unwrap_or_default();
        if written.len() > PROVIDERS_MAX {
            self.fault(at, format!("there are more than {PROVIDERS_MAX} providers"), "keep those whose users connect");
            return None;
        }
        let mut issuers: Vec<&str> = Vec::new();
        let mut sources = Vec::new();
        for (position, provider) in written.iter().enumerate() {
            let at = at.index(position);
            let source = self.provider(&at, provider, raw);
            if let Some(issuer) = provider.issuer.as_deref() {
                if issuers.contains(&issuer) {
                    let message = format!("the issuer `{}` stands twice", clip(issuer));
                    self.fault(&at.key("issuer"), message, "keep one; its `audiences` is a list");
                }
                issuers.push(issuer);
            }
            sources.push(source);
        }
        sources.into_iter().collect()
    }

    fn provider(&mut self, at: &KeyPath, raw: &raw::Provider, identity: &raw::Identity) -> Option<JwksSource> {
        let help = "write the issuer, as `issuer: https://clerk.example.com`";
        let issuer = self.need(&at.key("issuer"), raw.issuer.as_ref(), help);
        let issuer = issuer.and_then(|issuer| self.issuer(&at.key("issuer"), issuer));
        let (refresh, bytes, keys) = (raw.refresh, raw.bytes_max, raw.keys_max);
        let source = self.key_source(at, raw.algorithms.as_deref(), refresh, bytes, keys);
        let either = |own: &Option<Vec<String>>, all: &Option<Vec<String>>| own.as_ref().or(all.as_ref()).cloned();
        let logout = raw.backchannel_logout.as_ref();
        let logout = logout.map(|written| self.backchannel_logout(&at.key("backchannel_logout"), written, identity));
        let issuer = issuer?;
        let provider = Provider {
            backchannel_logout: logout.map_or(Some(None), |one| one.map(Some))?,
            issuer: issuer.clone(),
            audiences: either(&raw.audiences, &identity.audiences).unwrap_or_default(),
            authorized_parties: either(&raw.authorized_parties, &identity.authorized_parties).unwrap_or_default(),
            private_network: raw.private_network.is_some_and(|on| on.0),
        };
        Some(JwksSource { location: JwksLocation::Issuer(issuer), provider: Some(provider), ..source? })
    }

    fn backchannel_logout(
        &mut self,
        at: &KeyPath,
        raw: &raw::BackchannelLogout,
        identity: &raw::Identity,
    ) -> Option<BackchannelLogout> {
        let path = self.need(&at.key("path"), raw.path.as_ref(), "write it as `path: /auth/logout`");
        let path = path.and_then(|path| self.own_path(&at.key("path"), path));
        let help = "write the `aud` of its logout tokens, as `client_id: chat`";
        let client_id = self.need(&at.key("client_id"), raw.client_id.as_ref(), help);
        let lasts = raw.lasts.map_or(LOGOUT_LASTS_DEFAULT, |lasts| lasts.0);
        if !LOGOUT_LASTS.contains(&lasts) {
            self.fault(&at.key("lasts"), "the time is out of bounds", "write 1 minute to 30 days, as `lasts: 24h`");
            return None;
        }
        let subject = identity.claims.as_ref().and_then(|claims| claims.subject.as_deref());
        if subject.is_some_and(|pointer| pointer != "/sub") {
            let message =
                "a logout token names its subject in `sub`, and `identity.claims.subject` reads another claim";
            self.fault(at, message, "read the subject from `/sub`, or leave the logout out");
            return None;
        }
        let ends = raw.ends.unwrap_or(LogoutEnds::Session);
        Some(BackchannelLogout { path: path?, client_id: client_id?.clone(), ends, lasts })
    }

    /// OpenID Connect Discovery 1.0, 3: a URL without query and fragment.
    fn issuer(&mut self, at: &KeyPath, written: &str) -> Option<String> {
        let parsed: Option<http::Uri> = written.parse().ok();
        let authority = parsed.as_ref().and_then(http::Uri::authority);
        let plain = authority
            .is_some_and(|authority| !authority.host().is_empty() && !authority.as_str().contains('@'))
            && !written.contains(['?', '#'])
            && written.len() <= ISSUER_BYTES_MAX;
        match parsed.as_ref().and_then(http::Uri::scheme_str) {
            Some("https") if plain => Some(written.to_owned()),
            Some("http") if plain && authority.is_some_and(|authority| is_loopback(authority.host())) => {
                Some(written.to_owned())
            }
            Some("http") if plain => {
                let help = "use `https://`; whoever stands on the way could swap the keys";
                self.fault(at, "a provider over plain `http://` is for loopback only", help);
                None
            }
            _ => {
                let message = format!("`{}` is not an issuer", clip(written));
                self.fault(at, message, "write it as its tokens name it in `iss`: `https://issuer.example`");
                None
            }
        }
    }
}
