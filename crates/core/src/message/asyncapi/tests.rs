//! Both versions: types, directions, schemas, and every mistake with its place.

use serde_json::{Value, json};

use super::{Asked, Contract, Describes, read};

fn asked() -> Asked<'static> {
    Asked { describes: Describes::Backend, channels: None, inbound_type_at: "/type", outbound_type_at: "/type" }
}

fn contract(document: &Value) -> Contract {
    read(document, &asked()).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
}

fn names(contract: &Contract) -> (Vec<&str>, Vec<&str>) {
    (contract.inbound.keys().map(String::as_str).collect(), contract.outbound.keys().map(String::as_str).collect())
}

/// A chat in version 3.
fn chat_3() -> Value {
    json!({
        "asyncapi": "3.0.0",
        "info": {"title": "chat", "version": "1"},
        "channels": {
            "chat": {"address": "/ws", "messages": {
                "say": {"$ref": "#/components/messages/say"},
                "said": {"$ref": "#/components/messages/said"},
                "ping": {"name": "heartbeat", "payload": {"type": "object", "maxProperties": 1}},
            }},
            "admin": {"address": "/admin", "messages": {"stop": {"payload": {"properties": {"type": {"const": "stop"}}}}}},
        },
        "operations": {
            "say": {"action": "receive", "channel": {"$ref": "#/channels/chat"}, "messages": [
                {"$ref": "#/channels/chat/messages/say"}, {"$ref": "#/channels/chat/messages/ping"}]},
            "said": {"action": "send", "channel": {"$ref": "#/channels/chat"}, "messages": [
                {"$ref": "#/channels/chat/messages/said"}]},
            "admin": {"action": "receive", "channel": {"$ref": "#/channels/admin"}},
        },
        "components": {
            "messages": {
                "say": {"payload": {"$ref": "#/components/schemas/say"}},
                "said": {"payload": {"oneOf": [
                    {"properties": {"type": {"const": "said"}}},
                    {"properties": {"type": {"enum": ["left", "joined"]}}},
                ]}},
            },
            "schemas": {
                "say": {"allOf": [{"$ref": "#/components/schemas/base"}], "type": "object", "required": ["text"],
                    "properties": {"type": {"const": "chat"}, "text": {"type": "string", "maxLength": 5}, "at": {"$ref": "#/components/schemas/a~1b%20c"}}},
                "base": {"required": ["id"]},
                "a/b c": {"type": "integer", "format": "int64"},
            },
        },
    })
}

/// The same in version 2.
fn chat_2() -> Value {
    json!({
        "asyncapi": "2.6.0",
        "channels": {
            "/ws": {
                "publish": {"message": {"oneOf": [{"$ref": "#/components/messages/say"}, {"messageId": "heartbeat", "payload": {"maxProperties": 2, "properties": {"v": {"anyOf": [{"$ref": "#/components/schemas/n"}, {"type": "null"}]}}}}]}},
                "subscribe": {"message": {"$ref": "#/components/messages/said"}},
            },
        },
        "components": {
            "messages": {
                "say": {"name": "chat", "contentType": "application/json", "payload": {"$ref": "#/components/schemas/say"}},
                "said": {"payload": {"type": "object"}},
            },
            "schemas": {"n": {"type": "integer"}, "say": {"required": ["text"], "properties": {"text": {"type": "string", "maxLength": 5}}}},
        },
    })
}

#[test]
fn types_and_directions_are_those_of_the_operations() {
    let (three, two) = (contract(&chat_3()), contract(&chat_2()));
    assert_eq!(names(&three), (vec!["chat", "heartbeat", "stop"], vec!["joined", "left", "said"]));
    assert_eq!(names(&two), (vec!["chat", "heartbeat"], vec!["said"]));
    let client = Asked { describes: Describes::Client, ..asked() };
    let turned = read(&chat_3(), &client).unwrap();
    assert_eq!(names(&turned), (vec!["joined", "left", "said"], vec!["chat", "heartbeat", "stop"]));
    let channels = ["chat".to_owned()];
    let some = read(&chat_3(), &Asked { channels: Some(&channels), ..asked() }).unwrap();
    assert_eq!(names(&some).0, ["chat", "heartbeat"]);
}

