//! Whatever the text: a policy or words, never a panic, and never a secret in the words.

use proptest::prelude::*;

use super::super::yaml::{DEPTH_MAX, TEXT_BYTES_MAX};
use super::super::{ERRORS_MAX, Overrides, Source, load};
use super::{PRODUCTION, World, furnished, load_text};

const WHOLE: &str = "\
environment: development
listen: { address: '127.0.0.1:0', trusted_proxies: [10.0.0.0/8] }
identity:
  keys:
    - { id: a, algorithm: HS256, secret: hunter2hunter2 }
  header_secret: |
    hunter2
messages: { inbound: { limits: [{ rate: 5/s }], envelope: { types: [a] } } }
routes:
  - path: /ws/{user_id}
    upstream: ws://127.0.0.1:3000
    bind: { user_id: subject }
environment_overrides: { production: { audit: { retention: 90d } } }
";

proptest! {
    #[test]
    fn any_text_is_a_policy_or_words(text in "\\PC{0,200}") {
        let _ = load_text(&text).map_err(|errors| errors.to_string());
    }

    #[test]
    fn anything_like_yaml_is_a_policy_or_words(text in "([a-z_]{1,9}|[ \n:,\\[\\]{}&*|>'\"#-]|[0-9]{1,3}){0,60}") {
        let _ = load_text(&text).map_err(|errors| errors.to_string());
    }

    #[test]
    fn a_damaged_configuration_never_shows_its_secrets(at in 0..WHOLE.len(), cut in 0..6usize, put in "[ \n:,\\[\\]{}'\"a#|-]{0,3}") {
        let mut text = WHOLE.to_owned();
        text.replace_range(at..(at + cut).min(WHOLE.len()), &put);
        // What is no longer called a secret cannot be known for one.
        prop_assume!(text.matches("secret:").count() == 2);
        if let Err(errors) = load_text(&text) {
            prop_assert!(!errors.to_string().contains("hunter2"), "{}", errors);
            prop_assert!(!errors.0.is_empty() && errors.0.len() <= ERRORS_MAX);
        }
    }

    #[test]
    fn any_variable_is_a_setting_or_words(name in "[A-Z0-9_]{0,30}", value in "\\PC{0,40}") {
        let world = World::with(&[(&format!("PORTCULLIS__{name}"), &value)]);
        let source = Source { name: "portcullis.yaml", text: PRODUCTION };
        let _ = load(Some(source), &Overrides::default(), &world).map_err(|errors| errors.to_string());
    }

    #[test]
    fn any_set_is_a_setting_or_words(set in "[a-z.\\[\\]0-9=]{0,30}\\PC{0,20}") {
        let overrides = Overrides { set: vec![set], ..Overrides::default() };
        let source = Source { name: "portcullis.yaml", text: PRODUCTION };
        let _ = load(Some(source), &overrides, &furnished()).map_err(|errors| errors.to_string());
    }
}

#[test]
fn a_text_is_bounded_in_bytes_depth_and_aliases() {
    let fits = format!("upstream: ws://x\n#{}\n", "x".repeat(TEXT_BYTES_MAX - 19));
    assert_eq!(fits.len(), TEXT_BYTES_MAX);
    assert!(load_text(&fits).is_ok());
    let shown = load_text(&format!("{fits}#")).map(|_| ()).expect_err("too large").to_string();
    assert!(shown.contains("keep it below 1048576 bytes"), "{shown}");
    let deep = format!("a: {}{}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1));
    let shown = load_text(&deep).map(|_| ()).expect_err("too deep").to_string();
    assert!(shown.contains("larger or nests deeper"), "{shown}");
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let before = level - 1;
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{before}"); 10].join(", ")));
    }
    assert!(load_text(&bomb).is_err());
}

#[test]
fn more_faults_than_fit_are_cut_at_the_bound() {
    let lines: String = (0..ERRORS_MAX * 2).map(|number| format!("key_{number}: 1\n")).collect();
    let errors = load_text(&lines).map(|_| ()).expect_err("unknown keys");
    assert_eq!(errors.0.len(), ERRORS_MAX);
}
