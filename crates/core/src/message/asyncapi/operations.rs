//! Operations → which message goes which way.

use serde_json::Value;

use super::document::{Document, last_key, step};
use super::{Asked, Describes, Said, mistake};
use crate::message::schema::SchemaError;

/// Every message that an operation of a channel that counts names.
pub(super) fn list(document: &Document<'_>, asked: &Asked<'_>, mistakes: &mut Vec<SchemaError>) -> Vec<Said> {
    let mut list = List { document, asked, said: Vec::new(), mistakes };
    match document.get("asyncapi").map(|version| version.as_str().unwrap_or_default()) {
        Some(version) if version.starts_with("3.") => list.version_3(),
        Some(version) if version.starts_with("2.") => list.version_2(),
        Some(version) => {
            let message = format!("AsyncAPI `{version}` is not known");
            list.mistakes.push(mistake("/asyncapi", message, "write a document of version 3.0.0 or 2.6.0"));
            return Vec::new();
        }
        None => {
            let help = "begin it with `asyncapi: 3.0.0`";
            list.mistakes.push(mistake("", "this is not an AsyncAPI document: `asyncapi` is missing".to_owned(), help));
            return Vec::new();
        }
    }
    list.channels_exist();
    if list.mistakes.is_empty() && list.said.is_empty() {
        let help = "add operations to it; without one no direction of a message is known";
        list.mistakes.push(mistake("", "no operation names a message".to_owned(), help));
    }
    list.said
}

struct List<'l, 'd> {
    document: &'l Document<'d>,
    asked: &'l Asked<'l>,
    said: Vec<Said>,
    mistakes: &'l mut Vec<SchemaError>,
}

impl List<'_, '_> {
    fn counts(&self, channel: &str) -> bool {
        self.asked.channels.is_none_or(|channels| channels.iter().any(|name| name == channel))
    }

    fn channels_exist(&mut self) {
        let known = self.document.members("/channels");
        for name in self.asked.channels.into_iter().flatten() {
            if known.iter().all(|(key, _)| *key != name) {
                let list = known.iter().map(|(key, _)| format!("`{key}`")).collect::<Vec<_>>().join(", ");
                let help = format!("its channels are {list}");
                self.mistakes.push(mistake("/channels", format!("the document has no channel `{name}`"), &help));
            }
        }
    }

    /// Whether what the described application receives (or sends) goes to the backend.
    fn inbound(&self, receives: bool) -> bool {
        receives == (self.asked.describes == Describes::Backend)
    }

    fn note<T>(&mut self, result: Result<T, SchemaError>) -> Option<T> {
        result.map_err(|error| self.mistakes.push(error)).ok()
    }

    fn version_3(&mut self) {
        for (_, at) in self.document.members("/operations") {
            let followed = self.document.follow(&at);
            let Some((at, operation)) = self.note(followed) else { continue };
            let receives = match operation.get("action").and_then(Value::as_str) {
                Some("receive") => true,
                Some("send") => false,
                _ => {
                    let place = format!("{at}/action");
                    self.mistakes.push(mistake(
                        &place,
                        "the action is missing or unknown".to_owned(),
                        "write `send` or `receive`",
                    ));
                    continue;
                }
            };
            let Some((name, channel)) = self.channel(&at) else { continue };
            if !self.counts(&name) {
                continue;
            }
            self.messages_3(&at, operation, &channel, receives);
            if operation.get("reply").is_some() {
                self.reply(&at, &channel, receives);
            }
        }
    }

    /// What answers an operation goes the other way.
    fn reply(&mut self, operation: &str, channel: &str, receives: bool) {
        let followed = self.document.follow(&format!("{operation}/reply"));
        let Some((at, reply)) = self.note(followed) else { return };
        let channel = if reply.get("channel").is_some() {
            let Some((name, channel)) = self.channel(&at) else { return };
            if !self.counts(&name) {
                return;
            }
            channel
        } else if reply.get("messages").is_some() {
            channel.to_owned()
        } else {
            return;
        };
        self.messages_3(&at, reply, &channel, !receives);
    }

    /// The name and the place of an operation's channel.
    fn channel(&mut self, operation: &str) -> Option<(String, String)> {
        let at = format!("{operation}/channel");
        let target = self.document.target(&at);
        let Some(target) = self.note(target)? else {
            let help = "write `channel: { $ref: '#/channels/NAME' }`";
            self.mistakes.push(mistake(&at, "the channel is missing or no reference".to_owned(), help));
            return None;
        };
        let followed = self.document.follow(&target);
        Some((last_key(&target), self.note(followed)?.0))
    }

    /// The messages that an operation lists, else all of its channel.
    fn messages_3(&mut self, at: &str, operation: &Value, channel: &str, receives: bool) {
        let inbound = self.inbound(receives);
        if let Some(listed) = operation.get("messages").and_then(Value::as_array) {
            for number in 0..listed.len() {
                self.say(inbound, &format!("{at}/messages/{number}"), None);
            }
            return;
        }
        for (key, place) in self.document.members(&format!("{channel}/messages")) {
            self.say(inbound, &place, Some(key));
        }
    }

    /// A message, by its own key or by that of what it refers to.
    fn say(&mut self, inbound: bool, at: &str, key: Option<&String>) {
        let target = self.document.target(at);
        let Some(target) = self.note(target) else { return };
        let followed = self.document.follow(at);
        let Some((pointer, _)) = self.note(followed) else { return };
        let key = key.cloned().unwrap_or_else(|| last_key(target.as_deref().unwrap_or(at)));
        self.said.push(Said { inbound, pointer, key });
    }

    fn version_2(&mut self) {
        for (name, at) in self.document.members("/channels") {
            if !self.counts(name) {
                continue;
            }
            let followed = self.document.follow(&at);
            let Some((channel, item)) = self.note(followed) else { continue };
            // Clients publish what the described application receives.
            for (operation, receives) in [("publish", true), ("subscribe", false)] {
                if item.get(operation).is_some() {
                    let followed = self.document.follow(&format!("{channel}/{operation}"));
                    let Some((at, _)) = self.note(followed) else { continue };
                    self.messages_2(&format!("{at}{}", step("message")), receives);
                }
            }
        }
    }

    fn messages_2(&mut self, at: &str, receives: bool) {
        let inbound = self.inbound(receives);
        let Some(message) = self.document.at(at) else { return };
        match message.get("oneOf").and_then(Value::as_array) {
            Some(choices) => {
                for number in 0..choices.len() {
                    self.say(inbound, &format!("{at}/oneOf/{number}"), None);
                }
            }
            None => self.say(inbound, at, None),
        }
    }
}
