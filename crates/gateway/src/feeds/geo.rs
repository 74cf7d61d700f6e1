//! The two databases of `geo`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis_core::policy::Policy;
use portcullis_core::policy::checked::Geo;
use portcullis_core::reputation::{Atlas, AtlasError, Chart};

use super::{DATABASE_BYTES_MAX, FeedError, FeedGauge, Mark, lock, read_bounded, tell};
use crate::shared::Shared;

const KEYS: [&str; 2] = ["countries_file", "networks_file"];

/// What is in force, and what it was read from.
#[derive(Default)]
pub(super) struct Held {
    files: [Option<(PathBuf, Mark)>; 2],
    loaded_unix_s: [u64; 2],
    failed: bool,
}

/// What was read and is not in force yet.
pub(super) struct Fresh {
    atlas: Atlas,
    files: [Option<(PathBuf, Mark)>; 2],
}

impl Held {
    /// Reads what differs from what is in force; nothing where nothing does.
    pub(super) fn read(&self, atlas: &Atlas, spec: &Geo) -> Result<Option<Fresh>, FeedError> {
        let [countries, networks] = &self.files;
        let (countries_before, networks_before) = (atlas.countries.as_ref(), atlas.networks.as_ref());
        let (countries_file, countries) =
            one(KEYS[0], spec.countries_file.as_deref(), countries.as_ref(), countries_before, Chart::countries)?;
        let (networks_file, networks) =
            one(KEYS[1], spec.networks_file.as_deref(), networks.as_ref(), networks_before, Chart::networks)?;
        let fresh = Fresh { atlas: Atlas { countries, networks }, files: [countries_file, networks_file] };
        Ok((fresh.files != self.files).then_some(fresh))
    }

    pub(super) fn install(&mut self, shared: &Shared, fresh: Fresh) {
        let now = shared.clock.now().wall.as_secs();
        let states = self.files.iter().zip(&fresh.files).zip(&mut self.loaded_unix_s).zip(KEYS);
        for (((before, after), loaded), key) in states {
            match after {
                Some((path, _)) if before != after => {
                    *loaded = now;
                    tell(shared, false, Ok(format!("`geo.{key}`, `{}`, is in force", path.display())));
                }
                Some(_) => {}
                None => *loaded = 0,
            }
        }
        self.files = fresh.files;
        self.failed = false;
        shared.gate.provenance().set_atlas(fresh.atlas);
    }

    pub(super) fn gauges(&self, atlas: &Atlas) -> Vec<FeedGauge> {
        let sizes =
            [atlas.countries.as_ref().map(|chart| chart.ranges()), atlas.networks.as_ref().map(|chart| chart.ranges())];
        let named = ["countries", "networks"].into_iter().zip(sizes).zip(self.loaded_unix_s);
        let gauge = |((name, networks), loaded_unix_s): ((&str, Option<usize>), u64)| {
            let (kind, name, sound) = ("database", name.to_owned(), !self.failed);
            Some(FeedGauge { kind, name, networks: networks?, loaded_unix_s, sound })
        };
        named.filter_map(gauge).collect()
    }
}

type Read<V> = (Option<(PathBuf, Mark)>, Option<Arc<Chart<V>>>);

fn one<V>(
    key: &'static str,
    path: Option<&Path>,
    held: Option<&(PathBuf, Mark)>,
    chart: Option<&Arc<Chart<V>>>,
    read: impl Fn(&[u8]) -> Result<Chart<V>, AtlasError>,
) -> Result<Read<V>, FeedError> {
    let Some(path) = path else { return Ok((None, None)) };
    let shown = || path.display().to_string();
    let unreadable = |source| FeedError::DatabaseFile { key, path: shown(), source };
    // The mark before the content: what is written meanwhile is read the next time.
    let file = (path.to_owned(), Mark::of(path).map_err(unreadable)?);
    if let (Some(chart), true) = (chart, held == Some(&file)) {
        return Ok((Some(file), Some(Arc::clone(chart))));
    }
    let bytes = read_bounded(path, DATABASE_BYTES_MAX).map_err(unreadable)?;
    let chart = read(&bytes).map_err(|source| FeedError::Database { key, path: shown(), source })?;
    Ok((Some(file), Some(Arc::new(chart))))
}

/// Looks at the files, and reads those that changed.
pub(super) fn refresh(shared: &Shared, policy: &Policy) {
    let feeds = &shared.feeds;
    let _one_at_a_time = lock(&feeds.loading);
    let read = lock(&feeds.geo).read(&shared.gate.provenance().atlas(), &policy.checked.geo);
    let mut held = lock(&feeds.geo);
    match read {
        Ok(Some(fresh)) => held.install(shared, fresh),
        Ok(None) if held.failed => {
            held.failed = false;
            tell(shared, true, Ok(String::from("the databases of `geo` are sound again")));
        }
        Ok(None) => {}
        Err(error) => tell(shared, std::mem::replace(&mut held.failed, true), Err(&error)),
    }
}