#[test]
fn a_payload_is_held_to_its_schema_and_rules_are_named_by_their_place_in_the_document() {
    let three = contract(&chat_3());
    let chat = &three.inbound["chat"];
    assert_eq!(chat.violation(&json!({"type": "chat", "id": 1, "text": "hello", "at": 3})), None);
    for (value, at, rule) in [
        (json!({"type": "chat", "text": "hello"}), "/id", "/components/schemas/base/required"),
        (json!({"id": 1, "text": "hello!"}), "/text", "/components/schemas/say/properties/text/maxLength"),
        (json!({"id": 1, "text": "a", "at": "b"}), "/at", "/components/schemas/a~1b c/type"),
        (json!({"id": 1, "text": "a", "type": "x"}), "/type", "/components/schemas/say/properties/type/const"),
    ] {
        let found = chat.violation(&value).unwrap_or_else(|| panic!("{value} fits"));
        assert_eq!((found.at.as_str(), found.rule.as_str()), (at, rule), "{value}");
    }
    let two = contract(&chat_2());
    let found = two.inbound["chat"].violation(&json!({"text": "hello!"})).unwrap();
    assert_eq!(found.rule, "/components/schemas/say/properties/text/maxLength");
    let heartbeat = &two.inbound["heartbeat"];
    assert_eq!(heartbeat.violation(&json!({"any": "thing", "v": 3})), None);
    // The rule's place holds though the message stands in a list of messages, and its payload holds a choice.
    let here = "/channels/~1ws/publish/message/oneOf/1/payload";
    assert_eq!(heartbeat.violation(&json!({"a": 1, "b": 2, "c": 3})).unwrap().rule, format!("{here}/maxProperties"));
    assert_eq!(heartbeat.violation(&json!({"v": "x"})).unwrap().rule, format!("{here}/properties/v/anyOf"));
}

#[test]
fn a_reply_goes_the_other_way() {
    let mut document = chat_3();
    document["operations"]["admin"]["reply"] = json!({"messages": [{"$ref": "#/channels/chat/messages/ping"}]});
    assert!(contract(&document).outbound.contains_key("heartbeat"));
    document["operations"]["admin"]["reply"] = json!({"channel": {"$ref": "#/channels/admin"}});
    assert!(contract(&document).outbound.contains_key("stop"));
}

#[test]
fn a_type_may_stand_deeper_and_several_messages_may_share_one() {
    let mut document = chat_3();
    let event =
        |text: Value| json!({"payload": {"properties": {"meta": {"properties": {"kind": {"const": "e"}}}, "v": text}}});
    document["components"]["messages"]["say"] = event(json!({"type": "integer"}));
    document["channels"]["chat"]["messages"]["ping"] = event(json!({"type": "boolean"}));
    let contract = read(&document, &Asked { inbound_type_at: "/meta/kind", ..asked() }).unwrap();
    let schema = &contract.inbound["e"];
    assert_eq!(schema.violation(&json!({"v": 1})), None);
    assert_eq!(schema.violation(&json!({"v": true})), None);
    assert!(schema.violation(&json!({"v": "text"})).is_some());
}

