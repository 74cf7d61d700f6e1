//! Tokens told by the prefix that their issuer publishes: `ghp_`, `glpat-`, a webhook's address, a bot's number.

use std::sync::LazyLock;

use super::credential::{assigned, is_url_safe, issued, secret_key};
use super::{byte, is_edge, is_word, rest, run};

/// What comes behind a prefix.
#[derive(Clone, Copy)]
pub(super) enum Symbols {
    Hex,
    Alphanumeric,
    Word,
    UrlSafe,
}

impl Symbols {
    const fn has(self, b: u8) -> bool {
        match self {
            Self::Hex => b.is_ascii_hexdigit(),
            Self::Alphanumeric => b.is_ascii_alphanumeric(),
            Self::Word => is_word(b),
            Self::UrlSafe => is_url_safe(b),
        }
    }

    /// In words, for the manual.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Hex => "hexadecimal digits",
            Self::Alphanumeric => "letters and digits",
            Self::Word => "letters, digits, `_`",
            Self::UrlSafe => "letters, digits, `_`, `-`",
        }
    }
}

use Symbols::{Alphanumeric, Hex, UrlSafe, Word};

/// Prefix, the fewest symbols behind it, which they are, and what it is.
pub(super) type Issued = (&'static str, usize, Symbols, &'static str);

/// Fewest symbols behind any of them: what is shorter is asked nothing more.
const SYMBOLS_MIN: usize = 16;

/// Prefixes that end with `_`.
const UNDERSCORED: &[Issued] = &[
    ("github_pat_", 22, Word, "a GitHub token"),
    ("npm_", 36, Alphanumeric, "an npm token"),
    ("k_live_", 16, Alphanumeric, "a Stripe key"),
    ("k_test_", 16, Alphanumeric, "a Stripe key"),
    ("whsec_", 24, Alphanumeric, "a Stripe key"),
    ("shpat_", 32, Hex, "a Shopify token"),
    ("shpss_", 32, Hex, "a Shopify token"),
    ("shpca_", 32, Hex, "a Shopify token"),
    ("shppa_", 32, Hex, "a Shopify token"),
    ("dop_v1_", 64, Hex, "a DigitalOcean token"),
    ("doo_v1_", 64, Hex, "a DigitalOcean token"),
    ("dor_v1_", 64, Hex, "a DigitalOcean token"),
    ("hf_", 34, Alphanumeric, "a Hugging Face token"),
    ("lin_api_", 40, Alphanumeric, "a Linear key"),
    ("dckr_pat_", 27, UrlSafe, "a Docker token"),
    ("glsa_", 32, Word, "a Grafana token"),
    ("glc_", 40, Alphanumeric, "a Grafana token"),
    ("rubygems_", 48, Hex, "a RubyGems key"),
    ("sntryu_", 64, Hex, "a Sentry token"),
    ("sntrys_", 48, Word, "a Sentry token"),
    ("ntn_", 40, Alphanumeric, "a Notion token"),
    ("pscale_tkn_", 32, UrlSafe, "a PlanetScale token"),
    ("pscale_pw_", 32, UrlSafe, "a PlanetScale password"),
    ("figd_", 36, UrlSafe, "a Figma token"),
    ("CLOJARS_", 60, Alphanumeric, "a Clojars token"),
    ("gsk_", 48, Alphanumeric, "a Groq key"),
    ("r8_", 37, Alphanumeric, "a Replicate token"),
    ("sbp_", 40, Hex, "a Supabase token"),
    ("pnu_", 36, Alphanumeric, "a Prefect key"),
    ("fo1_", 40, UrlSafe, "a Fly token"),
];

