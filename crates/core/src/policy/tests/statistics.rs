//! `routes[].statistics`: what it becomes, and each fault with its place.

use serde_json::{Value, json};

use super::load_text;
use crate::policy::checked::{Figure, PlainHttp, Shape};

const ROUTES: &str = "access: { roles: { admin: { allow: [system.monitor] } } }
routes:
  - { name: chat, path: /ws, upstream: ws://x }
  - name: stats
    path: /ws/stats
";

/// The route's further lines → message, key, a part of the help.
const CASES: &[(&str, &str, &str, &str)] = &[
    (
        "statistics: { shape: { a: '{users}' } }",
        "nothing says who may read the figures",
        "routes[1].statistics",
        "`permission: anyone`",
    ),
    (
        "permission: system.monitor\n    statistics: {}",
        "`shape` is missing",
        "routes[1].statistics.shape",
        "shape: {users",
    ),
    (
        "permission: system.monitor\n    upstream: ws://y\n    statistics: { shape: 1 }",
        "`statistics` excludes `upstream`, `upstreams` and `http`",
        "routes[1].statistics",
        "a route of its own",
    ),
    (
        "permission: system.monitor\n    statistics: { shape: { a: ['{usres}'] } }",
        "`{usres}` is not a figure",
        "routes[1].statistics.shape.a[0]",
        "did you mean `{users}`?",
    ),
    (
        "roles: [admin]\n    statistics: { shape: { a: '{users:chta}' } }",
        "no route is named `chta`",
        "routes[1].statistics.shape.a",
        "did you mean `chat`?",
    ),
    (
        "roles: [admin]\n    statistics: { shape: { a: '{users:stats}' } }",
        "no route is named `stats`",
        "routes[1].statistics.shape.a",
        "a route that has connections",
    ),
    (
        "roles: [admin]\n    statistics: { shape: { a: '{refusals:origin}' } }",
        "`origin` is no reason of a refusal",
        "routes[1].statistics.shape.a",
        "",
    ),
    (
        "roles: [admin]\n    statistics: { shape: { a: '{refusals_in:threats}' } }",
        "`threats` is no category of events",
        "routes[1].statistics.shape.a",
        "authentication, authorization",
    ),
    (
        "roles: [admin]\n    statistics: { shape: { a: 'up for {uptime_seconds} s' } }",
        "`up for {uptime_seconds} s` is neither a figure nor plain text",
        "routes[1].statistics.shape.a",
        "write the figure alone",
    ),
];

#[test]
fn each_fault_has_its_place_and_a_way_out() {
    for (lines, message, key, help) in CASES {
        let text = format!("{ROUTES}    {lines}\n");
        let errors = load_text(&text).map(|_| ()).expect_err(&text);
        let [error] = errors.0.as_slice() else { panic!("one error for {text}:\n{errors}") };
        assert_eq!((error.message.as_str(), error.key.as_str()), (*message, *key), "{text}");
        assert!(error.help.contains(help) && error.location.is_some(), "{text}\n{error}");
    }
}

#[test]
fn a_shape_is_json_with_figures_in_it() {
    let text = format!(
        "{ROUTES}    permission: system.monitor
    statistics: {{ shape: {{ success: true, n: 1.5, by: {{ chat: '{{connections:chat}}' }}, all: ['{{users}}', text] }} }}\n"
    );
    let loaded = load_text(&text).unwrap_or_else(|errors| panic!("{errors}"));
    let route = &loaded.checked.routes[1];
    assert_eq!((route.http, route.upstreams.len()), (PlainHttp::Pass, 0));
    let shape = route.statistics.as_ref().expect("a shape");
    let filled = shape.fill(&|figure| match figure {
        Figure::Connections(Some(route)) => format!("{route}'s").into(),
        Figure::Users(None) => 3.into(),
        _ => Value::Null,
    });
    assert_eq!(filled, json!({ "success": true, "n": 1.5, "by": { "chat": "chat's" }, "all": [3, "text"] }));
    let about: Vec<_> = loaded.warnings.iter().filter(|warning| warning.key.starts_with("routes[1]")).collect();
    assert!(about.is_empty(), "no message passes there: {about:?}");
}

#[test]
fn a_shape_is_bounded() {
    let with = |values: usize| {
        let list = vec!["1"; values].join(", ");
        load_text(&format!("{ROUTES}    roles: [admin]\n    statistics: {{ shape: [{list}] }}\n"))
    };
    let loaded = with(511).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(matches!(&loaded.checked.routes[1].statistics, Some(Shape::List(items)) if items.len() == 511));
    let errors = with(512).map(|_| ()).expect_err("513 values");
    let [error] = errors.0.as_slice() else { panic!("one error:\n{errors}") };
    assert_eq!(error.message, "the shape is too large");
}
