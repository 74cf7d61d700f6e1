//! `schemas`: files and written-out schemas, their faults with places, and how routes take them over.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::World;
use crate::policy::checked::{Route, WithoutSchema};
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
            "etc/portcullis.yaml:4:5",
            "schemas need JSON, which is off",
            "messages.inbound.schemas",
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
        "upstream: ws://x\nmessages: { outbound: { json: { mode: detect }, schemas: { chat: { file: chat.yaml } } } }",
    );
    let schemas = routes[0].outbound.schemas.as_ref().unwrap();
    assert!(schemas.by_type["chat"].violation(&json!({})).is_some());
}
