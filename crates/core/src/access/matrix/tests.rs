//! The table of small policies, line by line.

use super::*;
use crate::policy::{Nowhere, Overrides, Source, load};

fn lines(text: &str) -> Vec<String> {
    let loaded = load(Some(Source { name: "test.yaml", text }), &Overrides::default(), &Nowhere);
    let checked = loaded.unwrap_or_else(|errors| panic!("{errors}")).checked;
    let line = |cell: Cell| {
        let what = cell.message_type.unwrap_or_default();
        let decision = cell.decision.label();
        let line =
            format!("{} {} {what} [{}] {}: {decision}, {}", cell.route, cell.action, cell.needs, cell.role, cell.rule);
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    matrix(&checked).into_iter().map(line).collect()
}

#[test]
fn every_role_has_a_line_a_route_and_the_rule_is_named() {
    let text = "
access:
  roles:
    user: { allow: [chat.join, 'room.join:7'] }
    moderator: { allow: ['room.join:*'] }
    owner: { inherits: [moderator], deny: ['room.join:8'] }
    admin: { deny: [chat.join] }
routes:
  - { name: chat, path: /chat, upstream: ws://b, authenticate: required, permission: chat.join }
  - { name: room, path: '/room/{room}', upstream: ws://b, authenticate: optional, permission: 'room.join:{room}' }
  - { name: staff, path: /staff, upstream: ws://b, authenticate: required, roles: [moderator] }
  - { name: open, path: /open, upstream: ws://b, authenticate: off }
  - { name: figures, path: /figures, authenticate: required, roles: [admin], statistics: { shape: '{users}' } }
  - name: talk
    path: /talk
    upstream: ws://b
    authenticate: required
    inbound: { permissions: { 'room.*': 'room.join:{/room}', ping: anyone } }
    outbound: { json: { mode: detect }, permissions: { '*': anyone }, untyped_permission: chat.join }
";
    let connect: Vec<String> = lines(text).into_iter().filter(|line| !line.starts_with("talk")).collect();
    assert_eq!(
        connect,
        [
            "chat connect [a credential, chat.join] (anonymous): denied, no credential",
            "chat connect [a credential, chat.join] guest: denied, nothing grants it",
            "chat connect [a credential, chat.join] user: allowed, user allows chat.join",
            "chat connect [a credential, chat.join] moderator: allowed, user allows chat.join",
            "chat connect [a credential, chat.join] admin: denied, admin denies chat.join",
            "chat connect [a credential, chat.join] owner: allowed, user allows chat.join",
            "room connect [room.join:{room}] (anonymous): denied, nothing grants it",
            "room connect [room.join:{room}] guest: denied, nothing grants it",
            "room connect [room.join:{room}] user: partly, only 7",
            "room connect [room.join:{room}] moderator: allowed, moderator allows room.join:*",
            "room connect [room.join:{room}] admin: allowed, moderator allows room.join:*",
            "room connect [room.join:{room}] owner: partly, moderator allows room.join:*, but not 8",
            "staff connect [a credential, role moderator] (anonymous): denied, no credential",
            "staff connect [a credential, role moderator] guest: denied, it is not one of the roles",
            "staff connect [a credential, role moderator] user: denied, it is not one of the roles",
            "staff connect [a credential, role moderator] moderator: allowed, nothing is asked for",
            "staff connect [a credential, role moderator] admin: allowed, nothing is asked for",
            "staff connect [a credential, role moderator] owner: allowed, nothing is asked for",
            "open connect [-] (anonymous): allowed, nothing is asked for",
            "figures read [a credential, role admin] (anonymous): denied, no credential",
            "figures read [a credential, role admin] guest: denied, it is not one of the roles",
            "figures read [a credential, role admin] user: denied, it is not one of the roles",
            "figures read [a credential, role admin] moderator: denied, it is not one of the roles",
            "figures read [a credential, role admin] admin: allowed, nothing is asked for",
            "figures read [a credential, role admin] owner: denied, it is not one of the roles",
        ]
    );
    let talk = |role: &str| -> Vec<String> {
        let found =
            lines(text).into_iter().filter(|line| line.starts_with("talk") && line.contains(&format!("] {role}:")));
        found.skip(1).collect()
    };
    assert_eq!(
        talk("owner"),
        [
            "talk send ping [anyone] owner: allowed, nothing is asked for",
            "talk send room.* [room.join:{/room}] owner: partly, moderator allows room.join:*, but not 8",
            "talk send (other types) [-] owner: denied, no permission is named for it",
            "talk send (no type) [-] owner: denied, no permission is named for it",
            "talk receive * [anyone] owner: allowed, nothing is asked for",
            "talk receive (no type) [chat.join] owner: allowed, user allows chat.join",
        ]
    );
    assert!(talk("(anonymous)").is_empty(), "nobody gets as far without a credential");
}

#[test]
fn guests_and_second_factors_have_their_lines() {
    let text = "
access:
  roles:
    guest: { allow: [chat.read] }
    user: { allow: [chat.write, pay] }
    admin: { mfa: on }
routes:
  - name: open
    path: /open
    upstream: ws://b
    authenticate: optional
    inbound:
      guest_types: [ping, 'chat.*']
      mfa_types: ['pay.*']
      permissions: { 'chat.*': chat.read, chat.send: chat.write, 'pay.*': pay, ping: anyone }
  - { name: safe, path: /safe, upstream: ws://b, authenticate: required, mfa: on }
";
    let of = |role: &str| -> Vec<String> {
        let mark = format!("] {role}: ");
        lines(text).into_iter().filter(|line| line.contains(&mark)).collect()
    };
    assert_eq!(
        of("(anonymous)"),
        [
            "open connect [-] (anonymous): allowed, nothing is asked for",
            "open send chat.* [chat.read] (anonymous): allowed, guest allows chat.read",
            "open send chat.send [chat.write] (anonymous): denied, nothing grants it",
            "open send pay.* [a second factor, pay] (anonymous): denied, it is not among `guest_types`",
            "open send ping [anyone] (anonymous): allowed, nothing is asked for",
            "open send (other types) [-] (anonymous): denied, it is not among `guest_types`",
            "open send (no type) [a second factor] (anonymous): denied, it is not among `guest_types`",
            "safe connect [a credential, a second factor] (anonymous): denied, no credential",
        ]
    );
    assert_eq!(
        of("user"),
        [
            "open connect [-] user: allowed, nothing is asked for",
            "open send chat.* [chat.read] user: allowed, guest allows chat.read",
            "open send chat.send [chat.write] user: allowed, user allows chat.write",
            "open send pay.* [a second factor, pay] user: allowed, user allows pay, with a second factor",
            "open send ping [anyone] user: allowed, nothing is asked for",
            "open send (other types) [-] user: denied, no permission is named for it",
            "open send (no type) [a second factor] user: denied, no permission is named for it",
            "safe connect [a credential, a second factor] user: allowed, nothing is asked for, with a second factor",
        ]
    );
    assert!(of("admin")[0].ends_with("allowed, nothing is asked for, with a second factor"), "{:?}", of("admin"));
}
