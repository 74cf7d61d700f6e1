//! Which compression both legs use: offers, answers, and what no side may say.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use portcullis_codec::deflate::ExtensionError;
use portcullis_codec::{DeflatePolicy, Offer, Params, Proposal};

const OFF: DeflatePolicy = DeflatePolicy { enabled: false, context_takeover: true };
const ALONE: DeflatePolicy = DeflatePolicy { enabled: true, context_takeover: false };
const TAKEOVER: DeflatePolicy = DeflatePolicy { enabled: true, context_takeover: true };
const BROWSER: &str = "permessage-deflate; client_max_window_bits";

fn offers(header: &str) -> Result<Vec<Offer>, ExtensionError> {
    Offer::parse_all([header.as_bytes()])
}

fn proposal(policy: DeflatePolicy, header: &str) -> Option<Proposal> {
    policy.propose(&offers(header).unwrap())
}

/// What the client is told when the upstream answers so.
fn answer(policy: DeflatePolicy, offer: &str, upstream: &str) -> Result<Option<String>, ExtensionError> {
    let agreed = proposal(policy, offer).unwrap().accept([upstream.as_bytes()])?;
    Ok(agreed.map(|params| params.header_value()))
}

#[test]
fn one_normalised_offer_goes_upstream() {
    let cases = [
        (TAKEOVER, BROWSER, Some(BROWSER)),
        (
            ALONE,
            BROWSER,
            Some(
                "permessage-deflate; server_no_context_takeover; \
                 client_no_context_takeover; client_max_window_bits",
            ),
        ),
        (OFF, BROWSER, None),
        (TAKEOVER, "", None),
        (TAKEOVER, "bbf-usp-protocol", None),
        (
            TAKEOVER,
            "x-webkit-deflate-frame, permessage-deflate;client_max_window_bits=\"10\" ; \
             server_max_window_bits=9, permessage-deflate",
            Some("permessage-deflate; server_max_window_bits=9; client_max_window_bits=10"),
        ),
        (TAKEOVER, "permessage-deflate; server_max_window_bits=7, permessage-deflate", Some("permessage-deflate")),
    ];
    for (policy, header, wanted) in cases {
        let value = proposal(policy, header).map(|proposal| proposal.header_value());
        assert_eq!(value.as_deref(), wanted, "{header}");
    }
}

#[test]
fn an_offer_with_a_wrong_parameter_is_left_out() {
    for params in [
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover=1",
        "server_max_window_bits",
        "server_max_window_bits=16",
        "server_max_window_bits=7",
        "server_max_window_bits=08",
        "server_max_window_bits=+9",
        "server_max_window_bits=9; server_max_window_bits=9",
        "client_max_window_bits=0",
        "client_max_window_bits; client_max_window_bits=9",
        "client_max_window_bits=99999999999999999999",
        "Server_No_Context_Takeover",
        "unknown",
    ] {
        let header = format!("permessage-deflate; {params}");
        assert_eq!(offers(&header), Ok(vec![]), "{params}");
    }
}

#[test]
fn headers_against_the_grammar_and_without_end_are_refused() {
    let malformed = Err(ExtensionError::Malformed);
    for header in [
        ";",
        "permessage-deflate;",
        "permessage-deflate; =9",
        "permessage-deflate; a=",
        "permessage-deflate; a=\"",
        "permessage-deflate; a=\"\"",
        "permessage-deflate; a=\"b c\"",
        "permessage-deflate; a=\"b\"c",
        "permessage-deflate; a=\"b\\",
        "permessage-deflate client",
        "permessage-deflate; a b",
        "perméssage",
        "a\r\nb",
    ] {
        assert_eq!(offers(header), malformed, "{header:?}");
    }
    assert_eq!(Offer::parse_all([&[0xff][..]]), malformed);
    let many = |what: &str, count| offers(&what.repeat(count));
    assert_eq!(many("a,", 16), Ok(vec![]));
    assert_eq!(many("a,", 17), Err(ExtensionError::TooMany));
    assert_eq!(offers(&format!("a{}", ";b".repeat(16))), Ok(vec![]));
    let many = offers(&format!("a{}", ";b".repeat(17)));
    assert_eq!(many, Err(ExtensionError::TooMany));
    let headers = [&b"a"[..]; 17];
    assert_eq!(Offer::parse_all(headers), Err(ExtensionError::TooMany));
}

