//! What speaks against a source: the facts that a score is made of, and which refusals are which fact (SPEC 7.1).

use crate::verdict::Reason;

/// Kinds of facts.
pub const FACTS: usize = 8;

/// A kind of fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fact {
    /// A credential that is none.
    FailedAuthentication,
    /// A handshake that no honest client sends: malformed, slow, from a foreign origin, to a path that is not there.
    RefusedHandshake,
    /// A message that its route does not take.
    RefusedMessage,
    /// More than a limit allows.
    LimitExceeded,
    /// An attack in a message.
    Threat,
    /// Frames that break the protocol, or bombs.
    ProtocolViolation,
    /// A step into another tenant or onto another user's path.
    Crossing,
    /// Behaviour unlike what is usual for the user.
    Anomaly,
}

impl Fact {
    /// All of them, in the order in which points are kept.
    pub const ALL: [Self; FACTS] = [
        Self::FailedAuthentication,
        Self::RefusedHandshake,
        Self::RefusedMessage,
        Self::LimitExceeded,
        Self::Threat,
        Self::ProtocolViolation,
        Self::Crossing,
        Self::Anomaly,
    ];

    /// The key of its points in the configuration.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::FailedAuthentication => "failed_authentication",
            Self::RefusedHandshake => "refused_handshake",
            Self::RefusedMessage => "refused_message",
            Self::LimitExceeded => "limit_exceeded",
            Self::Threat => "threat",
            Self::ProtocolViolation => "protocol_violation",
            Self::Crossing => "crossing",
            Self::Anomaly => "anomaly",
        }
    }

    /// What an operator reads.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::FailedAuthentication => "failed authentications",
            Self::RefusedHandshake => "refused handshakes",
            Self::RefusedMessage => "refused messages",
            Self::LimitExceeded => "limits exceeded",
            Self::Threat => "attacks",
            Self::ProtocolViolation => "broken protocol",
            Self::Crossing => "steps into what is others'",
            Self::Anomaly => "unusual behaviour",
        }
    }

    /// Its place among the points.
    pub(crate) const fn place(self) -> usize {
        match self {
            Self::FailedAuthentication => 0,
            Self::RefusedHandshake => 1,
            Self::RefusedMessage => 2,
            Self::LimitExceeded => 3,
            Self::Threat => 4,
            Self::ProtocolViolation => 5,
            Self::Crossing => 6,
            Self::Anomaly => 7,
        }
    }

    /// Whether a second's worth of it counts as one: a burst over a limit is one fact, however long.
    pub(crate) const fn is_burst(self) -> bool {
        matches!(self, Self::RefusedMessage | Self::LimitExceeded)
    }

    /// The fact that a refusal is, if it speaks against who was refused. A token that has run out, a full gateway, a
    /// backend's fault and what a ban itself refuses do not.
    #[must_use]
    pub const fn of(reason: Reason) -> Option<Self> {
        use Reason as R;
        Some(match reason {
            R::CredentialInvalid
            | R::TokenSignature
            | R::TokenAlgorithm
            | R::TokenKeyUnknown
            | R::TokenIssuer
            | R::TokenAudience
            | R::TokenClaims
            | R::TokenInactive
            | R::TicketInvalid
            | R::TicketForeign
            | R::RefreshSubject => Self::FailedAuthentication,
            R::OriginRefused
            | R::HandshakeMalformed
            | R::HandshakeTooLarge
            | R::HandshakeTimeout
            | R::ProxyHeaderInvalid
            | R::RouteUnknown => Self::RefusedHandshake,
            R::KindRefused
            | R::FieldTooLarge
            | R::MessageTooLarge
            | R::JsonMalformed
            | R::JsonDuplicateKey
            | R::JsonTooDeep
            | R::JsonTooMany
            | R::EnvelopeMissing
            | R::TypeRefused
            | R::SchemaViolation
            | R::GuestRefused
            | R::PermissionDenied
            | R::Replayed => Self::RefusedMessage,
            R::ConnectionRate
            | R::AuthenticationRate
            | R::MessageRate
            | R::ControlFlood
            | R::RefreshTooOften
            | R::SessionRate => Self::LimitExceeded,
            R::ThreatSqli
            | R::ThreatNosql
            | R::ThreatXss
            | R::ThreatCommand
            | R::ThreatTraversal
            | R::ThreatTemplate
            | R::ThreatLdap
            | R::ThreatXxe
            | R::ThreatLookup => Self::Threat,
            R::ProtocolError | R::InvalidUtf8 | R::TooManyFragments | R::CompressionBomb => Self::ProtocolViolation,
            R::PathBinding | R::TenantCrossing => Self::Crossing,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fact_has_a_place_of_its_own() {
        for (place, fact) in Fact::ALL.into_iter().enumerate() {
            assert_eq!(fact.place(), place);
        }
    }

    #[test]
    fn what_a_client_cannot_help_is_no_fact_and_every_attack_is_one() {
        for reason in [
            Reason::ServerFull,
            Reason::SourceBanned,
            Reason::PrincipalBanned,
            Reason::Lockdown,
            Reason::TokenExpired,
            Reason::UpstreamGone,
            Reason::UpstreamProtocol,
            Reason::OffenderWaits,
            Reason::ThreatListed,
            Reason::CountryRefused,
            Reason::LeakCard,
        ] {
            assert_eq!(Fact::of(reason), None, "{}", reason.label());
        }
        for reason in Reason::ALL.iter().filter(|reason| **reason != Reason::ThreatListed) {
            let attack = reason.label().starts_with("threat_");
            assert_eq!(Fact::of(*reason) == Some(Fact::Threat), attack, "{}", reason.label());
        }
    }
}