#[test]
fn a_payload_may_say_its_format() {
    let mut document = chat_3();
    let tuple = json!({"prefixItems": [{"type": "integer"}]});
    let format = "application/schema+json;version=draft/2020-12";
    document["channels"]["chat"]["messages"]["ping"]["payload"] = json!({"schemaFormat": format, "schema": tuple});
    assert!(contract(&document).inbound["heartbeat"].violation(&json!(["a"])).is_some());
    let mut document = chat_2();
    document["components"]["messages"]["say"]["schemaFormat"] =
        json!("application/vnd.aai.asyncapi+json;version=2.6.0");
    assert!(contract(&document).inbound["chat"].violation(&json!({})).is_some());
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let three = |at: &str, value: Value| {
        let mut document = chat_3();
        let (holder, key) = at.rsplit_once('/').unwrap();
        document.pointer_mut(holder).unwrap()[key] = value;
        document
    };
    for (document, pointer, message, help) in [
        (json!({}), "", "`asyncapi` is missing", "3.0.0"),
        (json!({"asyncapi": "1.2.0"}), "/asyncapi", "AsyncAPI `1.2.0` is not known", "2.6.0"),
        (json!({"asyncapi": "3.0.0", "channels": {}}), "", "no operation names a message", "add operations"),
        (three("/operations/say/action", json!("get")), "/operations/say/action", "the action is missing", "`receive`"),
        (
            three("/operations/say/channel", json!("chat")),
            "/operations/say/channel",
            "the channel is missing",
            "#/channels/NAME",
        ),
        (
            three("/operations/say/channel", json!({"$ref": "#/channels/x"})),
            "/operations/say/channel/$ref",
            "`#/channels/x` leads to nothing",
            "define it",
        ),
        (
            three("/operations/say/messages", json!([{"$ref": "other.yaml#/a"}])),
            "/operations/say/messages/0/$ref",
            "leads out of this document",
            "nothing is fetched",
        ),
        (
            three("/components/messages/say", json!({"$ref": "#/components/messages/say"})),
            "/operations/say/messages/0",
            "lead in a circle",
            "let one",
        ),
        (
            three("/components/schemas/base", json!({"required": "id"})),
            "/components/schemas/base/required",
            "this is not JSON Schema",
            "",
        ),
        (
            three("/components/schemas/base", json!({"$ref": "#/components/schemas/none"})),
            "/components/schemas/base/$ref",
            "leads to nothing",
            "",
        ),
        (
            three("/components/schemas/base", json!({"properties": {"id": {"pattern": "(?=a)"}}})),
            "/components/schemas/base/properties/id/pattern",
            "looks around",
            "",
        ),
        (
            three("/components/schemas/base", json!({"properties": {"id": {"format": "emial"}}})),
            "/components/schemas/base/properties/id/format",
            "`emial` is not known",
            "",
        ),
        (
            three("/components/schemas/base", json!({"properties": {"id": {"type": "strin"}}})),
            "/components/schemas/base/properties/id/type",
            "`strin` cannot stand",
            "`string`",
        ),
        (
            three("/components/messages/say", json!({"contentType": "application/octet-stream"})),
            "/components/messages/say/contentType",
            "is not JSON",
            "`channels`",
        ),
        (
            three(
                "/components/messages/say",
                json!({"payload": {"schemaFormat": "application/vnd.apache.avro", "schema": {}}}),
            ),
            "/components/messages/say/payload/schemaFormat",
            "`application/vnd.apache.avro` is not known",
            "JSON Schema",
        ),
    ] {
        let mistakes = read(&document, &asked()).expect_err(message);
        let first = &mistakes[0];
        assert_eq!(first.pointer, pointer, "{mistakes:#?}");
        assert!(first.message.contains(message) && first.help.contains(help), "{mistakes:#?}");
    }
    let channels = ["caht".to_owned()];
    let mistakes = read(&chat_3(), &Asked { channels: Some(&channels), ..asked() }).unwrap_err();
    assert_eq!(mistakes[0].message, "the document has no channel `caht`");
    assert!(mistakes[0].help.contains("`admin`, `chat`"));
}

#[test]
fn a_schema_that_leads_to_itself_is_read() {
    let mut document = chat_3();
    document["components"]["schemas"]["base"] =
        json!({"properties": {"inner": {"$ref": "#/components/schemas/base"}}, "required": ["id"]});
    let contract = contract(&document);
    let found =
        contract.inbound["chat"].violation(&json!({"id": 1, "text": "a", "inner": {"inner": {"id": 1}}})).unwrap();
    assert_eq!((found.at.as_str(), found.rule.as_str()), ("/inner/id", "/components/schemas/base/required"));
    // A reference to itself alone says nothing and ends.
    document["components"]["schemas"]["base"] = json!({"$ref": "#/components/schemas/base"});
    let _ = read(&document, &asked());
}
