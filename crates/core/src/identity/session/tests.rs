//! Sessions on virtual time: issued, shown, bound, idle, old, too many, rotated, tampered with.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::policy::checked::{SameSite, SessionCookie, WhenFull};

fn rules() -> Rules {
    Rules {
        path: "/s".into(),
        idle_timeout: Duration::from_secs(60),
        lifetime: Duration::from_secs(600),
        rate_per_user: None,
        max_per_user: 2,
        when_full: WhenFull::OldestLeaves,
        cookie: SessionCookie { name: "s".into(), path: "/".into(), same_site: SameSite::Strict, secure: true },
        bind_address: false,
        bind_user_agent: false,
    }
}

fn at(unix_s: u64) -> Now {
    Now { mono: Duration::ZERO, wall: Duration::from_secs(unix_s) }
}

fn ip(text: &str) -> IpKey {
    IpKey::of(text.parse::<IpAddr>().unwrap(), 64)
}

fn here() -> Shown<'static> {
    Shown { ip: ip("192.0.2.1"), user_agent: Some("Agent/1") }
}

fn ada() -> Principal {
    Principal {
        subject: Some("ada".into()),
        method: Method::Jwt,
        roles: Box::new(["user".into()]),
        tenant: Some("acme".into()),
        session: Some("sid-1".into()),
        token_id: Some("jti-1".into()),
        expires_at_unix_s: Some(1_010),
        ..Principal::anonymous()
    }
}

fn order(principal: Principal, along: Option<&str>) -> Order {
    let (ip, user_agent) = (here().ip, here().user_agent.map(str::to_owned));
    Order { principal: Arc::new(principal), ip, user_agent, along: along.map(str::to_owned) }
}

fn random(seed: u8) -> [u8; RANDOM_BYTES] {
    std::array::from_fn(|n| seed.wrapping_mul(37).wrapping_add(n as u8))
}

fn issue(sessions: &Sessions, seed: u8, principal: Principal, now: u64) -> Plan {
    let plan = sessions.plan(&random(seed), &order(principal, None), &rules(), at(now)).unwrap();
    sessions.commit(&plan);
    plan
}

#[test]
fn a_session_proves_whom_it_was_issued_to_and_outlives_the_token() {
    let sessions = Sessions::default();
    let plan = issue(&sessions, 1, ada(), 1_000);
    assert!(is_session(&plan.text) && plan.text.len() == PREFIX.len() + 43);
    let who = sessions.verify(&plan.text, here(), &rules(), at(1_050)).unwrap();
    assert_eq!(
        (who.subject.as_deref(), who.tenant.as_deref(), who.method),
        (Some("ada"), Some("acme"), Method::Session)
    );
    assert_eq!((who.session.as_deref(), who.token_id.as_deref()), (Some(&*plan.session.terms.id), Some("jti-1")));
    assert_eq!(who.origin.unwrap().session.as_deref(), Some("sid-1"));
    assert_eq!(who.expires_at_unix_s, Some(1_600));
    assert_eq!(sessions.verify("pcs_chosen-by-a-client", here(), &rules(), at(1_050)), Err(Reason::SessionInvalid));
}

#[test]
fn an_idle_session_ends_and_use_keeps_it_until_its_lifetime() {
    let sessions = Sessions::default();
    let plan = issue(&sessions, 1, ada(), 1_000);
    let who = |now| sessions.verify(&plan.text, here(), &rules(), at(now));
    for now in (1_050..1_600).step_by(50) {
        assert!(who(now).is_ok(), "{now}");
    }
    assert_eq!(who(1_600), Err(Reason::SessionExpired));
    let plan = issue(&sessions, 2, ada(), 2_000);
    let held = sessions.of(&sessions.verify(&plan.text, here(), &rules(), at(2_000)).unwrap()).unwrap();
    assert_eq!(held.idle_left(Duration::from_secs(60), at(2_059)), Duration::from_secs(1));
    held.touch(2_055);
    assert!(sessions.verify(&plan.text, here(), &rules(), at(2_100)).is_ok());
    assert_eq!(sessions.verify(&plan.text, here(), &rules(), at(2_160)), Err(Reason::SessionIdle));
    let ended: Vec<_> = sessions.ended(&rules(), at(2_160)).into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(ended.len(), 2);
    assert!(ended.contains(&Reason::SessionIdle) && ended.contains(&Reason::SessionExpired));
}

