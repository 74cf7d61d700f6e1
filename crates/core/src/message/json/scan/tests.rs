//! The pass at its edges.

use super::*;
use crate::message::json::Fault;

const BOUNDS: Bounds = Bounds { depth_max: 4, keys_max: 20, values_max: 30, string_bytes_max: 40 };

fn fault(text: &str) -> Option<Fault> {
    Scan::seeded(7).run(text.as_bytes(), &BOUNDS, &Pointers::default()).err().map(|refusal| refusal.fault)
}

#[test]
fn each_bound_holds_at_its_edge() {
    assert_eq!(fault("[[[[1]]]]"), None);
    assert_eq!(fault("[[[[[1]]]]]"), Some(Fault::TooDeep));
    let keys = |n: usize| format!("{{{}}}", (0..n).map(|i| format!("\"k{i}\":0")).collect::<Vec<_>>().join(","));
    assert_eq!(fault(&keys(20)), None);
    assert_eq!(fault(&keys(21)), Some(Fault::TooManyKeys));
    let values = |n: usize| format!("[{}]", vec!["0"; n - 1].join(","));
    assert_eq!(fault(&values(30)), None);
    assert_eq!(fault(&values(31)), Some(Fault::TooManyValues));
    assert_eq!(fault(&format!("\"{}\"", "x".repeat(40))), None);
    assert_eq!(fault(&format!("\"{}\"", "x".repeat(41))), Some(Fault::StringTooLong));
    assert_eq!(fault(&format!("\"{}\"", "\\u00e9".repeat(20))), None, "counted decoded");
    assert_eq!(fault(&format!("\"{}\"", "\\u00e9".repeat(21))), Some(Fault::StringTooLong));
}

#[test]
fn a_key_twice_is_refused_however_it_is_written() {
    for text in [
        r#"{"a":1,"a":2}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"\u0061":1,"a":2}"#,
        r#"{"\n":1,"\u000a":2}"#,
        r#"{"":1,"":2}"#,
        r#"[{"x":{"a":1,"b":{"a":2},"a":3}}]"#,
        r#"{"a":0,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"h":0,"i":0,"j":0,"c":1}"#,
        r#"{"a":0,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"h":0,"i":0,"j":0,"\u006a":1}"#,
    ] {
        assert_eq!(fault(text), Some(Fault::DuplicateKey), "{text}");
    }
    for text in [r#"{"a":{"a":{"a":1}}}"#, r#"[{"a":1},{"a":1}]"#, r#"{"a":1,"A":2}"#, r#"{"a":1,"a\u0000":2}"#] {
        assert_eq!(fault(text), None, "{text}");
    }
}

#[test]
fn thousands_of_keys_are_told_apart() {
    let bounds = Bounds { keys_max: 100_000, values_max: 100_000, ..BOUNDS };
    let mut scan = Scan::seeded(3);
    let members: Vec<String> = (0..5000).map(|i| format!("\"k{i}\":{{\"k{i}\":0}}")).collect();
    let text = format!("{{{}}}", members.join(","));
    assert_eq!(scan.run(text.as_bytes(), &bounds, &Pointers::default()), Ok(()));
    let text = format!("{{{},\"k4321\":0}}", members.join(","));
    assert_eq!(scan.run(text.as_bytes(), &bounds, &Pointers::default()).map_err(|r| r.fault), Err(Fault::DuplicateKey));
}

