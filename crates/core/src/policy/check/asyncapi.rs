//! `asyncapi`: a document → the types and schemas of both directions, read once however many routes share it.

use std::collections::HashMap;
use std::sync::Arc;

use super::Checking;
use super::schema::type_at;
use crate::message::asyncapi::{Asked, Contract, Describes, read};
use crate::policy::document;
use crate::policy::human::OrOff;
use crate::policy::raw;
use crate::policy::tree::KeyPath;

/// Contracts read so far, by everything they depend on; `None` for one whose faults were told.
pub(super) type Known = HashMap<(String, Describes, Option<Vec<String>>, [String; 2]), Option<Arc<Contract>>>;

impl Checking<'_> {
    /// What the route's document says; `None` without one, and where faults were told.
    pub(super) fn contract(&mut self, route: &KeyPath, raw: &raw::Route) -> Option<Arc<Contract>> {
        let at = route.key("asyncapi");
        let Some(OrOff::On(written)) = &raw.asyncapi else { return None };
        let file = self.need(&at.key("file"), written.file.as_ref(), "write `file: asyncapi.yaml`")?;
        let describes = written.describes.unwrap_or(Describes::Backend);
        if written.channels.as_ref().is_some_and(Vec::is_empty) {
            self.fault(&at.key("channels"), "the list of channels is empty", "name one, or leave it out for all");
            return None;
        }
        let place = at.key("file");
        let types = [type_at(raw.inbound.as_ref()), type_at(raw.outbound.as_ref())];
        let key =
            (self.resolve(&place, file).display().to_string(), describes, written.channels.clone(), types.clone());
        if let Some(known) = self.contracts.get(&key) {
            return known.clone();
        }
        let contract = self.document_file(&place, file).and_then(|node| {
            let [inbound_type_at, outbound_type_at] = &types;
            let asked = Asked { describes, channels: written.channels.as_deref(), inbound_type_at, outbound_type_at };
            match read(&document::value(&node), &asked) {
                Ok(contract) => Some(Arc::new(contract)),
                Err(mistakes) => {
                    for mistake in &mistakes {
                        self.document_fault(&place, &node, file, mistake);
                    }
                    None
                }
            }
        });
        self.contracts.insert(key, contract.clone());
        contract
    }
}