#[test]
fn a_bound_session_is_refused_from_elsewhere_and_stays_good_at_home() {
    let bound = Rules { bind_address: true, bind_user_agent: true, ..rules() };
    let sessions = Sessions::default();
    let plan = sessions.plan(&random(1), &order(ada(), None), &bound, at(1_000)).unwrap();
    sessions.commit(&plan);
    for shown in [
        Shown { ip: ip("192.0.2.2"), ..here() },
        Shown { user_agent: Some("Agent/2"), ..here() },
        Shown { user_agent: None, ..here() },
    ] {
        assert_eq!(sessions.verify(&plan.text, shown, &rules(), at(1_001)), Err(Reason::SessionForeign), "{shown:?}");
    }
    assert!(sessions.verify(&plan.text, here(), &rules(), at(1_001)).is_ok());
}

#[test]
fn a_record_that_was_changed_in_the_store_opens_nothing() {
    let sessions = Sessions::default();
    let plan = issue(&sessions, 1, ada(), 1_000);
    let changes: [fn(&mut Terms); 5] = [
        |terms| terms.roles.push("admin".into()),
        |terms| terms.subject = "eve".into(),
        |terms| terms.ends_unix_s = u64::MAX,
        |terms| terms.mfa = true,
        |terms| terms.tenant = None,
    ];
    for change in changes {
        let mut stored = plan.session.clone();
        change(&mut stored.terms);
        sessions.replace([stored]);
        assert_eq!(sessions.verify(&plan.text, here(), &rules(), at(1_001)), Err(Reason::SessionAltered));
    }
    sessions.replace([plan.session.clone()]);
    assert!(sessions.verify(&plan.text, here(), &rules(), at(1_001)).is_ok());
}

#[test]
fn the_oldest_leaves_or_the_newest_is_refused_and_others_are_not_touched() {
    let sessions = Sessions::default();
    let first = issue(&sessions, 1, ada(), 1_000);
    issue(&sessions, 2, ada(), 1_001);
    let elsewhere = issue(&sessions, 3, Principal { tenant: None, ..ada() }, 999);
    let full = Rules { when_full: WhenFull::Refuse, ..rules() };
    assert_eq!(sessions.plan(&random(4), &order(ada(), None), &full, at(1_002)).err(), Some(Reason::SessionsFull));
    let plan = issue(&sessions, 4, ada(), 1_002);
    assert_eq!(plan.displaces, std::slice::from_ref(&first.session.terms.id));
    assert_eq!(sessions.len(), 3);
    assert!(sessions.verify(&first.text, here(), &rules(), at(1_003)).is_err());
    assert!(sessions.verify(&elsewhere.text, here(), &rules(), at(1_003)).is_ok(), "another tenant's user");
}

#[test]
fn of_sessions_of_one_second_the_one_that_came_first_leaves() {
    for seed in 1..20 {
        let sessions = Sessions::default();
        let first = issue(&sessions, seed, ada(), 1_000);
        issue(&sessions, seed + 20, ada(), 1_000);
        let third = issue(&sessions, seed + 40, ada(), 1_000);
        assert_eq!(third.displaces, std::slice::from_ref(&first.session.terms.id), "whatever their ids are");
    }
}

#[test]
fn a_rotated_session_has_another_id_and_text_the_same_end_and_the_old_one_is_dead() {
    let sessions = Sessions::default();
    let old = issue(&sessions, 1, ada(), 1_000);
    let who = sessions.verify(&old.text, here(), &rules(), at(1_030)).unwrap();
    let new = issue(&sessions, 2, who.clone(), 1_030);
    assert_eq!(new.replaces, std::slice::from_ref(&old.session.terms.id));
    assert!(new.displaces.is_empty(), "a session that takes another's place is not one more");
    assert_ne!((&new.text, &new.session.terms.id), (&old.text, &old.session.terms.id));
    assert_eq!(new.session.terms.ends_unix_s, 1_600, "rotation does not make it younger");
    assert_eq!(new.session.terms.provider_session.as_deref(), Some("sid-1"));
    assert_eq!(sessions.verify(&old.text, here(), &rules(), at(1_031)), Err(Reason::SessionInvalid));
    assert_eq!(sessions.refuses(&who), Some(Reason::CredentialRevoked));
}