/// Prefixes that end with `-`.
const DASHED: &[Issued] = &[
    ("glpat-", 20, UrlSafe, "a GitLab token"),
    ("gldt-", 20, UrlSafe, "a GitLab token"),
    ("glrt-", 20, UrlSafe, "a GitLab token"),
    ("glft-", 20, UrlSafe, "a GitLab token"),
    ("glptt-", 40, Hex, "a GitLab token"),
    ("glcbt-", 20, UrlSafe, "a GitLab token"),
    ("glsoat-", 20, UrlSafe, "a GitLab token"),
    ("pypi-", 50, UrlSafe, "a PyPI token"),
    ("xapp-", 60, UrlSafe, "a Slack token"),
    ("pul-", 40, Hex, "a Pulumi token"),
    ("NRAK-", 27, Alphanumeric, "a New Relic key"),
    ("PMAK-", 59, UrlSafe, "a Postman key"),
    ("sq0atp-", 22, UrlSafe, "a Square token"),
    ("sq0csp-", 40, UrlSafe, "a Square secret"),
    ("GOCSPX-", 28, UrlSafe, "a Google client's secret"),
    ("nvapi-", 60, UrlSafe, "an NVIDIA key"),
    ("xai-", 70, Alphanumeric, "an xAI key"),
];

/// All that are listed here.
pub(super) const fn lists() -> [&'static [Issued]; 2] {
    [UNDERSCORED, DASHED]
}

/// Prefixes that end with one mark, and the bytes that stand before it: an id's dash ends here.
struct Issuers {
    list: &'static [Issued],
    lasts: [bool; 256],
}

impl Issuers {
    fn new(list: &'static [Issued]) -> Self {
        let mut lasts = [false; 256];
        for last in list.iter().filter_map(|(prefix, ..)| prefix.bytes().nth_back(1)) {
            if let Some(known) = lasts.get_mut(usize::from(last)) {
                *known = true;
            }
        }
        Self { list, lasts }
    }
}

static BY_UNDERSCORE: LazyLock<Issuers> = LazyLock::new(|| Issuers::new(UNDERSCORED));
static BY_DASH: LazyLock<Issuers> = LazyLock::new(|| Issuers::new(DASHED));

/// The token whose prefix ends with the mark at an offset.
fn listed(text: &[u8], mark: usize, issuers: &Issuers) -> Option<(&'static str, usize)> {
    let behind = mark + 1;
    let last = byte(text, mark.checked_sub(1)?);
    let known = issuers.lasts.get(usize::from(last)).is_some_and(|known| *known);
    if !known || run(text, behind, SYMBOLS_MIN, is_url_safe) < SYMBOLS_MIN {
        return None;
    }
    let head = text.get(..behind)?;
    issuers.list.iter().find_map(|&(prefix, least, symbols, what)| {
        // `sk_live_` and `rk_live_` share an entry.
        let near = prefix.bytes().nth_back(1) == Some(last);
        let start = if near && head.ends_with(prefix.as_bytes()) { behind - prefix.len() } else { return None };
        let start = if prefix.starts_with("k_") { start.checked_sub(1)? } else { start };
        Some((issued(text, start, behind - start, least, |b| symbols.has(b), what)?, start))
    })
}

/// Prefixes that end with the dash at an offset.
pub(super) fn before_dash(text: &[u8], at: usize) -> Option<(&'static str, usize)> {
    match text.get(at.saturating_sub(4)..at)? {
        [.., b's', b'k'] => Some((secret_key(text, at - 2)?, at - 2)),
        [b'x', b'o', b'x', b'a' | b'b' | b'e' | b'p' | b'r' | b's'] => {
            Some((issued(text, at - 4, 5, 20, is_url_safe, "a Slack token")?, at - 4))
        }
        _ => listed(text, at, &BY_DASH),
    }
}

/// Prefixes that end with the underscore at an offset, or hold it.
pub(super) fn before_underscore(text: &[u8], at: usize) -> Option<(&'static str, usize)> {
    match text.get(at.saturating_sub(3)..at)? {
        [b'g', b'h', b'p' | b'o' | b'u' | b's' | b'r'] => {
            Some((issued(text, at - 3, 4, 36, |b| b.is_ascii_alphanumeric(), "a GitHub token")?, at - 3))
        }
        _ if rest(text, at).starts_with(b"_access_key") => assigned(text, at).map(|what| (what, at)),
        _ => listed(text, at, &BY_UNDERSCORE),
    }
}

