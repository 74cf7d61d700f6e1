//! `binaries`: kinds, sizes and formats of binary messages.

use super::Checking;
use super::listen::rate;
use super::message::MESSAGE_BYTES_MAX;
use crate::message::binary::KINDS;
use crate::policy::checked::{Binaries, JsonMode};
use crate::policy::nearest::nearest;
use crate::policy::raw;
use crate::policy::read::clip;
use crate::policy::tree::KeyPath;

impl Checking<'_> {
    #[expect(clippy::option_option, reason = "the outer says whether it is right, the inner whether it is on")]
    pub(super) fn binaries(&mut self, at: &KeyPath, raw: &raw::Messages) -> Option<Option<Binaries>> {
        let Some(binaries) = &raw.binaries else { return Some(None) };
        let path = at.key("binaries");
        let kinds = match &binaries.kinds {
            None => None,
            Some(names) => {
                let names = self.each(&path.key("kinds"), names, |checking, at, name| checking.kind(at, name));
                Some(names?.into_iter().collect())
            }
        };
        let bytes_max = match binaries.bytes_max {
            None => None,
            Some(bytes) => Some(self.within(&path.key("bytes_max"), bytes.0, 1..=MESSAGE_BYTES_MAX)?),
        };
        let mode = at.key("json").key("mode");
        let off = raw.json.as_ref().and_then(|json| json.mode) == Some(JsonMode::Off);
        if binaries.read_as.is_some() && off && self.is_operators(&mode) {
            self.fault(
                &mode,
                "`binaries.read_as` needs JSON, which is off",
                "write `required` or `detect`, or leave it out",
            );
        }
        Some(Some(Binaries { kinds, bytes_max, rate: binaries.rate.map(rate), read_as: binaries.read_as }))
    }

    fn kind(&mut self, at: &KeyPath, name: &str) -> Option<String> {
        if KINDS.contains(&name) {
            return Some(name.to_owned());
        }
        let help = match nearest(name, KINDS.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write a kind that `docs/messages.md` names, as `png`, `pdf` or `octet-stream`".to_owned(),
        };
        self.fault(at, format!("`{}` is no kind that is told apart", clip(name)), help);
        None
    }
}
