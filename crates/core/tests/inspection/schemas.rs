//! Messages held to schemas.

use std::sync::Arc;

use portcullis_core::inspection::{Action, Direction, FIELD_BYTES_MAX, Kind, Plan, PlanError, error_reply};
use portcullis_core::message::schema::{Dialect, Schema};
use portcullis_core::policy::checked::{ErrorReplies, JsonMode, Messages, OnRefuse, Schemas, WithoutSchema};
use portcullis_core::verdict::Reason;

use super::house::{Peer, bare, full};

fn with_schemas(without: WithoutSchema) -> Messages {
    let chat = serde_json::json!({
        "type": "object",
        "required": ["text"],
        "properties": {"text": {"type": "string", "maxLength": 5}, "n": {"type": "number"}},
    });
    let schema = Arc::new(Schema::compile(&chat, Dialect::Written).unwrap());
    let by_type = [("chat".to_owned(), schema)].into();
    Messages { schemas: Some(Schemas { type_at: "/type".into(), by_type, without }), ..bare() }
}

#[test]
fn a_message_is_held_to_the_schema_of_its_type() {
    for (text, refuse, pass) in [
        (r#"{"type":"chat","text":"hello"}"#, None, None),
        (r#"{"type":"ch\u0061t","text":"hello"}"#, None, None),
        (r#"{"type":"chat","text":"hello!"}"#, Some(Reason::SchemaViolation), Some(Reason::SchemaViolation)),
        (r#"{"type":"ch\u0061t","text":7}"#, Some(Reason::SchemaViolation), Some(Reason::SchemaViolation)),
        (r#"{"type":"chat"}"#, Some(Reason::SchemaViolation), Some(Reason::SchemaViolation)),
        (r#"{"type":"chat","text":"a","n":1e999}"#, Some(Reason::SchemaViolation), Some(Reason::SchemaViolation)),
        (r#"{"type":"ping"}"#, Some(Reason::TypeRefused), None),
        (r#"{"text":"hello"}"#, Some(Reason::EnvelopeMissing), None),
        (r#"{"type":5,"text":"hello"}"#, Some(Reason::EnvelopeMissing), None),
        (r#"["chat"]"#, Some(Reason::EnvelopeMissing), None),
    ] {
        assert_eq!(Peer::new(&with_schemas(WithoutSchema::Refuse)).reason(text), refuse, "{text}");
        assert_eq!(Peer::new(&with_schemas(WithoutSchema::Pass)).reason(text), pass, "{text}");
    }
}

#[test]
fn what_is_not_json_has_no_type() {
    let mut messages = with_schemas(WithoutSchema::Refuse);
    messages.json.mode = JsonMode::Detect;
    assert_eq!(Peer::new(&messages).reason("hello"), Some(Reason::EnvelopeMissing));
    assert_eq!(Peer::new(&messages).send(Kind::Binary, b"\x00\x01").action, Action::Pass);
    let json = br#"{"type":"chat","text":"hello!"}"#;
    assert_eq!(Peer::new(&messages).send(Kind::Binary, json).findings[0].reason, Reason::SchemaViolation);
    messages.schemas.as_mut().unwrap().without = WithoutSchema::Pass;
    assert_eq!(Peer::new(&messages).reason("hello"), None);
    messages.json.mode = JsonMode::Off;
    let errors = ErrorReplies { detailed: false, template: "{}".into() };
    let plan = Plan::compile(&messages, &errors, Direction::Inbound, true);
    assert_eq!(plan.unwrap_err(), PlanError::SchemasWithoutJson);
}

#[test]
fn a_broken_schema_is_told_with_path_and_rule_and_only_where_errors_are_detailed() {
    let verdict = Peer::new(&with_schemas(WithoutSchema::Refuse)).text(r#"{"type":"chat","text":"secret word"}"#);
    let finding = &verdict.findings[0];
    assert_eq!((finding.check, finding.field.as_deref()), ("schema", Some("/text")));
    assert_eq!(finding.rule.as_deref(), Some("/properties/text/maxLength"));
    assert_eq!(finding.detail, "`/text` breaks `/properties/text/maxLength`");
    assert_eq!(finding.message_type.as_deref(), Some("chat"));
    let reply =
        |detailed| error_reply(&ErrorReplies { detailed, template: r#"{"m":"{message}"}"#.into() }, finding, "r");
    assert_eq!(
        reply(true),
        r#"{"m":"the message breaks the schema of its type (at /text) (rule /properties/text/maxLength)"}"#
    );
    assert_eq!(reply(false), r#"{"m":"Message refused"}"#);
    let long = "k".repeat(500);
    let mut messages = with_schemas(WithoutSchema::Refuse);
    let strict = serde_json::json!({"additionalProperties": false, "properties": {"type": true}});
    let strict = Arc::new(Schema::compile(&strict, Dialect::Written).unwrap());
    messages.schemas.as_mut().unwrap().by_type.insert("chat".into(), strict);
    let verdict = Peer::new(&messages).text(&format!(r#"{{"type":"chat","{long}":1}}"#));
    assert!(verdict.findings[0].field.as_ref().unwrap().len() <= FIELD_BYTES_MAX);
    assert!(verdict.findings[0].detail.len() <= portcullis_core::event::DETAIL_BYTES_MAX);
}

#[test]
fn schemas_stand_between_envelope_and_replay() {
    let messages = Messages { schemas: with_schemas(WithoutSchema::Pass).schemas, ..full(OnRefuse::Reply) };
    assert_eq!(Peer::new(&messages).plan.checks(), ["kind", "rate", "json", "envelope", "schema", "replay", "threat"]);
}