/// `123456789:AA…`: a Telegram bot's number and token.
pub(super) fn bot(text: &[u8], at: usize) -> Option<(&'static str, usize)> {
    let digits = text.get(..at)?.iter().rev().take(12).take_while(|b| b.is_ascii_digit()).count();
    let start = at - digits;
    let token = run(text, at + 1, 40, is_url_safe);
    let bounded = (8..=10).contains(&digits) && token == 35 && is_edge(text, start);
    (bounded && issued(text, start, digits + 1, 35, is_url_safe, "a bot's token").is_some())
        .then_some(("a bot's token", start))
}

/// The address of a webhook: who knows it may post.
pub(super) fn hook(text: &[u8], at: usize) -> Option<(&'static str, usize)> {
    let host = rest(text, at + 3);
    if !matches!(byte(host, 0), b'h' | b'd') {
        return None;
    }
    let path = [&b"hooks.slack.com/services/"[..], b"discord.com/api/webhooks/", b"discordapp.com/api/webhooks/"]
        .iter()
        .find_map(|known| host.strip_prefix(*known))?;
    let len = run(path, 0, 256, |b| is_url_safe(b) || b == b'/');
    let last = path.get(..len)?.rsplit(|b| *b == b'/').next()?;
    let named = path.get(..len)?.iter().filter(|b| **b == b'/').count() >= 1;
    (named && issued(last, 0, 0, 20, is_url_safe, "a webhook's address").is_some())
        .then_some(("a webhook's address", at + 3))
}

#[cfg(test)]
mod tests {
    use super::super::LeakClass::Credential;
    use super::super::tests::class;
    use super::{DASHED, Symbols, UNDERSCORED};

    /// Symbols of many kinds; assembled so that no scanner of repositories takes it for a secret.
    fn filler(len: usize, symbols: Symbols) -> String {
        let of = if matches!(symbols, Symbols::Hex) { "0a1b2c3d4e5f6789" } else { "Ab3dE5fG7hJ9kL2mN4pQ6rS8tU" };
        of.chars().cycle().take(len).collect()
    }

    #[test]
    fn every_issuers_token_is_told_and_what_is_like_it_is_not() {
        for &(prefix, least, symbols, _) in UNDERSCORED.iter().chain(DASHED) {
            let prefix = if prefix.starts_with("k_") { format!("r{prefix}") } else { prefix.to_owned() };
            let token = format!("{prefix}{}", filler(least, symbols));
            for text in [token.clone(), format!("key: {token}"), format!("{{\"k\":\"{token}\"}}")] {
                assert_eq!(class(&text), Some(Credential), "{text}");
            }
            assert_eq!(class(&format!("word{token}")), None, "not at an edge: {prefix}");
            assert_eq!(class(&format!("{prefix}{}", "x".repeat(least))), None, "documentation: {prefix}");
            assert_eq!(class(&format!("{prefix}{}", filler(least - 5, symbols))), None, "too short: {prefix}");
        }
    }

    #[test]
    fn bots_and_hooks() {
        let (bot, hook) = (filler(33, Symbols::Word), filler(24, Symbols::Word));
        for text in [
            format!("bot 123456789:AA{bot}"),
            format!("https://hooks.slack.com/services/T01/B02/{hook}"),
            format!("https://discord.com/api/webhooks/123456789012345678/{hook}"),
        ] {
            assert_eq!(class(&text), Some(Credential), "{text}");
        }
        for text in [
            "at 12:AA and 123456789:AAA",
            "see https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
            "https://discord.com/api/webhooks/ is where they live",
            "https://docs.example/one_two_three_four_five_six_seven_eight",
            "a-well-known-phrase-of-many-words-with-dashes",
        ] {
            assert_eq!(class(text), None, "{text}");
        }
    }
}
