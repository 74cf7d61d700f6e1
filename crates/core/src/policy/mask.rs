//! A line of a configuration as it may be shown: secrets become stars. Decides by the keys it sees, not by
//! parsing, so that it holds for a text that is not YAML; in doubt it hides too much.

use super::nearest::nearest;

/// Keys whose values are secret.
const SECRET_KEYS: [&str; 4] = ["secret", "header_secret", "client_secret", "token"];
/// Keys that look like those and hold none.
const OPEN_KEYS: [&str; 11] = [
    "secret_file",
    "secret_env",
    "header_secret_file",
    "header_secret_env",
    "client_secret_file",
    "client_secret_env",
    "token_file",
    "token_env",
    "forward_token",
    "token_bytes_max",
    "require_expiry",
];

/// Line `number` (from 0) of a text, masked. `unknown` are the columns (from 0) of keys on it that are not known, whose
/// values may be secrets with a misspelt key.
pub(crate) fn line(name: &str, text: &str, number: usize, unknown: impl Iterator<Item = usize>) -> String {
    let line = text.lines().nth(number).unwrap_or("");
    if names_secret(name) || continues_secret(text, number) {
        return stars(line, 0);
    }
    let after_unknown = unknown.filter_map(|column| {
        let rest = line.chars().skip(column);
        rest.take_while(|c| !matches!(c, ':' | '=')).count().checked_add(column)?.checked_add(1)
    });
    // A secret's key without its value, then a key: a slip may have put that key before the value.
    let slipped = awaits_secret(text, number).then(|| line.chars().take_while(|c| *c != ':').count() + 1);
    match after_unknown.chain(secret_value(line)).chain(slipped).chain(account(line)).min() {
        Some(from) => stars(line, from),
        None => line.to_owned(),
    }
}

/// Where the account in the URL of a server begins, in characters.
fn account(line: &str) -> Option<usize> {
    let (before, after) = line.split_once("://")?;
    let held = after.contains('@') && ["redis", "rediss", "valkey", "valkeys"].iter().any(|one| before.ends_with(one));
    held.then(|| before.chars().count().saturating_add(3))
}

/// Whether the line before, blank ones left out, ends after a secret's key or the mark of a block.
fn awaits_secret(text: &str, number: usize) -> bool {
    let before: Vec<&str> = text.lines().take(number).collect();
    let last = before.iter().rev().find(|line| !line.trim().is_empty());
    last.is_some_and(|line| secret_value(line).is_some_and(|from| is_missing(line, from)))
}

/// Whether nothing but the mark of a block follows a key, from a character on.
fn is_missing(line: &str, from: usize) -> bool {
    let value: String = line.chars().skip(from).collect();
    value.trim().trim_start_matches([':', ' ']).chars().all(|c| "|>+-0123456789".contains(c))
}

/// Stars for all but spaces, from a character on.
fn stars(line: &str, from: usize) -> String {
    line.chars().enumerate().map(|(at, c)| if at < from || c.is_whitespace() { c } else { '*' }).collect()
}

/// Whether the name of a variable or flag says that its value is secret.
fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let key = name.rsplit(['.', ' ']).next().unwrap_or_default();
    is_secret_key(key.rsplit("__").next().unwrap_or_default())
}

/// A secret's key, or one that is a slip of the finger away.
fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let like_one = || key.ends_with("secret") || key.ends_with("token") || nearest(&key, SECRET_KEYS).is_some();
    !OPEN_KEYS.contains(&key.as_str()) && like_one()
}

/// Whether a structure with these keys holds a secret, so that a key that it does not know may be one.
pub(crate) fn holds_secret(keys: &[&str]) -> bool {
    keys.iter().any(|key| SECRET_KEYS.contains(key))
}

/// Where the first secret value of a line begins, in characters. After a key that is exactly a secret's, whatever
/// follows counts, so that a lost colon shows nothing.
fn secret_value(line: &str) -> Option<usize> {
    let mut word = String::new();
    let mut ended = false;
    for (at, c) in line.chars().enumerate() {
        let in_word = c.is_alphanumeric() || c == '_';
        let separates = matches!(c, ':' | '=');
        if (separates && is_secret_key(&word)) || (!in_word && SECRET_KEYS.contains(&word.as_str())) {
            return at.checked_add(1);
        }
        if in_word && !ended {
            word.push(c);
        } else if in_word {
            word = c.to_string();
            ended = false;
        } else if matches!(c, ' ' | '"' | '\'') {
            ended = true;
        } else {
            word.clear();
        }
    }
    None
}

