//! A document and the references inside it. Nothing is fetched.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use serde_json::{Map, Value};

use super::mistake;
use crate::message::schema::{SchemaError, each_reference};

/// References followed one after another; more is a circle.
const HOPS_MAX: usize = 32;
/// Schemas that one message may reach.
const REACHED_MAX: usize = 4096;
/// What need not be encoded in a fragment that is a JSON Pointer.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'~').remove(b'-').remove(b'_').remove(b'.');

/// A JSON Pointer as a reference.
pub(super) fn reference(pointer: &str) -> String {
    format!("#{}", percent_encoding::utf8_percent_encode(pointer, PLAIN))
}

/// One step of a JSON Pointer.
pub(super) fn step(key: &str) -> String {
    format!("/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// The last step of a JSON Pointer, as a key.
pub(super) fn last_key(pointer: &str) -> String {
    pointer.rsplit('/').next().unwrap_or_default().replace("~1", "/").replace("~0", "~")
}

/// An AsyncAPI document.
pub(super) struct Document<'d>(&'d Value);

impl<'d> Document<'d> {
    pub(super) const fn new(value: &'d Value) -> Self {
        Self(value)
    }

    pub(super) fn get(&self, key: &str) -> Option<&'d Value> {
        self.0.get(key)
    }

    pub(super) fn at(&self, pointer: &str) -> Option<&'d Value> {
        self.0.pointer(pointer)
    }

    /// The keys of an object, with the pointers of their values.
    pub(super) fn members(&self, pointer: &str) -> Vec<(&'d String, String)> {
        let members = self.at(pointer).and_then(Value::as_object).into_iter().flatten();
        members.map(|(key, _)| (key, format!("{pointer}{}", step(key)))).collect()
    }

    /// Where a `$ref` at `pointer` leads, if one stands there: one hop.
    pub(super) fn target(&self, pointer: &str) -> Result<Option<String>, SchemaError> {
        let Some(target) = self.at(pointer).and_then(|value| value.get("$ref")) else { return Ok(None) };
        let place = format!("{pointer}/$ref");
        let Some(target) = target.as_str() else {
            return Err(mistake(&place, "a `$ref` is text".to_owned(), "write `#/components/messages/NAME`"));
        };
        let Some(fragment) = target.strip_prefix('#') else {
            let help = "nothing is fetched: copy what it means under `components` and write `#/components/…`";
            return Err(mistake(&place, format!("`{target}` leads out of this document"), help));
        };
        let inner = percent_encoding::percent_decode_str(fragment).decode_utf8_lossy().into_owned();
        if self.at(&inner).is_none() {
            let help = "define it under `components`, or correct the reference";
            return Err(mistake(&place, format!("`{target}` leads to nothing in this document"), help));
        }
        Ok(Some(inner))
    }

    /// What stands at a pointer once references are followed, and where that is.
    pub(super) fn follow(&self, pointer: &str) -> Result<(String, &'d Value), SchemaError> {
        let mut at = pointer.to_owned();
        for _ in 0..HOPS_MAX {
            match self.target(&at)? {
                Some(next) => at = next,
                None => {
                    let found = self.at(&at);
                    return found.map(|value| (at.clone(), value)).ok_or_else(|| {
                        mistake(&at, "nothing stands here".to_owned(), "define it, or correct what leads to it")
                    });
                }
            }
        }
        Err(mistake(pointer, "references lead in a circle".to_owned(), "let one of them say what it means"))
    }

    /// Copies what a schema reaches into `root`, each at its own place, so that references hold and pointers are those
    /// of the document. `schemas` takes the pointers.
    pub(super) fn copy_reachable(
        &self,
        pointer: &str,
        root: &mut Map<String, Value>,
        schemas: &mut Vec<String>,
    ) -> Result<(), SchemaError> {
        let mut open = vec![pointer.to_owned()];
        while let Some(pointer) = open.pop() {
            if schemas.contains(&pointer) {
                continue;
            }
            if schemas.len() == REACHED_MAX {
                let message = format!("a message reaches more than {REACHED_MAX} schemas");
                return Err(mistake(&pointer, message, "divide the document"));
            }
            let Some(value) = self.at(&pointer) else { continue };
            self.copy(&pointer, root);
            schemas.push(pointer.clone());
            let mut next = Ok(());
            let mut way = pointer.clone();
            each_reference(value, &mut way, &mut |place, _| {
                let holder = place.rsplit_once('/').map_or("", |(holder, _)| holder);
                match self.target(holder) {
                    Ok(Some(target)) => open.push(target),
                    Ok(None) => {}
                    Err(error) => next = Err(error),
                }
            });
            next?;
        }
        Ok(())
    }

    /// Copies what stands at a pointer. A list on the way becomes an object, for a schema among other things in a list,
    /// as the messages of a `oneOf`, is not a choice of schemas.
    fn copy(&self, pointer: &str, root: &mut Map<String, Value>) {
        let mut from = self.0;
        let mut to = root;
        let mut steps = pointer.split('/').skip(1).peekable();
        while let Some(step) = steps.next() {
            let key = step.replace("~1", "/").replace("~0", "~");
            let child = match from {
                Value::Array(items) => key.parse::<usize>().ok().and_then(|index| items.get(index)),
                other => other.get(&key),
            };
            let Some(child) = child else { return };
            if steps.peek().is_none() {
                to.insert(key, child.clone());
                return;
            }
            // What is no object was copied as a whole before, and holds it.
            let Value::Object(inner) = to.entry(key).or_insert_with(|| Value::Object(Map::new())) else { return };
            from = child;
            to = inner;
        }
    }
}
