//! `geo` and `threat_lists`: countries that exist, lists that need a database, sources that can be asked.

use std::path::PathBuf;
use std::time::Duration;

use super::{Checking, is_loopback_url};
use crate::policy::checked::{Geo, ListLocation, ThreatListSpec};
use crate::policy::human::AsNumber;
use crate::policy::nearest::nearest;
use crate::policy::raw;
use crate::policy::read::clip;
use crate::policy::tree::KeyPath;
use crate::reputation::{Country, LISTS_MAX};

/// Autonomous systems listed.
const NETWORKS_MAX: usize = 10_000;
/// Bytes of a list that may be allowed.
const LIST_BYTES: std::ops::RangeInclusive<u64> = 1..=256 << 20;
/// Longest name of a list, bytes.
const NAME_BYTES_MAX: usize = 64;

impl Checking<'_> {
    pub(super) fn geo(&mut self, at: &KeyPath, raw: Option<&raw::Geo>) -> Option<Geo> {
        let raw = self.need(at, raw, "write the section")?;
        let refresh = self.positive(at, "refresh", raw.refresh);
        let allow_countries = self.countries(at, "allow_countries", raw.allow_countries.as_deref());
        let deny_countries = self.countries(at, "deny_countries", raw.deny_countries.as_deref());
        let allow_networks = self.networks(at, "allow_networks", raw.allow_networks.as_deref());
        let deny_networks = self.networks(at, "deny_networks", raw.deny_networks.as_deref());
        let unknown = self.set(at, "unknown", raw.unknown);
        let lists = [
            ("allow_countries", raw.allow_countries.is_some(), "countries_file", raw.countries_file.is_none()),
            ("deny_countries", raw.deny_countries.is_some(), "countries_file", raw.countries_file.is_none()),
            ("allow_networks", raw.allow_networks.is_some(), "networks_file", raw.networks_file.is_none()),
            ("deny_networks", raw.deny_networks.is_some(), "networks_file", raw.networks_file.is_none()),
        ];
        let mut blind = false;
        for (list, _, file, _) in lists.into_iter().filter(|(_, written, _, no_file)| *written && *no_file) {
            blind = true;
            self.fault(
                &at.key(list),
                format!("there is no `geo.{file}` to know it by"),
                format!("name one: `{file}: …mmdb`"),
            );
        }
        let file = |key: &str, written: Option<&String>| written.map(|written| self.resolve(&at.key(key), written));
        let countries_file: Option<PathBuf> = file("countries_file", raw.countries_file.as_ref());
        let networks_file = file("networks_file", raw.networks_file.as_ref());
        if blind {
            return None;
        }
        Some(Geo {
            countries_file,
            networks_file,
            refresh: refresh?,
            allow_countries: allow_countries?,
            deny_countries: deny_countries?,
            allow_networks: allow_networks?,
            deny_networks: deny_networks?,
            unknown_allowed: matches!(unknown?, raw::UnknownLocation::Allow),
        })
    }

    fn countries(&mut self, at: &KeyPath, key: &str, written: Option<&[String]>) -> Option<Vec<Country>> {
        let Some(written) = written else { return Some(Vec::new()) };
        let at = at.key(key);
        self.some_are_named(&at, written)?;
        self.each(&at, written, |checking, at, code| {
            let country = Country::in_use(code.trim());
            if country.is_none() {
                let help = match code.trim() {
                    "UK" | "uk" => "the United Kingdom is `GB`".to_owned(),
                    code => match nearest(code, Country::codes()) {
                        Some(near) if code.len() == 2 => format!("write an ISO 3166-1 code, as `{near}`"),
                        _ => "write an ISO 3166-1 code of two letters, as `DE`".to_owned(),
                    },
                };
                checking.fault(at, format!("`{}` is no country", clip(code)), help);
            }
            country
        })
    }

    fn networks(&mut self, at: &KeyPath, key: &str, written: Option<&[AsNumber]>) -> Option<Vec<u32>> {
        let Some(written) = written else { return Some(Vec::new()) };
        let at = at.key(key);
        self.some_are_named(&at, written)?;
        if written.len() > NETWORKS_MAX {
            let message = format!("there are {} networks", written.len());
            self.fault(&at, message, format!("keep at most {NETWORKS_MAX}"));
            return None;
        }
        Some(written.iter().map(|number| number.0).collect())
    }

    /// An empty list of the allowed would mean everybody, which nobody writes it for.
    fn some_are_named<T>(&mut self, at: &KeyPath, written: &[T]) -> Option<()> {
        if written.is_empty() && !self.incomplete {
            self.fault(at, "the list is empty", "list at least one, or leave the key out");
            return None;
        }
        Some(())
    }

    pub(super) fn threat_lists(
        &mut self,
        at: &KeyPath,
        raw: Option<&Vec<raw::ThreatList>>,
    ) -> Option<Vec<ThreatListSpec>> {
        let written = raw.map(Vec::as_slice).unwrap_or_default();
        if written.len() > LISTS_MAX {
            self.fault(at, format!("there are {} lists", written.len()), format!("keep at most {LISTS_MAX}"));
            return None;
        }
        let lists = self.each(at, written, Self::threat_list)?;
        for (position, list) in lists.iter().enumerate() {
            if lists.iter().take(position).any(|earlier| earlier.name == list.name) {
                let message = format!("the name `{}` stands twice", clip(&list.name));
                self.fault(&at.index(position).key("name"), message, "give each list a name of its own");
                return None;
            }
        }
        Some(lists)
    }

    fn threat_list(&mut self, at: &KeyPath, raw: &raw::ThreatList) -> Option<ThreatListSpec> {
        let name = self.need(&at.key("name"), raw.name.as_ref(), "name it, as `name: drop`");
        let name = name.and_then(|name| {
            let fits = !name.is_empty()
                && name.len() <= NAME_BYTES_MAX
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
            if !fits {
                let help = format!("write 1 to {NAME_BYTES_MAX} letters, digits, `-`, `_` or `.`");
                self.fault(&at.key("name"), format!("`{}` is no name of a list", clip(name)), help);
            }
            fits.then(|| name.clone())
        });
        let location = match (&raw.file, &raw.url) {
            (Some(file), None) => Some(ListLocation::File(self.resolve(&at.key("file"), file))),
            (None, Some(url)) => self.list_url(&at.key("url"), url),
            (Some(_), Some(_)) => {
                self.fault(&at.key("url"), "a list has a `file` or a `url`, not both", "keep one");
                None
            }
            (None, None) => {
                self.fault(at, "the list is nowhere", "name a `file` or a `url`");
                None
            }
        };
        let refresh = raw.refresh.map_or(Duration::from_secs(3600), |span| span.0);
        let often = refresh < Duration::from_secs(1);
        if often {
            self.fault(&at.key("refresh"), "a list is read at most once a second", "write a longer time, as `1h`");
        }
        let bytes_max = self.within(&at.key("bytes_max"), raw.bytes_max.map_or(16 << 20, |bytes| bytes.0), LIST_BYTES);
        Some(ThreatListSpec {
            name: name?,
            location: location?,
            refresh: Some(refresh).filter(|_| !often)?,
            bytes_max: usize::try_from(bytes_max?).ok()?,
            observe: matches!(raw.action, Some(raw::ListAction::Observe)),
        })
    }

    fn list_url(&mut self, at: &KeyPath, written: &str) -> Option<ListLocation> {
        let parsed: Option<http::Uri> = written.parse().ok();
        let named = parsed.as_ref().and_then(http::Uri::authority).is_some_and(|a| !a.host().is_empty());
        match parsed.as_ref().and_then(http::Uri::scheme_str) {
            Some("https") if named => Some(ListLocation::Url(written.to_owned())),
            Some("http") if named && is_loopback_url(written) => Some(ListLocation::Url(written.to_owned())),
            Some("http") if named => {
                let help = "use `https://`; whoever stands on the way could choose whom you refuse";
                self.fault(at, "a list over plain `http://` is for loopback only", help);
                None
            }
            _ => {
                self.fault(at, format!("`{}` is not a URL", clip(written)), "write `https://lists.example/drop.txt`");
                None
            }
        }
    }
}