#[test]
fn a_new_credential_ends_the_session_that_came_along() {
    let sessions = Sessions::default();
    let old = issue(&sessions, 1, ada(), 1_000);
    let stronger = Principal { mfa: true, roles: Box::new(["admin".into()]), ..ada() };
    let plan = sessions.plan(&random(2), &order(stronger, Some(&old.text)), &rules(), at(1_010)).unwrap();
    sessions.commit(&plan);
    assert!(sessions.verify(&old.text, here(), &rules(), at(1_011)).is_err());
    let who = sessions.verify(&plan.text, here(), &rules(), at(1_011)).unwrap();
    assert!(who.mfa && &*who.roles[0] == "admin");
    assert_eq!(sessions.len(), 1);
}

#[test]
fn what_left_the_store_is_gone_and_uses_are_kept_over_a_reading() {
    let sessions = Sessions::default();
    let (one, two) = (issue(&sessions, 1, ada(), 1_000), issue(&sessions, 2, ada(), 1_000));
    let who = sessions.verify(&one.text, here(), &rules(), at(1_040)).unwrap();
    assert_eq!(sessions.take_used(), [(one.session.terms.id.clone(), 1_040)]);
    assert_eq!(sessions.take_used(), []);
    let gone = sessions.replace([one.session.clone()]);
    assert_eq!(gone, std::slice::from_ref(&two.session));
    assert!(sessions.verify(&one.text, here(), &rules(), at(1_090)).is_ok(), "it was used at 1040");
    assert_eq!(sessions.refuses(&who), None);
    let ended = sessions.end(&[one.session.terms.id.clone(), "nobody".into()]);
    assert_eq!(ended, std::slice::from_ref(&one.session));
    assert_eq!(sessions.refuses(&who), Some(Reason::CredentialRevoked));
    assert_eq!(sessions.refuses(&ada()), None, "its own `sid` is no session of ours");
    assert!(sessions.is_empty());
}

#[test]
fn a_session_of_an_api_key_ends_with_the_key() {
    let key = Principal { method: Method::ApiKey, token_id: Some("k1".into()), session: None, ..ada() };
    let sessions = Sessions::default();
    let plan = issue(&sessions, 1, key, 1_000);
    assert_eq!(plan.session.terms.ends_unix_s, 1_010);
    let who = sessions.verify(&plan.text, here(), &rules(), at(1_001)).unwrap();
    assert_eq!(crate::identity::KeyBook::default().refuses(&who), Some(Reason::CredentialRevoked), "the key is gone");
}

#[test]
fn sessions_are_found_by_what_they_rest_on() {
    let sessions = Sessions::default();
    let id = issue(&sessions, 1, ada(), 1_000).session.terms.id;
    issue(
        &sessions,
        2,
        Principal { subject: Some("bob".into()), tenant: None, session: None, token_id: None, ..ada() },
        1_000,
    );
    for (kind, value, found) in [
        ("session", "sid-1", true),
        ("session", id.as_str(), true),
        ("user", "ada", true),
        ("token", "jti-1", true),
        ("tenant", "acme", true),
        ("user", "sid-1", false),
        ("network", "192.0.2.1", false),
    ] {
        let ids = sessions.resting_on(&Target::parse(kind, value).unwrap());
        assert_eq!(ids, if found { vec![id.clone()] } else { vec![] }, "{kind} {value}");
    }
}

#[test]
fn a_session_of_another_node_is_good_here_and_its_use_there_counts() {
    let (there, here) = (Sessions::default(), Sessions::default());
    let plan = issue(&there, 1, ada(), 1_000);
    let shown = |now| here.verify(&plan.text, self::here(), &rules(), at(now));
    assert_eq!(shown(1_000), Err(Reason::SessionInvalid));
    assert_eq!(name(&plan.text), plan.session.name());
    for (now, heard) in [(1_001, Heard::New), (1_060, Heard::Nothing), (1_600, Heard::Nothing)] {
        assert_eq!(here.hear(&plan.session, &rules(), at(now)), heard, "{now}");
    }
    here.adopt(plan.session.clone());
    assert!(shown(1_001).is_ok());
    assert_eq!(here.hear(&plan.session, &rules(), at(1_001)), Heard::Nothing, "it was used since");
    let used = Session { last_used_unix_s: 1_055, ..plan.session.clone() };
    assert_eq!(here.hear(&used, &rules(), at(1_056)), Heard::Used);
    assert_eq!(here.take_used(), [(plan.session.terms.id.clone(), 1_001)]);
    here.adopt(used);
    assert_eq!(here.take_used(), [], "who told it keeps it");
    assert_eq!(here.find(&plan.session.terms.id).unwrap().last_used_unix_s, 1_055);
    assert!(shown(1_110).is_ok());
    let mut other = plan.session.clone();
    other.terms.subject = "eve".into();
    assert_eq!(here.hear(&other, &rules(), at(1_110)), Heard::Nothing, "another one under its id");
    assert_eq!(here.with_digests(&[plan.session.digest, [0; 32]]), std::slice::from_ref(&plan.session.terms.id));
}

