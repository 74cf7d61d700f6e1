//! `docs/configuration.md`: layers, units, every key with its default in each preset, every warning. Made from
//! the schema, the presets and the list of warnings, so that it cannot say anything else than they do.

use std::fmt::Write as _;

use super::checked::Environment;
use super::layers::{
    ENVIRONMENTS, OTHERS_VARIABLES, OWN_VARIABLE, REDIS_VARIABLE, VARIABLE_PREFIX, environment_name, preset_tree,
};
use super::schema::{Key, flow, keys, schema};
use super::tree::{Content, KeyPath, Node};
use super::warnings::CODES;

/// The manual of the configuration, as Markdown.
#[must_use]
pub fn reference_markdown() -> String {
    let mut out = introduction();
    let presets = ENVIRONMENTS.map(|environment| (environment, preset_tree(environment)));
    let mut section = String::new();
    for key in keys(&schema()) {
        let top = key.path.split(['.', '[']).next().unwrap_or_default();
        if top != section {
            section = top.to_owned();
            // Writing to a String cannot fail.
            let _ = write!(out, "\n## `{section}`\n\n{}\n", escaped(&key.meaning));
            if key.is_section && top != "environment_overrides" {
                let _ = write!(out, "\n| key | value | default | meaning |\n|---|---|---|---|\n");
                continue;
            }
            let _ = write!(out, "\nValue: {}.\n", escaped(&key.form));
            continue;
        }
        row(&mut out, &key, &presets);
    }
    warnings(&mut out);
    out
}

fn row(out: &mut String, key: &Key, presets: &[(Environment, Node)]) {
    let default = if key.is_section { String::new() } else { defaults(&key.path, presets) };
    let _ = writeln!(
        out,
        "| `{}` | {} | {} | {} |",
        key.path,
        escaped(&key.form),
        escaped(&default),
        escaped(&key.meaning)
    );
}

/// What the presets say: one value, or one for each that differs from most.
fn defaults(path: &str, presets: &[(Environment, Node)]) -> String {
    let path = KeyPath::parse(path);
    let values: Vec<(Environment, String)> = presets
        .iter()
        .map(|(environment, tree)| {
            let held = tree.at(&path).filter(|node| node.content != Content::Null);
            (*environment, held.map(|node| format!("`{}`", flow(node))).unwrap_or_default())
        })
        .collect();
    let count = |value: &String| values.iter().filter(|(_, other)| other == value).count();
    let Some((_, usual)) = values.iter().rev().max_by_key(|(_, value)| count(value)) else { return String::new() };
    if count(usual) == 1 {
        let all: Vec<String> = values.iter().map(|(e, value)| format!("{} {value}", environment_name(*e))).collect();
        return all.join("; ");
    }
    let mut out = vec![usual.clone()];
    for (environment, value) in values.iter().filter(|(_, value)| value != usual) {
        let shown = if value.is_empty() { "unset" } else { value };
        out.push(format!("{} {shown}", environment_name(*environment)));
    }
    out.retain(|part| !part.is_empty());
    out.join("; ")
}

/// A pipe would end the cell.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

fn introduction() -> String {
    let others = OTHERS_VARIABLES.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    format!(
        "# Configuration

This page is made from the program: `cargo test -p portcullis-core policy` fails when it is not current, and writes it
anew when `PORTCULLIS_BLESS=1` is set.

## Layers

One YAML file, and what is laid over it. Each layer wins over those before it; maps are merged key by key, lists are
replaced, `null` takes a key back.

1. the preset: `development`, `staging`, `production` or `high-security` (`presets/`)
2. the file
3. `environment_overrides` of the environment in force
4. environment variables: `{VARIABLE_PREFIX}LISTEN__ADDRESS=0.0.0.0:443`, `{VARIABLE_PREFIX}ROUTES__0__PATH=/ws`,
   `{VARIABLE_PREFIX}IDENTITY__ISSUERS='[https://issuer.example]'` (two underscores between keys, a number for a position
   in a list, YAML for lists and maps)
5. flags: `--preset`, `--upstream`, `--listen`, `--admin`, `--state`
6. `--set key.path=value`, as `--set routes[0].path=/ws`

A variable or flag that names no key is an error, as an unknown key in the file is.

`{REDIS_VARIABLE}` names the server of `shared_state` where no layer gives `url`, `url_file` or `url_env`.

These variables of other programs lie over the file and under `{VARIABLE_PREFIX}…`. An empty one says nothing, and what is
no number is an error. A route's own key, as `routes[0].times.lifetime`, is not touched.

{}
## Environment

The first that speaks: `--set environment`, `--preset`, `{VARIABLE_PREFIX}ENVIRONMENT`, `{OWN_VARIABLE}`, `environment` in
the file, then {others}. The usual short
words are understood (`dev`, `prod`, `stage`, …). When nothing speaks it is `development`, which is refused on an address
that other machines can reach: there somebody must say what it is.

A policy is not started, whatever the file says, when

- `production` or `high-security` has a route that requires a credential and no key that could verify one;
- `production` or `high-security` has neither `listen.tls` nor `listen.tls_terminated_by_proxy: on`;
- a route lets anonymous callers in from other machines and only the preset says so; in `high-security`, always;
- `identity.development_bypass` or `origins.localhost` is set outside `development`;
- the admin listener can be reached from other machines without a token;
- the client's address is read from a header and no proxy is trusted.

## Values

| kind | written as |
|---|---|
| duration | a whole number and a unit: `250ms`, `30s`, `5m`, `1h`, `90d`, `2w` |
| size | bytes, or a number and a unit: `512`, `16KiB`, `1MiB`, `2GiB` (powers of two), `10kB`, `1MB` (of ten) |
| rate | `100/s`, `60/min`, `5/h`, `50/60s`; then `burst 20` (how many at once; else the count) and `sliding` (a sliding window in place of a token bucket) |
| network | `203.0.113.7`, `10.0.0.0/8`, `2001:db8::/32` |
| on or off | `on`, `off`, `true`, `false` |

Paths of files are relative to the folder of the file that names them; in a variable or flag, to the working folder. An
empty cell under *default* means that the key is unset, or that its meaning says the default.
",
        super::variables::table()
    )
}

fn warnings(out: &mut String) {
    out.push_str(
        "\n## Warnings\n\n`portcullis check` and the start of the gateway say what a reviewer would ask about.\n\n",
    );
    out.push_str("| code | name | about |\n|---|---|---|\n");
    for code in CODES {
        let _ = writeln!(out, "| {} | `{}` | {} |", code.code, code.name, escaped(code.about));
    }
}
