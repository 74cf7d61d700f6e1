//! `threats`: outcomes by class, and by class in a field.

use std::collections::BTreeMap;

use super::Checking;
use crate::policy::checked::{Html, OnRefuse, ThreatClass, ThreatOutcomes, Threats};
use crate::policy::raw::{self, ThreatMode};
use crate::policy::tree::KeyPath;

/// Most layers of encoding: each multiplies the work.
const DECODE_LAYERS_MAX: u8 = 8;

impl Checking<'_> {
    #[expect(clippy::option_option, reason = "the outer says whether it is right, the inner whether it is on")]
    pub(super) fn threats(
        &mut self,
        at: &KeyPath,
        raw: Option<&raw::Threats>,
        html: Option<&Html>,
    ) -> Option<Option<Threats>> {
        let raw = self.need(at, raw, "write the section")?;
        let mode = self.set(at, "mode", raw.mode);
        let layers = self.bounded(at, "decode_layers_max", raw.decode_layers_max, 0..=DECODE_LAYERS_MAX);
        let skip = raw.skip_fields.as_deref().unwrap_or_default();
        let skip_fields = self.each(&at.key("skip_fields"), skip, |checking, at, text| checking.pointer(at, text));
        let mode = mode?;
        let classes = self.threat_outcomes(at, Some(mode), raw.classes.as_ref(), &ThreatOutcomes::new());
        let mut fields = BTreeMap::new();
        for (pattern, field) in raw.fields.iter().flatten() {
            let here = at.key("fields").key(pattern);
            let pattern = self.pointer(&here, pattern)?;
            fields.insert(pattern, self.threat_outcomes(&here, field.mode, field.classes.as_ref(), &classes));
        }
        let threats = Threats {
            skip_fields: skip_fields?,
            decode_layers_max: layers?,
            confidence: raw.confidence.unwrap_or_default(),
            sanitized: Some(html.map_or_else(super::html::default_allowed, |html| html.allowed.clone())),
            classes,
            fields,
        };
        let on = !threats.classes.is_empty() || threats.fields.values().any(|field| !field.is_empty());
        Some(on.then_some(threats))
    }

    /// What a class's own mode does not say, `mode` says; what neither says, stays as `otherwise`.
    fn threat_outcomes(
        &mut self,
        at: &KeyPath,
        mode: Option<ThreatMode>,
        named: Option<&BTreeMap<ThreatClass, ThreatMode>>,
        otherwise: &ThreatOutcomes,
    ) -> ThreatOutcomes {
        const WHY: &str = "only `xss` can be sanitized";
        const HELP: &str = "write `sanitize` under `classes: { xss: sanitize }`, and another mode for the rest";
        if mode == Some(ThreatMode::Sanitize) {
            self.fault(&at.key("mode"), WHY, HELP);
        }
        let mut outcomes = ThreatOutcomes::new();
        for &class in ThreatClass::ALL {
            let own = named.and_then(|named| named.get(&class)).copied();
            if own == Some(ThreatMode::Sanitize) && class != ThreatClass::Xss {
                self.fault(&at.key("classes").key(class.label()), WHY, HELP);
            }
            let outcome = own.or(mode).map_or_else(|| otherwise.get(&class).copied(), outcome);
            outcomes.extend(outcome.map(|outcome| (class, outcome)));
        }
        outcomes
    }
}

const fn outcome(mode: ThreatMode) -> Option<OnRefuse> {
    match mode {
        ThreatMode::Off => None,
        ThreatMode::Observe => Some(OnRefuse::Observe),
        ThreatMode::Sanitize => Some(OnRefuse::Sanitize),
        ThreatMode::Drop => Some(OnRefuse::Drop),
        ThreatMode::Block | ThreatMode::Reply => Some(OnRefuse::Reply),
        ThreatMode::Close => Some(OnRefuse::Close),
    }
}