#[test]
fn what_two_nodes_issued_at_once_is_cut_to_the_same_on_both() {
    for (when_full, left) in [(WhenFull::OldestLeaves, 1..3), (WhenFull::Refuse, 0..2)] {
        let rules = Rules { when_full, ..rules() };
        let (one, other) = (Sessions::default(), Sessions::default());
        let plan = |sessions: &Sessions, seed, now| {
            let plan = sessions.plan(&random(seed), &order(ada(), None), &rules, at(now)).unwrap();
            sessions.commit(&plan);
            plan.session
        };
        let first = plan(&one, 1, 1_000);
        other.adopt(first.clone());
        let all = [first, plan(&one, 2, 1_001), plan(&other, 3, 1_002)];
        for sessions in [&one, &other] {
            all.iter().for_each(|session| sessions.adopt(session.clone()));
            let excess = sessions.excess("ada", Some("acme"), &rules);
            assert_eq!(sessions.end(&excess).len(), 1);
            let ids = |range: std::ops::Range<usize>| {
                all[range].iter().map(|session| session.terms.id.clone()).collect::<HashSet<_>>()
            };
            let staying: HashSet<_> = all
                .iter()
                .filter_map(|session| sessions.find(&session.terms.id))
                .map(|session| session.terms.id)
                .collect();
            assert_eq!(staying, ids(left.clone()), "{when_full:?}");
            assert!(
                sessions.excess("ada", Some("acme"), &rules).is_empty()
                    && sessions.excess("ada", None, &rules).is_empty()
            );
        }
    }
}

#[test]
fn nothing_prints_a_session() {
    let sessions = Sessions::default();
    let plan = issue(&sessions, 1, ada(), 1_000);
    let order = order(ada(), Some(&plan.text));
    let shown = format!("{sessions:?} {plan:?} {order:?} {}", serde_json::to_string(&plan.session).unwrap());
    assert!(!shown.contains(&plan.text) && !shown.contains("digest") && !shown.contains("seal"), "{shown}");
}

#[test]
fn there_are_never_more_than_the_bound() {
    let sessions = Sessions::default();
    let plan = issue(&sessions, 1, ada(), 1_000);
    let many = (0..SESSIONS_MAX + 5).map(|n| {
        let mut session = plan.session.clone();
        (session.terms.id, session.terms.subject) = (n.to_string(), n.to_string());
        session.digest.iter_mut().zip(n.to_le_bytes()).for_each(|(to, from)| *to = from);
        session
    });
    sessions.replace(many);
    assert_eq!(sessions.len(), SESSIONS_MAX);
    assert_eq!(sessions.plan(&random(2), &order(ada(), None), &rules(), at(1_000)).err(), Some(Reason::SessionsFull));
}

proptest! {
    #[test]
    fn no_user_ever_has_more_than_allowed_and_every_index_agrees(
        steps in prop::collection::vec((0..4_u8, 0..3_u8, 0..5_u64), 1..60),
    ) {
        let (sessions, mut now, mut alive): (_, _, HashSet<String>) = (Sessions::default(), 1_000, HashSet::new());
        for (seed, (what, user, later)) in steps.into_iter().enumerate() {
            now += later;
            let principal = Principal { subject: Some(format!("u{user}").into()), ..ada() };
            if what == 0 {
                let ids: Vec<String> = alive.iter().take(1).cloned().collect();
                prop_assert_eq!(sessions.end(&ids).len(), ids.len());
                alive.retain(|id| !ids.contains(id));
                continue;
            }
            let plan = issue(&sessions, seed as u8, principal, now);
            alive.retain(|id| !plan.displaces.contains(id) && !plan.replaces.contains(id));
            alive.insert(plan.session.terms.id.clone());
            prop_assert!(sessions.verify(&plan.text, here(), &rules(), at(now)).is_ok());
        }
        prop_assert!(alive.len() <= 6);
        prop_assert_eq!(sessions.len(), alive.len());
        let left: HashSet<String> = sessions.replace([]).into_iter().map(|session| session.terms.id).collect();
        prop_assert_eq!(left, alive);
    }
}
