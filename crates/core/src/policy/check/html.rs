//! `html`: the allow-list of each direction. Decides that nothing on it runs, loads or hides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Checking;
use crate::message::html::{ATTRIBUTES_REFUSED, Allowed, SCHEMES_REFUSED, TAGS_REFUSED, is_handler};
use crate::policy::checked::{Html, JsonMode};
use crate::policy::raw;
use crate::policy::read::clip;
use crate::policy::tree::KeyPath;

/// Most fields, elements, attributes, schemes or domains of a list.
const NAMES_MAX: usize = 1000;
const TAGS: [&str; 8] = ["b", "i", "u", "strong", "em", "code", "pre", "a"];
const LINK_ATTRIBUTES: [&str; 2] = ["href", "title"];
const SCHEMES: [&str; 3] = ["https", "http", "mailto"];

/// What is allowed where the operator says nothing of it.
pub(super) fn default_allowed() -> Allowed {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Allowed {
        tags: owned(&TAGS),
        attributes: BTreeMap::from([("a".to_owned(), owned(&LINK_ATTRIBUTES))]),
        schemes: owned(&SCHEMES),
        blocked_domains: Arc::new(BTreeSet::new()),
    }
}

impl Checking<'_> {
    #[expect(clippy::option_option, reason = "the outer says whether it is right, the inner whether it is on")]
    pub(super) fn html(&mut self, at: &KeyPath, raw: &raw::Messages) -> Option<Option<Html>> {
        let Some(html) = &raw.html else { return Some(None) };
        let path = at.key("html");
        let fields = self.need(&path.key("fields"), html.fields.as_ref(), "name the fields, as `fields: [/text]`")?;
        if fields.is_empty() {
            return Some(None);
        }
        let mode = at.key("json").key("mode");
        let off = raw.json.as_ref().and_then(|json| json.mode) == Some(JsonMode::Off);
        if off && self.is_operators(&mode) {
            self.fault(
                &mode,
                "fields of HTML need JSON, which is off",
                "write `required` or `detect`, or leave it out",
            );
        }
        let fields = self.each(&path.key("fields"), fields, |checking, at, text| checking.pointer(at, text));
        let tags = self.names(&path.key("tags"), html.tags.as_ref(), &TAGS, |tag| {
            TAGS_REFUSED.contains(&tag).then_some("runs, loads or changes how the rest is read")
        });
        let attributes = self.attributes(&path.key("attributes"), html);
        let schemes = self.names(&path.key("schemes"), html.schemes.as_ref(), &SCHEMES, |scheme| {
            SCHEMES_REFUSED.contains(&scheme).then_some("runs what it holds, or hides it")
        });
        let domains = self.names(&path.key("blocked_domains"), html.blocked_domains.as_ref(), &[], |_| None);
        let (tags, attributes) = (tags?, attributes?);
        if let Some(tag) = attributes.keys().find(|tag| !tags.contains(*tag)) {
            let message = format!("`{}` has attributes and is not among `tags`", clip(tag));
            self.fault(&path.key("attributes").key(tag), message, "add it to `tags`, or take its attributes out");
            return None;
        }
        let allowed = Allowed { tags, attributes, schemes: schemes?, blocked_domains: Arc::new(domains?) };
        Some(Some(Html { fields: fields?, allowed }))
    }

    fn attributes(&mut self, at: &KeyPath, html: &raw::Html) -> Option<BTreeMap<String, BTreeSet<String>>> {
        let Some(written) = &html.attributes else {
            let link = html.tags.as_ref().is_none_or(|tags| tags.iter().any(|tag| tag == "a"));
            let link = link.then(|| ("a".to_owned(), LINK_ATTRIBUTES.map(str::to_owned).into()));
            return Some(link.into_iter().collect());
        };
        let mut attributes = BTreeMap::new();
        for (tag, names) in written {
            let names = self.names(&at.key(tag), Some(names), &[], |name| {
                let refused = is_handler(name) || ATTRIBUTES_REFUSED.contains(&name);
                refused.then_some("runs what it holds, or is written by the gateway")
            })?;
            attributes.insert(tag.to_ascii_lowercase(), names);
        }
        Some(attributes)
    }

    /// A list of names in lower case; without one `default`. `refused` says why one may not stand there.
    fn names(
        &mut self,
        at: &KeyPath,
        written: Option<&Vec<String>>,
        default: &[&str],
        refused: impl Fn(&str) -> Option<&'static str>,
    ) -> Option<BTreeSet<String>> {
        let Some(written) = written else { return Some(default.iter().map(|name| (*name).to_owned()).collect()) };
        if written.len() > NAMES_MAX {
            self.fault(at, format!("there are {} names", written.len()), format!("keep at most {NAMES_MAX}"));
            return None;
        }
        let names = self.each(at, written, |checking, at, name| {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:+".contains(c));
            let why = if is_name { refused(&name) } else { Some("is not a name") };
            let Some(why) = why else { return Some(name) };
            checking.fault(at, format!("`{}` {why}", clip(&name)), "take it out of the list");
            None
        })?;
        Some(names.into_iter().collect())
    }
}
