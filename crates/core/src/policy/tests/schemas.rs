//! `schemas`: files and written-out schemas, their faults with places, and how routes take them over.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::World;
use crate::message::leak::LeakClass;
use crate::policy::checked::{JsonMode, Messages, OnRefuse, Route, WithoutSchema};
use crate::policy::{Errors, Loaded, Overrides, Source, load};

const CHAT: &str = "{\n  \"type\": \"object\",\n  \"properties\": {\n    \"text\": { \"type\": \"string\" }\n  }\n}\n";

fn load_with(files: &[(&str, &str)], text: &str) -> Result<Loaded, Errors> {
    let files = files.iter().map(|(name, text)| (format!("etc/{name}"), text.as_bytes().to_vec())).collect();
    let world = World { files, ..World::default() };
    load(Some(Source { name: "etc/portcullis.yaml", text }), &Overrides::default(), &world)
}

fn routes(files: &[(&str, &str)], text: &str) -> Vec<Route> {
    load_with(files, text).unwrap_or_else(|errors| panic!("{text}\n{errors}")).checked.routes
}

#[test]
fn a_mistake_in_a_schema_is_told_with_file_line_pointer_and_key() {
    let inbound = |schema: &str| format!("upstream: ws://x\nmessages:\n  inbound:\n    schemas:\n{schema}");
    for (file, schema, place, message, key) in [
        (
            CHAT.replace("\"string\"", "\"sting\""),
            "      chat: { file: schemas/chat.json }\n",
            "etc/schemas/chat.json:4:23",
            "in `schemas/chat.json` at `/properties/text/type`: `sting` cannot stand at `type`",
            "messages.inbound.schemas.chat.file",
        ),
        (
            "type: object\nproperties:\n  text:\n    pattern: '(?=a)b'\n".to_owned(),
            "      chat: { file: schemas/chat.json }\n",
            "etc/schemas/chat.json:4:14",
            "looks around or refers back",
            "messages.inbound.schemas.chat.file",
        ),
        (
            "{\"$ref\": \"https://example.com/chat.json\"}".to_owned(),
            "      chat: { file: schemas/chat.json }\n",
            "etc/schemas/chat.json:1:10",
            "`https://example.com/chat.json` leads out of this document",
            "messages.inbound.schemas.chat.file",
        ),
        (
            "{\"type\": \"object\"".to_owned(),
            "      chat: { file: schemas/chat.json }\n",
            "etc/schemas/chat.json:1:1",
            "this is not YAML",
            "messages.inbound.schemas.chat.file",
        ),
        (
            "{\"type\": 1, \"type\": 2}".to_owned(),
            "      chat: { file: schemas/chat.json }\n",
            "etc/schemas/chat.json:1:13",
            "the key `type` is written twice",
            "messages.inbound.schemas.chat.file",
        ),
        (
            CHAT.to_owned(),
            "      chat: { file: schemas/chet.json }\n",
            "etc/portcullis.yaml:5:21",
            "cannot read `etc/schemas/chet.json`: no such file",
            "messages.inbound.schemas.chat.file",
        ),
        (
            CHAT.to_owned(),
            "      chat:\n        inline:\n          properties:\n            text: { type: sting }\n",
            "etc/portcullis.yaml:8:27",
            "`sting` cannot stand at `type`",
            "messages.inbound.schemas.chat.inline.properties.text.type",
        ),
        (
            CHAT.to_owned(),
            "      chat: { file: schemas/chat.json, inline: true }\n",
            "etc/portcullis.yaml:5:7",
            "`file` and `inline` exclude each other",
            "messages.inbound.schemas.chat",
        ),
        (
            CHAT.to_owned(),
            "      chat: {}\n",
            "etc/portcullis.yaml:5:7",
            "the schema is missing",
            "messages.inbound.schemas.chat",
        ),
        (
            CHAT.to_owned(),
            "      chat: { fil: schemas/chat.json }\n",
            "etc/portcullis.yaml:5:15",
            "unknown key `fil`",
            "messages.inbound.schemas.chat.fil",
        ),
        (
            CHAT.to_owned(),
            "      chat: { inline: true }\n    json: { mode: off }\n",
            "etc/portcullis.yaml:6:19",
            "schemas need JSON, which is off",
            "messages.inbound.json.mode",
        ),
        (
            CHAT.to_owned(),
            "      chat: { inline: true }\n    json: { depth_max: 200 }\n",
            "etc/portcullis.yaml:6:24",
            "nest 200 deep are not held to schemas",
            "messages.inbound.json.depth_max",
        ),
        (
            CHAT.to_owned(),
            "      chat: { inline: true }\n    without_schema: refus\n",
            "etc/portcullis.yaml:6:21",
            "`refus` is not known here",
            "messages.inbound.without_schema",
        ),
    ] {
        let text = inbound(schema);
        let errors = load_with(&[("schemas/chat.json", &file)], &text).expect_err(&text);
        let error = errors.0.first().unwrap();
        let at = error.location.as_ref().map(|at| format!("{}:{}:{}", at.file, at.line, at.column)).unwrap_or_default();
        assert_eq!((at.as_str(), error.key.as_str()), (place, key), "{text}{errors}");
        assert!(error.message.contains(message), "{text}{errors}");
        assert_eq!(errors.0.len(), 1, "{text}{errors}");
    }
}