/// Whether a line belongs to a secret that began on an earlier one and has not ended: no line since, up to this,
/// is a key that stands no deeper. A key without a value does not end one whose value has not come: it may have slipped in
/// between.
fn continues_secret(text: &str, number: usize) -> bool {
    let indent = |line: &str| line.len().saturating_sub(line.trim_start().len());
    // How deep its key stands, and whether its value has not come.
    let mut open: Option<(usize, bool)> = None;
    for (at, line) in text.lines().enumerate().take(number.saturating_add(1)) {
        if let Some((depth, awaited)) = &mut open {
            let ends = indent(line) <= *depth && begins_with_key(line);
            if !ends && at == number {
                return true;
            }
            if !ends || *awaited && line.trim_end().ends_with(':') && at != number {
                *awaited &= ends || line.trim().is_empty();
                continue;
            }
        }
        let line = without_comment(line);
        open = secret_value(line).map(|from| (indent(line), is_missing(line, from)));
    }
    false
}

/// A comment may speak of secrets; none begins in it that goes on below.
fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with('#') {
        return "";
    }
    line.split_once(" #").map_or(line, |(before, _)| before)
}

/// `key:`, `- key:`, `- { key:`, a comment or a lone dash.
fn begins_with_key(line: &str) -> bool {
    let line = line.trim_start().trim_start_matches(['-', ' ', '{', '[', '"', '\'']);
    let word: usize =
        line.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-')).map(char::len_utf8).sum();
    let rest = line.get(word..).unwrap_or_default().trim_start_matches(['"', '\'', ' ']);
    word > 0 && rest.starts_with(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, number: usize) -> String {
        line("portcullis.yaml", text, number, std::iter::empty())
    }

    #[test]
    fn a_key_that_slipped_in_before_a_secret_shows_no_value() {
        for before in ["header_secret:", "header_secret: |", "secret: >-", "token:\n"] {
            let text = format!("{before}\na:    hunter2\nb: 1");
            let number = text.lines().position(|line| line.contains("hunter2")).unwrap();
            assert_eq!(shown(&text, number), "a:    *******", "{before}");
        }
        assert_eq!(shown("secret: given\nworkers: 2", 1), "workers: 2");
    }

    #[test]
    fn keys_that_slipped_in_between_a_secret_and_its_line_show_nothing() {
        for between in ["a:", "a:\n  b: ", "\n  a:\n"] {
            let text = format!("  header_secret: |\n  {between}\n  hunter2\nworkers: 2\nlisten");
            let shown: Vec<String> = (0..text.lines().count()).map(|number| shown(&text, number)).collect();
            let shown = shown.join("\n");
            assert!(!shown.contains("hunter2") && shown.ends_with("*******\nworkers: 2\nlisten"), "{shown}");
        }
    }

    #[test]
    fn a_secret_is_masked_however_it_is_written() {
        for (line, masked) in [
            ("secret: hunter2", "secret: *******"),
            ("  - { id: a, secret: \"hunter2\" }", "  - { id: a, secret: ********* *"),
            ("\"token\" : abc", "\"token\" * ***"),
            ("header_secret: abc", "header_secret: ***"),
            ("secrte: abc", "secrte: ***"),
            ("tokens: abc", "tokens: ***"),
            ("secret_file: /run/secret", "secret_file: /run/secret"),
            ("forward_token: on", "forward_token: on"),
            ("token_bytes_max: 5", "token_bytes_max: 5"),
            ("sources: { deny: [] }", "sources: { deny: [] }"),
            ("times: { close: 5s }", "times: { close: 5s }"),
        ] {
            assert_eq!(shown(line, 0), masked);
        }
    }

    #[test]
    fn a_secret_of_several_lines_is_masked_until_the_next_key() {
        let text = "identity:\n  header_secret: |\n    hunter2\n\nhunter2\n  issuers: [a]\n";
        assert_eq!(shown(text, 2).trim(), "*******");
        assert_eq!(shown(text, 4), "*******");
        assert_eq!(shown(text, 5), "  issuers: [a]");
        let text = "# keep the secret in a file\nkeys:   # a secret each\n  - algorithm: HS256\n";
        assert_eq!(shown(text, 2), "  - algorithm: HS256");
    }

    #[test]
    fn the_value_of_an_unknown_key_is_masked() {
        assert_eq!(line("f", "{ id: a, sekrit: b, c: d }", 0, [9].into_iter()), "{ id: a, sekrit: ** ** * *");
    }

    #[test]
    fn a_variable_or_flag_that_holds_a_secret_is_masked() {
        for (name, masked) in [
            ("environment variable PORTCULLIS__ADMIN__TOKEN", "***"),
            ("environment variable PORTCULLIS__IDENTITY__HEADER_SECRET", "***"),
            ("--set identity.keys[0].secret", "***"),
            ("--set admin.token_file", "abc"),
            ("--listen", "abc"),
        ] {
            assert_eq!(line(name, "abc", 0, std::iter::empty()), masked, "{name}");
        }
    }
}
