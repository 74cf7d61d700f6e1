//! Checks of one's own.

use std::sync::Arc;

use portcullis_core::inspection::{Action, Custom, Direction, Objection, Plan, Said};
use portcullis_core::policy::checked::{ErrorReplies, Messages, OnRefuse};
use portcullis_core::verdict::Reason;

use super::house::{NOW_S, Peer, full};

/// Answers what names a forbidden word; keeps what it was shown.
#[derive(Debug)]
struct NoSecrets;

impl Custom for NoSecrets {
    fn name(&self) -> &'static str {
        "no_secrets"
    }

    fn judge(&self, said: &Said<'_>) -> Option<Objection> {
        assert!(said.is_json);
        let found = memchr::memmem::find(said.bytes, b"classified").is_some() && said.message_type == Some("chat");
        let (field, detail) = (Some("/text".to_owned()), "it is classified".to_owned());
        found.then_some(Objection { outcome: OnRefuse::Mask, field, detail })
    }
}

#[test]
fn a_check_of_ones_own_sees_what_passed_and_its_objection_counts() {
    let messages = Messages { mask: vec!["/text".into()], ..full(OnRefuse::Reply) };
    let mut peer = Peer::new(&messages);
    peer.plan =
        Plan::compile(&messages, &ErrorReplies { detailed: true, template: "{}".into() }, Direction::Inbound, true)
            .unwrap()
            .with(Arc::new(NoSecrets));
    assert_eq!(peer.plan.checks().last(), Some(&"mask"), "{:?}", peer.plan.checks());
    let message = |id: u32, text: &str| format!(r#"{{"type":"chat","id":{id},"timestamp":{NOW_S},"text":"{text}"}}"#);
    let verdict = peer.text(&message(1, "classified"));
    let finding = &verdict.findings[0];
    assert_eq!((verdict.action, finding.reason, finding.check), (Action::Drop, Reason::CustomRefused, "no_secrets"));
    assert_eq!((finding.field.as_deref(), finding.message_type.as_deref()), (Some("/text"), Some("chat")));
    assert_eq!(peer.text(&message(2, "open")).action, Action::Rewrite);
    assert_eq!(peer.text("{").action, Action::Reply, "what is no JSON never comes to it");
}
