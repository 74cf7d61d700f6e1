//! A request's head through the whole of admission: no panic, no place kept, and no way past a credential.
//!
//! Input: a head as it comes from a socket, then, after the empty line, the first message where one is asked for.

#![no_main]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use libfuzzer_sys::fuzz_target;
use portcullis_core::admission::{
    Admission, Answer, Arrival, Decision, Gate, Head, Question, Step, client_address, proxy_protocol,
};
use portcullis_core::identity::{KeyRing, TokenCache};
use portcullis_core::policy::Policy;
use portcullis_fuzz::{checked, now};

struct House {
    policy: Arc<Policy>,
    gate: Arc<Gate>,
    keys: Arc<KeyRing>,
    cache: Arc<TokenCache>,
}

static HOUSE: LazyLock<House> = LazyLock::new(|| {
    let checked = checked();
    let keys = Arc::new(KeyRing::new(&checked.identity).expect("the key"));
    let policy = Arc::new(Policy::compile(checked).expect("the policy"));
    let cache = Arc::new(TokenCache::new(64, Duration::from_secs(300)));
    House { gate: Gate::new(&policy, [1, 2]), policy, keys, cache }
});

fuzz_target!(|data: &[u8]| {
    let _ = proxy_protocol::parse(data);
    let mut room = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut room);
    let Ok(httparse::Status::Complete(end)) = request.parse(data) else { return };
    let (Some(method), Some(path)) = (request.method, request.path) else { return };
    let (Ok(method), Ok(uri)) = (Method::try_from(method), Uri::try_from(path)) else { return };
    let mut headers = HeaderMap::new();
    for header in request.headers.iter() {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(header.name), HeaderValue::from_bytes(header.value)) else {
            return;
        };
        headers.append(name, value);
    }
    let version = if request.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let house = &*HOUSE;
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let client = client_address::resolve(peer, &headers, &house.policy.checked.listen).unwrap_or(peer);
    let mut admission = Admission::new(
        Arc::clone(&house.policy),
        Arc::clone(&house.gate),
        Arc::clone(&house.keys),
        Arc::clone(&house.cache),
        Arrival { client, tls: false, connection_id: "c-1".into(), certificate: None },
    );
    let mut step = admission.arrive(&Head { method: &method, uri: &uri, version, headers: &headers }, now());
    let mut asked = 0;
    let decision = loop {
        asked += 1;
        assert!(asked < 8, "admission never ends");
        step = match step {
            Step::Done(decision) => break *decision,
            Step::Ask(Question::FirstMessage { .. }) => {
                let message = data.get(end..).filter(|rest| !rest.is_empty()).map(<[u8]>::to_vec);
                admission.answer(Answer::FirstMessage(message), now())
            }
            Step::Ask(_) => admission.answer(Answer::Keys(Err(())), now()),
        };
    };
    match decision {
        Decision::Admit(admitted) | Decision::PassHttp(admitted) => {
            let route = admitted.route.spec.name.as_str();
            assert!(route == "open" || route == "maybe", "without a credential: {route}");
            assert!(admitted.principal.subject.is_none());
            for name in admitted.upstream_headers.keys() {
                assert!(
                    !["sec-websocket-key", "connection", "upgrade"].contains(&name.as_str()),
                    "of this hop: {name}"
                );
            }
            let said = admitted.upstream_headers.get_all("x-portcullis-subject").iter().count();
            assert_eq!(said, 0, "a client named itself");
        }
        Decision::Refuse(_) => {}
    }
    drop(admission);
    assert_eq!(house.gate.open_connections(), 0, "a place was kept");
});
