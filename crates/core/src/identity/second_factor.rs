//! Whether a token says that its bearer passed more than one factor (SPEC 3.6): `amr` (RFC 8176), `acr` (OpenID
//! Connect Core 2), or a claim of the operator's own. What does not say so plainly does not say so.

use serde_json::Value;

/// How a token shows it; any one is enough.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecondFactor {
    /// `amr` holds one of these.
    pub amr: Vec<String>,
    /// `acr` is one of these.
    pub acr: Vec<String>,
    /// JSON Pointer to a claim that is `true`.
    pub claim: Option<String>,
}

impl SecondFactor {
    /// Whether the claims show it.
    #[must_use]
    pub fn is_shown(&self, claims: &Value) -> bool {
        let is = |value: &Value, wanted: &[String]| value.as_str().is_some_and(|text| wanted.iter().any(|w| w == text));
        let methods = claims.get("amr").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        methods.iter().any(|method| is(method, &self.amr))
            || claims.get("acr").is_some_and(|acr| is(acr, &self.acr))
            || self.claim.as_ref().and_then(|at| claims.pointer(at)) == Some(&Value::Bool(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_second_factor_is_shown_by_amr_acr_or_a_claim_and_by_nothing_else() {
        let factor = SecondFactor {
            amr: vec!["mfa".into(), "hwk".into()],
            acr: vec!["urn:level:2".into()],
            claim: Some("/auth/mfa".into()),
        };
        for (claims, shown) in [
            (json!({"amr": ["pwd", "mfa"]}), true),
            (json!({"amr": ["hwk"]}), true),
            (json!({"acr": "urn:level:2"}), true),
            (json!({"auth": {"mfa": true}}), true),
            (json!({}), false),
            (json!({"amr": ["pwd"]}), false),
            (json!({"amr": ["MFA"]}), false),
            (json!({"amr": "mfa"}), false),
            (json!({"amr": [["mfa"]]}), false),
            (json!({"acr": "urn:level:20"}), false),
            (json!({"acr": ["urn:level:2"]}), false),
            (json!({"acr": "mfa"}), false),
            (json!({"auth": {"mfa": "true"}}), false),
            (json!({"auth": {"mfa": 1}}), false),
        ] {
            assert_eq!(factor.is_shown(&claims), shown, "{claims}");
            assert!(!SecondFactor::default().is_shown(&claims), "{claims}");
        }
    }
}