#[test]
fn fields_are_found_by_their_pointers() {
    let mut pointers = Pointers::default();
    let asked = ["/type", "/meta/id", "/list/1", "/list/1/x", "/none", "/meta", "", "/a~1b", "/esc"];
    for pointer in asked {
        pointers.add(pointer).unwrap();
    }
    let text = r#"{"other":{"type":"no","meta":{"id":9}}, "type" : "chat","meta":{"skip":[1,2],"id":12.5},
            "list":[{"x":1},{"x":null}],"a/b":true,"\u0065sc":"\n"}"#;
    let mut scan = Scan::seeded(1);
    let bounds = Bounds { values_max: 50, ..BOUNDS };
    scan.run(text.as_bytes(), &bounds, &pointers).unwrap();
    let found: Vec<(ValueKind, &str)> = (0..asked.len())
        .map(|n| (scan.value(n).kind, std::str::from_utf8(scan.value(n).raw(text.as_bytes())).unwrap()))
        .collect();
    assert_eq!(found[0], (ValueKind::String, "chat"));
    assert_eq!(found[1], (ValueKind::Number, "12.5"));
    assert_eq!(found[2], (ValueKind::Object, r#"{"x":null}"#));
    assert_eq!(found[3], (ValueKind::Null, "null"));
    assert_eq!(found[4].0, ValueKind::Missing);
    assert_eq!(found[5].0, ValueKind::Object);
    assert_eq!(found[6], (ValueKind::Object, text));
    assert_eq!(found[7], (ValueKind::Boolean, "true"));
    assert_eq!(found[8], (ValueKind::String, r"\n"));
    assert!(scan.value(8).escapes);
}

#[test]
fn a_star_stands_for_any_member_or_element() {
    let mut pointers = Pointers::default();
    let asked = ["/items/*/note", "/items/*", "/*/*", "/a", "/items/1/*"];
    for pattern in asked {
        pointers.add_each(pattern).unwrap();
    }
    assert_eq!(pointers.add("/*/*"), Ok(5), "a member that is called so is another thing");
    let text = r#"{"a":{"items":1},"items":[{"note":"x"},{"note":[2],"n":{}},3],"*":{"*":"s"}}"#;
    let mut scan = Scan::seeded(1);
    let bounds = Bounds { values_max: 50, ..BOUNDS };
    scan.run(text.as_bytes(), &bounds, &pointers).unwrap();
    let mut found: Vec<(u8, &str)> = scan
        .marks()
        .iter()
        .map(|mark| (mark.pattern, std::str::from_utf8(mark.value.raw(text.as_bytes())).unwrap()))
        .collect();
    assert!(scan.marks().is_sorted_by_key(|mark| mark.value.start));
    found.sort_unstable();
    let second = r#"{"note":[2],"n":{}}"#;
    assert_eq!(
        found,
        [
            (0, "[2]"),
            (0, "x"),
            (1, "3"),
            (1, r#"{"note":"x"}"#),
            (1, second),
            (2, "1"),
            (2, "3"),
            (2, "s"),
            (2, r#"{"note":"x"}"#),
            (2, second),
            (3, r#"{"items":1}"#),
            (4, "[2]"),
            (4, "{}"),
        ]
    );
    assert_eq!(scan.value(5).raw(text.as_bytes()), b"s");
}

#[test]
fn a_string_finds_its_way_back_to_its_pointer() {
    let text = r#"{"a":[1,{"b/c":"x"},"y"],"\u0064":{"e":"z"}}"#;
    let mut scan = Scan::seeded(1);
    scan.run(text.as_bytes(), &BOUNDS, &Pointers::default()).unwrap();
    let spans = scan.strings().to_vec();
    let bound = |scan: &mut Scan, max| -> Vec<String> {
        spans.iter().map(|span| scan.pointer_of(text.as_bytes(), &BOUNDS, span.start, max)).collect()
    };
    assert_eq!(bound(&mut scan, 128), ["/a", "/a/1/b~1c", "/a/1/b~1c", "/a/2", "/d", "/d/e", "/d/e"]);
    assert_eq!(bound(&mut scan, 4), ["/a", "/a/1", "/a/1", "/a/2", "/d", "/d/e", "/d/e"]);
}

#[test]
fn a_refusal_finds_its_way_to_the_field() {
    let deep = format!(r#"{{"a":{}"#, r#"{"b":["#.repeat(3));
    let long = "x".repeat(BOUNDS.string_bytes_max as usize + 1);
    let (value, key) = (format!(r#"{{"a":["b","{long}"]}}"#), format!(r#"{{"a":[{{"b":1,"{long}":2}}]}}"#));
    let many = format!(r#"{{"a":[{}]}}"#, vec!["1"; BOUNDS.values_max as usize].join(","));
    for (text, expected) in [
        (r#"{"a":1,"a":2}"#, ""),
        (r#"{"a":{"b/c":[1,{"d":1,"\u0064":2}]}}"#, "/a/b~1c/1"),
        (r#"{"a":[{"b":tru}]}"#, "/a/0"),
        (r#"{"a":[1,{"b":1}"#, "/a"),
        (r#"{"a":1}}"#, ""),
        ("", ""),
        (deep.as_str(), "/a/b/0/b"),
        (value.as_str(), "/a/1"),
        (key.as_str(), "/a/0"),
        (many.as_str(), "/a"),
    ] {
        let mut scan = Scan::seeded(1);
        let refusal = scan.run(text.as_bytes(), &BOUNDS, &Pointers::default()).expect_err(text);
        assert_eq!(scan.refused_at(text.as_bytes(), &refusal, 128), expected, "{text}: {}", refusal.words());
        assert!(scan.refused_at(text.as_bytes(), &refusal, 3).len() <= 3, "{text}");
    }
}

mod habits {
    //! What was learned of the texts before changes no result.

    use proptest::prelude::*;

    use super::*;
    use crate::message::survey::Wanted;

    fn key() -> impl Strategy<Value = String> {
        let names =
            ["id", "type", "a", "b", "", "\\u0061", "meta", "fifteen-bytes-k", "sixteen-bytes-ke", "é", "\\n", "list"];
        prop::sample::select(names.to_vec()).prop_map(str::to_owned)
    }

    fn value() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("1".to_owned()),
            Just("true".to_owned()),
            Just("\"x\"".to_owned()),
            Just("\"\\\"\"".to_owned()),
            Just("oops".to_owned()),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(|all| format!("[{}]", all.join(","))),
                members(inner).prop_map(|all| format!("{{{all}}}")),
            ]
        })
    }

    fn members(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
        let gap = prop::sample::select(vec!["", "", "", " ", "\n\t"]);
        let member = (key(), gap, value).prop_map(|(key, gap, value)| format!("\"{key}\"{gap}:{gap}{value}"));
        prop::collection::vec(member, 0..6).prop_map(|all| all.join(","))
    }

    /// Mostly objects, some of them cut off.
    fn text() -> impl Strategy<Value = String> {
        let whole = prop_oneof![6 => members(value()).prop_map(|all| format!("{{{all}}}")), 1 => value()];
        (whole, prop::option::weighted(0.1, 0_usize..40), prop::sample::select(vec!["", "                ", " x"]))
            .prop_map(|(text, cut, tail)| match cut {
                Some(cut) => text.chars().take(cut).collect(),
                None => text + tail,
            })
    }

    fn asked(pointers: &[&str], patterns: &[&str]) -> Pointers {
        let mut set = Pointers::default();
        for pointer in pointers {
            set.add(pointer).unwrap();
        }
        for pattern in patterns {
            set.add_each(pattern).unwrap();
        }
        set
    }

    proptest! {
        #[test]
        fn a_text_is_read_as_if_it_were_the_first(texts in prop::collection::vec((text(), 0_usize..3), 1..40)) {
            let sets = [
                asked(&["/id", "/type", "/a"], &[]),
                asked(&["/id", "/meta/id", "/meta/a/b", "", "/list/0"], &["/*/a", "/meta/*"]),
                asked(&[], &[]),
            ];
            let bounds = Bounds { depth_max: 4, keys_max: 9, values_max: 20, string_bytes_max: 15 };
            let mut used = Scan::seeded(5);
            let mut survey = Survey::default();
            for (text, set) in texts {
                let (bytes, pointers) = (text.as_bytes(), &sets[set]);
                survey.of(bytes, Wanted::Edges);
                let mut first = Scan::seeded(5);
                let expected = first.run(bytes, &bounds, pointers);
                let outcome = used.run_surveyed(bytes, &survey, &bounds, pointers);
                prop_assert_eq!(&outcome, &expected, "{}", text);
                prop_assert_eq!(used.strings(), first.strings(), "{}", text);
                prop_assert_eq!(used.marks(), first.marks(), "{}", text);
                for number in 0..pointers.len() {
                    prop_assert_eq!(used.value(number), first.value(number), "{} {}", text, number);
                }
                if let Err(refusal) = outcome {
                    prop_assert_eq!(used.refused_at(bytes, &refusal, 100), first.refused_at(bytes, &refusal, 100), "{}", text);
                }
            }
        }
    }

    #[test]
    fn a_duplicate_behind_keys_that_are_known_is_found() {
        let pointers = asked(&["/id", "/b"], &[]);
        let bounds = Bounds { depth_max: 4, keys_max: 20, values_max: 20, string_bytes_max: 40 };
        let (mut scan, mut survey) = (Scan::seeded(5), Survey::default());
        let mut read = |text: &str| {
            survey.of(text.as_bytes(), Wanted::Edges);
            scan.run_surveyed(text.as_bytes(), &survey, &bounds, &pointers).map_err(|refusal| refusal.fault)
        };
        let padding = " ".repeat(20);
        for _ in 0..3 {
            assert_eq!(read(&format!("{{\"id\":1,\"a\":2,\"b\":3}}{padding}")), Ok(()));
            for last in ["id", "a", "\\u0061", "b"] {
                let text = format!("{{\"id\":1,\"a\":2,\"b\":3,\"{last}\":4}}{padding}");
                assert_eq!(read(&text), Err(Fault::DuplicateKey), "{text}");
            }
            assert_eq!(read(&format!("{{\"id\":1,\"id\":2}}{padding}")), Err(Fault::DuplicateKey));
        }
    }

    #[test]
    fn what_is_learned_is_bounded_whatever_comes() {
        let mut scan = Scan::seeded(5);
        let mut survey = Survey::default();
        let bounds = Bounds { depth_max: 4, keys_max: 2000, values_max: 2000, string_bytes_max: 40 };
        let sets: Vec<Pointers> = (0..100).map(|n| asked(&[&format!("/k{n}")], &[])).collect();
        let mut learned = 0;
        for round in 0..3000 {
            let members: Vec<String> = (0..20).map(|n| format!("\"k{}\":0", (round * 7 + n * 13) % 997)).collect();
            let text = format!("{{{}}}{}", members.join(","), " ".repeat(20));
            survey.of(text.as_bytes(), Wanted::Edges);
            scan.run_surveyed(text.as_bytes(), &survey, &bounds, &sets[round % sets.len()]).unwrap();
            learned = learned.max(scan.shapes.learned());
        }
        assert!((1..=crate::message::json::shape::LEARNED_MAX).contains(&learned), "{learned}");
    }
}
