//! `sealing`: the keys; `seal` and `unseal` of a direction: the fields.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{Checking, SecretSeen, without_line_end};
use crate::access::Need;
use crate::message::seal::{KEY_BYTES, Keys, stretch};
use crate::policy::checked::{Seal, Unseal};
use crate::policy::raw;
use crate::policy::read::clip;
use crate::policy::tree::KeyPath;

/// Most keys: each passphrase costs a second to read.
const KEYS_MAX: usize = 16;
/// Longest name of a key or a field, bytes.
const NAME_BYTES_MAX: usize = 64;
/// Shortest passphrase.
const PASSPHRASE_BYTES_MIN: usize = 16;

impl Checking<'_> {
    /// The keys; none where the section is missing.
    pub(super) fn sealing(&mut self, at: &KeyPath, raw: Option<&raw::Sealing>) -> Option<Keys> {
        let Some(written) = raw.and_then(|raw| raw.keys.as_deref()) else { return Some(Keys::default()) };
        let at = at.key("keys");
        if written.len() > KEYS_MAX {
            self.fault(&at, format!("there are {} keys", written.len()), format!("keep at most {KEYS_MAX}"));
            return None;
        }
        let mut seen = BTreeSet::new();
        let keys = self.each(&at, written, |checking, at, key| {
            let id = checking.need(&at.key("id"), key.id.clone(), "name the key, as `id: 2026-11`")?;
            checking.seal_name(&at.key("id"), &id)?;
            if !seen.insert(id.clone()) {
                checking.fault(&at.key("id"), format!("two keys are called `{}`", clip(&id)), "give each its own id");
                return None;
            }
            let bytes = checking.seal_key(at, key, &id)?;
            Some((id, bytes))
        })?;
        Some(Keys::new(keys.iter().map(|(id, bytes)| (id.as_str(), &**bytes))))
    }

    fn seal_key(&mut self, at: &KeyPath, key: &raw::SealKey, id: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
        match (&key.key_file, &key.passphrase_file) {
            (Some(file), None) => {
                let path = at.key("key_file");
                let bytes = Zeroizing::new(self.file(&path, file)?);
                let key = key_bytes(&bytes);
                if key.is_none() {
                    let message = "the file holds no key of 32 bytes, nor base64 of one";
                    self.fault(&path, message, "make one: `openssl rand -base64 32 > seal.key`");
                }
                key
            }
            (None, Some(file)) => {
                let path = at.key("passphrase_file");
                let words = Zeroizing::new(without_line_end(self.file(&path, file)?));
                if words.len() < PASSPHRASE_BYTES_MIN {
                    let help = format!("write at least {PASSPHRASE_BYTES_MIN} bytes, or use `key_file`");
                    self.fault(&path, "the passphrase is short", help);
                    return None;
                }
                self.secrets.push(SecretSeen { path, bytes: words.len().max(KEY_BYTES), inline: false });
                Some(stretch(id, &words))
            }
            _ => {
                self.fault(at, "a key is in one file", "write `key_file` or `passphrase_file`");
                None
            }
        }
    }

    fn seal_name(&mut self, at: &KeyPath, name: &str) -> Option<()> {
        let fits = !name.is_empty()
            && name.len() <= NAME_BYTES_MAX
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if !fits {
            let help = format!("use letters, digits, `-` and `_`, at most {NAME_BYTES_MAX}");
            self.fault(at, format!("`{}` is not a name for it", clip(name)), help);
        }
        fits.then_some(())
    }

    #[expect(clippy::option_option, reason = "the outer says whether it is right, the inner whether it is on")]
    pub(super) fn seal(&mut self, at: &KeyPath, raw: &raw::Messages, json_off: bool) -> Option<Option<Seal>> {
        let Some(written) = raw.seal.as_ref().filter(|fields| !fields.is_empty()) else { return Some(None) };
        let at = at.key("seal");
        let fields = self.sealed_fields(&at, written, json_off)?;
        let keys = self.sealing_keys(&at)?;
        Some(Some(Seal { fields, keys }))
    }

    #[expect(clippy::option_option, reason = "the outer says whether it is right, the inner whether it is on")]
    pub(super) fn unseal(&mut self, at: &KeyPath, raw: &raw::Messages, json_off: bool) -> Option<Option<Unseal>> {
        let Some(unseal) = &raw.unseal else { return Some(None) };
        let at = at.key("unseal");
        let help = "name the fields, as `fields: { /card: card }`";
        let written = self.need(&at.key("fields"), unseal.fields.as_ref(), help)?;
        let fields = self.sealed_fields(&at.key("fields"), written, json_off)?;
        let help = "name who may read them, as `permission: cards.read`, or `anyone`";
        let path = at.key("permission");
        let text = self.need(&path, unseal.permission.as_ref(), help)?;
        let permission = self.asked(&path, text)?;
        if matches!(permission, Need::Permission { resource: Some(_), .. }) {
            self.fault(&path, "a permission to open names no resource", "write it without what follows the colon");
            return None;
        }
        let keys = self.sealing_keys(&at)?;
        Some(Some(Unseal { fields, permission, roles: self.roles.clone()?, keys }))
    }

    fn sealed_fields(
        &mut self,
        at: &KeyPath,
        written: &BTreeMap<String, String>,
        json_off: bool,
    ) -> Option<BTreeMap<String, String>> {
        if json_off {
            let help = "set `json.mode` of the direction to `required` or `detect`";
            self.fault(at, "nobody can read a field of a message while JSON is off", help);
            return None;
        }
        let mut fields = BTreeMap::new();
        for (pattern, name) in written {
            let at = at.key(pattern);
            self.seal_name(&at, name)?;
            fields.insert(self.pointer(&at, pattern)?, name.clone());
        }
        Some(fields)
    }

    fn sealing_keys(&mut self, at: &KeyPath) -> Option<Keys> {
        if self.sealing.is_empty() && !self.incomplete {
            let help = "add `sealing: { keys: [{ id: first, key_file: seal.key }] }`";
            self.fault(at, "there is no key to seal or open with", help);
            return None;
        }
        Some(self.sealing.clone())
    }
}

/// 32 bytes as they are, or their base64.
fn key_bytes(bytes: &[u8]) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    if let Ok(key) = <[u8; KEY_BYTES]>::try_from(bytes) {
        return Some(Zeroizing::new(key));
    }
    let decoded = Zeroizing::new(STANDARD.decode(bytes.trim_ascii()).ok()?);
    <[u8; KEY_BYTES]>::try_from(decoded.as_slice()).ok().map(Zeroizing::new)
}
