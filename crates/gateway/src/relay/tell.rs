//! What is done about a finding: counted, held against its sender, recorded, answered.

use portcullis_codec::{MessageKind, encode_message};
use portcullis_core::event::Decision;
use portcullis_core::inspection::{self, Direction, Finding, PAUSE_MAX, Verdict};
use portcullis_core::policy::checked::OnRefuse;
use portcullis_core::reputation::Fact;

use super::lane::{Lane, Stop};

impl Lane<'_> {
    /// Records what was found, answers the sender, ends the connection where the verdict says so.
    #[cold]
    pub(super) fn tell(&mut self, verdict: &Verdict) -> Result<(), Stop> {
        let mut stop = None;
        for finding in &verdict.findings {
            let decision = decision(finding.outcome);
            self.worker.shard().refused(finding.reason, decision);
            // What a backend says does not speak against its client.
            if self.direction == Direction::Inbound {
                let subject = self.caller.principal.subject.as_deref();
                self.worker.accuse(self.caller.client, subject, finding.reason, decision);
                if Fact::of(finding.reason).is_some() {
                    let slowed = self.worker.slowed_for(self.caller.client, subject).min(PAUSE_MAX);
                    if !slowed.is_zero() {
                        self.from.memory.pause(self.now.mono + slowed, self.now.mono);
                    }
                }
            }
            if let Some(suppressed) = self.events.spend(finding.reason, self.now.mono) {
                self.events.last_reference = self.record(finding, decision, suppressed);
            }
            match finding.outcome {
                OnRefuse::Reply => {
                    let reply =
                        inspection::error_reply(&self.caller.route.spec.errors, finding, &self.events.last_reference);
                    let mask = self.from.mask(self.worker.mask_key());
                    let mut frame = Vec::with_capacity(reply.len() + 14);
                    encode_message(&mut frame, MessageKind::Text, reply.as_bytes(), mask);
                    self.from.queue(&frame);
                }
                OnRefuse::Close => stop = Some(Stop::Refused(finding.reason)),
                OnRefuse::Observe | OnRefuse::Mask | OnRefuse::Sanitize | OnRefuse::Replace | OnRefuse::Drop => {}
            }
        }
        stop.map_or(Ok(()), Err)
    }

    fn record(&self, finding: &Finding, decision: Decision, suppressed: u64) -> String {
        let mut draft = self.caller.draft(finding.reason, decision, finding.check, finding.detail.clone());
        draft.message_type.clone_from(&finding.message_type);
        if let Some(field) = &finding.field {
            draft.metadata.push(("field", field.clone().into()));
        }
        if let Some(rule) = &finding.rule {
            draft.metadata.push(("rule", rule.clone().into()));
        }
        if let Some(evidence) = &finding.evidence {
            draft.metadata.push(("bytes", format!("{}-{}", evidence.bytes.0, evidence.bytes.1).into()));
            draft.metadata.push(("confidence", evidence.confidence.label().into()));
            if !evidence.decoded.is_empty() {
                draft.metadata.push(("decoded", evidence.decoded.to_string().into()));
            }
            draft.metadata.push(("page", evidence.page.into()));
        }
        if self.direction == Direction::Outbound {
            draft.metadata.push(("direction", "outbound".into()));
        }
        if suppressed > 0 {
            draft.metadata.push(("withheld", suppressed.into()));
        }
        self.worker.refer(draft, self.now)
    }
}

fn decision(outcome: OnRefuse) -> Decision {
    match outcome {
        OnRefuse::Observe => Decision::Observed,
        OnRefuse::Mask => Decision::Masked,
        OnRefuse::Sanitize => Decision::Sanitized,
        OnRefuse::Replace => Decision::Replaced,
        OnRefuse::Drop => Decision::Dropped,
        OnRefuse::Reply => Decision::Replied,
        OnRefuse::Close => Decision::Closed,
    }
}