#[test]
fn empty_elements_and_several_headers_are_one_list() {
    let headers = [&b", ,foo"[..], b"permessage-deflate ,", b"permessage-deflate"];
    assert_eq!(Offer::parse_all(headers).unwrap().len(), 2);
}

#[test]
fn the_client_is_told_what_the_upstream_agreed_to() {
    let alone = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let cases = [
        (TAKEOVER, BROWSER, "", None),
        (TAKEOVER, BROWSER, "permessage-deflate", Some("permessage-deflate")),
        (
            TAKEOVER,
            BROWSER,
            "permessage-deflate;client_max_window_bits=\"12\";server_max_window_bits=10",
            Some("permessage-deflate; server_max_window_bits=10; client_max_window_bits=12"),
        ),
        // Unasked, and allowed.
        (TAKEOVER, "permessage-deflate", alone, Some(alone)),
        // The hint passed over: the client is asked all the same.
        (ALONE, "permessage-deflate", "permessage-deflate; server_no_context_takeover", Some(alone)),
        (
            TAKEOVER,
            "permessage-deflate; server_max_window_bits=12",
            "permessage-deflate; server_max_window_bits=8",
            Some("permessage-deflate; server_max_window_bits=8"),
        ),
    ];
    for (policy, offer, upstream, wanted) in cases {
        let told = answer(policy, offer, upstream);
        assert_eq!(told, Ok(wanted.map(str::to_owned)), "{upstream}");
    }
}

#[test]
fn an_answer_that_does_not_fit_the_offer_fails_the_connection() {
    let invalid = ExtensionError::InvalidResponse;
    let cases = [
        (TAKEOVER, BROWSER, "permessage-deflate; client_max_window_bits", invalid),
        (TAKEOVER, BROWSER, "permessage-deflate; unknown", invalid),
        (TAKEOVER, BROWSER, "permessage-deflate; server_max_window_bits=16", invalid),
        (TAKEOVER, "permessage-deflate", "permessage-deflate; client_max_window_bits=9", invalid),
        (
            TAKEOVER,
            "permessage-deflate; client_max_window_bits=10",
            "permessage-deflate; client_max_window_bits=11",
            invalid,
        ),
        (
            TAKEOVER,
            "permessage-deflate; server_max_window_bits=10",
            "permessage-deflate; server_max_window_bits=11",
            invalid,
        ),
        (TAKEOVER, "permessage-deflate; server_max_window_bits=10", "permessage-deflate", invalid),
        (ALONE, BROWSER, "permessage-deflate", invalid),
        (TAKEOVER, BROWSER, "permessage-deflate, permessage-deflate", ExtensionError::NotOffered),
        (TAKEOVER, BROWSER, "permessage-bzip2", ExtensionError::NotOffered),
        (TAKEOVER, BROWSER, "permessage-deflate;", ExtensionError::Malformed),
    ];
    for (policy, offer, upstream, error) in cases {
        assert_eq!(answer(policy, offer, upstream), Err(error), "{upstream}");
    }
}

#[test]
fn each_answer_to_the_client_is_one_it_would_accept() {
    let flags = [false, true];
    let bits = [None, Some(8), Some(12), Some(15)];
    for (policy, n) in [ALONE, TAKEOVER].into_iter().flat_map(|p| (0..64).map(move |n| (p, n))) {
        let offer = Offer {
            server_no_context_takeover: flags[n % 2],
            client_no_context_takeover: flags[n / 2 % 2],
            server_max_window_bits: bits[n / 4 % 4],
            client_max_window_bits: bits[n / 16 % 4].map(|b| Some(b).filter(|b| *b != 15)),
        };
        let ours = policy.propose(&[offer]).unwrap();
        for m in 0..64 {
            let upstream = Params {
                server_no_context_takeover: flags[m % 2],
                client_no_context_takeover: flags[m / 2 % 2],
                server_max_window_bits: bits[m / 4 % 4],
                client_max_window_bits: bits[m / 16 % 4],
            };
            let Ok(agreed) = ours.accept([upstream.header_value().as_bytes()]) else {
                continue;
            };
            let told = agreed.unwrap().header_value();
            let client = TAKEOVER.propose(&[offer]).unwrap();
            assert!(client.accept([told.as_bytes()]).is_ok(), "{offer:?}: {told}");
        }
    }
}