#[test]
fn routes_share_a_compiled_schema_and_replace_one_as_a_whole() {
    let text = "\
messages:
  inbound:
    schemas:
      chat: { file: schemas/chat.json }
      ping: { inline: { properties: { n: { const: null } } } }
routes:
  - { path: /a, upstream: ws://x }
  - path: /b
    upstream: ws://x
    inbound:
      without_schema: pass
      envelope: { type: /kind }
      schemas:
        chat: { inline: { required: [room] } }
";
    let loaded = load_with(&[("schemas/chat.json", CHAT)], text).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(loaded.files, [Path::new("etc/schemas/chat.json")], "watched, once");
    let of = |route: usize| loaded.checked.routes[route].inbound.schemas.as_ref().unwrap();
    let (first, second) = (of(0), of(1));
    assert_eq!((first.type_at.as_str(), first.without), ("/type", WithoutSchema::Refuse));
    assert_eq!((second.type_at.as_str(), second.without), ("/kind", WithoutSchema::Pass));
    assert!(Arc::ptr_eq(&first.by_type["ping"], &second.by_type["ping"]));
    assert!(first.by_type["chat"].violation(&json!({"text": 1})).is_some());
    // `type: object` and `text` of the whole policy's schema are gone.
    assert!(second.by_type["chat"].violation(&json!({"room": 1, "text": 1})).is_none());
    assert!(second.by_type["chat"].violation(&json!({})).is_some());
    // A null in a schema is a value, and takes no key back.
    assert!(first.by_type["ping"].violation(&json!({"n": 0})).is_some());
    assert!(loaded.checked.routes[0].outbound.schemas.is_none());
}

#[test]
fn a_schema_may_be_yaml() {
    let yaml = "type: object\nrequired: [text]\n";
    let routes = routes(
        &[("chat.yaml", yaml)],
        "upstream: ws://x\nmessages: { outbound: { schemas: { chat: { file: chat.yaml } } } }",
    );
    // The preset leaves outbound JSON alone; a schema needs it.
    assert_eq!(routes[0].outbound.json.mode, JsonMode::Detect);
    let schemas = routes[0].outbound.schemas.as_ref().unwrap();
    assert!(schemas.by_type["chat"].violation(&json!({})).is_some());
}

const DOCUMENT: &str = "\
asyncapi: 3.0.0
info: { title: chat, version: '1' }
channels:
  chat:
    messages:
      say: { payload: { $ref: '#/components/schemas/say' } }
      said: { payload: { properties: { type: { const: said } } } }
  admin:
    messages:
      stop: {}
operations:
  say: { action: receive, channel: { $ref: '#/channels/chat' }, messages: [{ $ref: '#/channels/chat/messages/say' }] }
  said: { action: send, channel: { $ref: '#/channels/chat' }, messages: [{ $ref: '#/channels/chat/messages/said' }] }
  stop: { action: receive, channel: { $ref: '#/channels/admin' } }
components:
  schemas:
    say:
      properties:
        type: { enum: [say, whisper] }
        text: { type: string }
";

#[test]
fn an_asyncapi_document_gives_both_directions_their_types_and_schemas() {
    let text = "\
messages:
  asyncapi: { file: asyncapi.yaml }
  inbound:
    schemas:
      say: { inline: { required: [room] } }
      extra: { inline: true }
routes:
  - { path: /all, upstream: ws://x }
  - { path: /admin, upstream: ws://x, asyncapi: { channels: [admin] }, inbound: { without_schema: pass } }
  - { path: /turned, upstream: ws://x, asyncapi: { describes: client } }
  - { path: /free, upstream: ws://x, asyncapi: off }
";
    let loaded = load_with(&[("asyncapi.yaml", DOCUMENT)], text).unwrap_or_else(|errors| panic!("{errors}"));
    let of = |route: usize| {
        let route = &loaded.checked.routes[route];
        let names =
            |messages: &Messages| messages.schemas.as_ref().map(|s| s.by_type.keys().cloned().collect::<Vec<_>>());
        (names(&route.inbound).unwrap_or_default().join(" "), names(&route.outbound).map(|names| names.join(" ")))
    };
    assert_eq!(of(0), ("extra say stop whisper".to_owned(), Some("said".to_owned())));
    assert_eq!(of(1), ("extra say stop".to_owned(), Some(String::new())));
    assert_eq!(of(2), ("extra said say".to_owned(), Some("say stop whisper".to_owned())));
    assert_eq!(of(3), ("extra say".to_owned(), None));
    let first = loaded.checked.routes[0].inbound.schemas.as_ref().unwrap();
    assert!(first.by_type["say"].violation(&json!({})).is_some(), "what the policy says itself wins");
    assert!(first.by_type["whisper"].violation(&json!({"text": 1})).is_some());
    assert_eq!(first.without, WithoutSchema::Refuse);
    assert_eq!(loaded.checked.routes[1].inbound.schemas.as_ref().unwrap().without, WithoutSchema::Pass);
    assert_eq!(loaded.checked.routes[0].outbound.json.mode, JsonMode::Detect);
    assert_eq!(loaded.checked.routes[3].outbound.json.mode, JsonMode::Off);
    assert!(loaded.files.iter().all(|file| file == Path::new("etc/asyncapi.yaml")));
}

#[test]
fn a_mistake_in_an_asyncapi_document_is_told_with_its_line() {
    for (document, asyncapi, place, message, key) in [
        (
            DOCUMENT.replace("type: string", "type: strin"),
            "{ file: asyncapi.yaml }",
            "etc/asyncapi.yaml:20:23",
            "in `asyncapi.yaml` at `/components/schemas/say/properties/text/type`: `strin` cannot stand at `type`",
            "messages.asyncapi.file",
        ),
        (
            DOCUMENT.replace("action: send", "action: sned"),
            "{ file: asyncapi.yaml }",
            "etc/asyncapi.yaml:13:19",
            "in `asyncapi.yaml` at `/operations/said/action`: the action is missing or unknown",
            "messages.asyncapi.file",
        ),
        (
            "openapi: 3.1.0\n".to_owned(),
            "{ file: asyncapi.yaml }",
            "etc/asyncapi.yaml:1:1",
            "in `asyncapi.yaml`: this is not an AsyncAPI document",
            "messages.asyncapi.file",
        ),
        (
            DOCUMENT.to_owned(),
            "{ file: asyncapi.yaml, channels: [chatt] }",
            "etc/asyncapi.yaml:3:1",
            "the document has no channel `chatt`",
            "messages.asyncapi.file",
        ),
        (
            DOCUMENT.to_owned(),
            "{ file: none.yaml }",
            "etc/portcullis.yaml:2:31",
            "cannot read `etc/none.yaml`",
            "messages.asyncapi.file",
        ),
        (DOCUMENT.to_owned(), "{}", "etc/portcullis.yaml:2:13", "`file` is missing", "messages.asyncapi.file"),
        (
            DOCUMENT.to_owned(),
            "{ file: asyncapi.yaml, describes: server }",
            "etc/portcullis.yaml:2:57",
            "`server` is not known here",
            "messages.asyncapi.describes",
        ),
    ] {
        let text = format!("upstream: ws://x\nmessages: {{ asyncapi: {asyncapi} }}\n");
        let errors = load_with(&[("asyncapi.yaml", &document)], &text).expect_err(&text);
        let error = errors.0.first().unwrap();
        let at = error.location.as_ref().map(|at| format!("{}:{}:{}", at.file, at.line, at.column)).unwrap_or_default();
        assert_eq!((at.as_str(), error.key.as_str()), (place, key), "{text}{errors}");
        assert!(error.message.contains(message), "{text}{errors}");
    }
}

#[test]
fn masking_is_read_and_brings_json_along() {
    let text = "upstream: ws://x\nmessages: { outbound: { mask: [/user/email], leaks: { mode: drop, classes: { card: mask } } } }";
    let routes = routes(&[], text);
    let outbound = &routes[0].outbound;
    assert_eq!((outbound.json.mode, outbound.mask.as_slice()), (JsonMode::Detect, &["/user/email".to_owned()][..]));
    let leaks = outbound.leaks.as_ref().unwrap();
    assert_eq!((leaks.classes[&LeakClass::Card], leaks.classes[&LeakClass::Bulk]), (OnRefuse::Mask, OnRefuse::Drop));
    for (section, place, message) in [
        ("mask: [email]", "2:32", "`email` is not a JSON Pointer"),
        ("mask: [/a], json: { mode: off }", "2:51", "masked fields need JSON, which is off"),
        ("threats: { mode: sanitize }", "2:42", "only `xss` can be sanitized"),
        ("threats: { classes: { sqli: sanitize } }", "2:53", "only `xss` can be sanitized"),
        ("threats: { fields: { text: { mode: drop } } }", "2:46", "`text` is not a JSON Pointer (RFC 6901)"),
        ("threats: { fields: { /text: { mod: drop } } }", "2:55", "unknown key `mod` in"),
        ("binaries: { kinds: [pgn] }", "2:45", "`pgn` is no kind that is told apart"),
        ("binaries: { bytes_max: 1GiB }", "2:48", "out of bounds"),
        ("binaries: { read_as: cbor }, json: { mode: off }", "2:68", "`binaries.read_as` needs JSON, which is off"),
        ("binaries: { read_as: bson }", "2:46", "`bson` is not known here"),
        ("threats: { mode: mask }", "2:42", "`mask` is not known here"),
        ("on_refuse: mask", "2:36", "`mask` is not known here"),
    ] {
        let text = format!("upstream: ws://x\nmessages: {{ outbound: {{ {section} }} }}");
        let errors = load_with(&[], &text).expect_err(&text);
        let at = errors.0[0].location.as_ref().map(|at| format!("{}:{}", at.line, at.column)).unwrap_or_default();
        assert_eq!(at, place, "{errors}");
        assert!(errors.0[0].message.contains(message), "{errors}");
    }
}

#[test]
fn html_is_read_with_its_defaults_and_what_runs_is_refused() {
    let text =
        "upstream: ws://x\nmessages: { outbound: { html: { fields: [/text], blocked_domains: [Evil.Example.] } } }";
    let outbound = routes(&[], text).remove(0).outbound;
    let html = outbound.html.as_ref().unwrap();
    assert_eq!((outbound.json.mode, html.fields.as_slice()), (JsonMode::Detect, &["/text".to_owned()][..]));
    let list = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(list(&html.allowed.tags), "a b code em i pre strong u");
    assert_eq!(list(&html.allowed.attributes["a"]), "href title");
    assert_eq!(list(&html.allowed.schemes), "http https mailto");
    assert_eq!(list(&html.allowed.blocked_domains), "evil.example");
    let no_links = "upstream: ws://x\nmessages: { inbound: { html: { fields: [/text], tags: [P, br] } } }";
    let allowed = routes(&[], no_links).remove(0).inbound.html.unwrap().allowed;
    assert_eq!((list(&allowed.tags), allowed.attributes.len()), ("br p".to_owned(), 0));
    for (section, message) in [
        ("tags: [b]", "`fields` is missing"),
        ("fields: [text]", "`text` is not a JSON Pointer"),
        ("fields: [/t], tags: [b, script]", "`script` runs, loads or changes how the rest is read"),
        ("fields: [/t], attributes: { a: [onclick] }", "`onclick` runs what it holds"),
        ("fields: [/t], attributes: { a: [rel] }", "`rel` runs what it holds, or is written by the gateway"),
        ("fields: [/t], attributes: { img: [src] }", "`img` has attributes and is not among `tags`"),
        ("fields: [/t], schemes: [javascript]", "`javascript` runs what it holds, or hides it"),
        ("fields: [/t], tags: ['b c']", "`b c` is not a name"),
        ("fields: [/t], tag: [b]", "unknown key `tag`"),
    ] {
        let text = format!("upstream: ws://x\nmessages: {{ inbound: {{ html: {{ {section} }} }} }}");
        let errors = load_with(&[], &text).expect_err(&text);
        assert!(errors.0[0].message.contains(message), "{errors}");
        assert_eq!(errors.0[0].location.as_ref().map(|at| at.line), Some(2), "{errors}");
    }
}
