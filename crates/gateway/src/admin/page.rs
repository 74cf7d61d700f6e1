//! The live page, rendered on the server: it tells everything without a script; the script keeps it
//! fresh.
//!
//! Whatever stands in it that a client said is escaped by the template. No inline script or style: the
//! content policy would refuse them.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderValue, header};
use maud::{DOCTYPE, Markup, html};

use super::stream::{Line, Tick};
use super::{Shared, chart};

const SCRIPT: &str = include_str!("assets/live.js");
const STYLE: &str = include_str!("assets/style.css");

pub(super) async fn script() -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"))], SCRIPT).into_response()
}

pub(super) async fn style() -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"))], STYLE).into_response()
}

pub(super) async fn page(State(shared): State<Arc<Shared>>) -> Response {
    let tick = shared.history.present(&shared.state);
    document("Live", true, &body(&tick, shared.state.token.is_some())).into_response()
}

/// A whole document around `body`.
pub(super) fn document(title: &str, script: bool, body: &Markup) -> Html<String> {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Portcullis" }
                link rel="icon" href="data:,";
                link rel="stylesheet" href="/assets/style.css";
                @if script { script type="module" src="/assets/live.js" {} }
            }
            body { (body) }
        }
    };
    Html(page.into_string())
}

fn body(tick: &Tick, logged_in: bool) -> Markup {
    html! {
        a class="skip" href="#events" { "Skip to events" }
        header {
            h1 { "Portcullis" }
            p id="state" role="status" aria-live="polite" { "As of loading" }
            @if logged_in { button type="button" id="logout" hidden { "Log out" } }
        }
        main {
            section aria-labelledby="now" {
                h2 id="now" { "Now" }
                dl class="figures" {
                    (figure("open", "Open connections", tick.open))
                    (figure("messages", "Messages a second", tick.messages))
                    (figure("refusals", "Refusals a second", tick.refusals))
                    (figure("audit_lost", "Audit events lost", tick.audit_lost))
                }
            }
            section class="charts" aria-label="Last five minutes" {
                (chart_of("messages", "Messages a second, last five minutes", &tick.messages_path, tick.messages_top))
                (chart_of("refusals", "Refusals a second, last five minutes", &tick.refusals_path, tick.refusals_top))
            }
            div class="tables" {
                (counts("routes", "Open connections by route", "Route", tick.routes.iter().map(|(name, n)| (name.as_str(), *n))))
                (counts("reasons", "Most frequent refusals since the start", "Reason", tick.reasons.iter().copied()))
            }
            section aria-labelledby="events" {
                h2 id="events" tabindex="-1" { "Events" }
                p id="more" { "Newest first; at most ten a second are shown, all are in the audit." }
                div class="wide" role="region" aria-label="Table of events" tabindex="0" { (events(&tick.events)) }
            }
        }
        noscript { p { "Without scripts this page shows the moment it was loaded. Load it again for the present." } }
    }
}

fn figure(id: &str, name: &str, value: u64) -> Markup {
    html! { div { dt { (name) } dd id=(id) { (value) } } }
}

fn chart_of(id: &str, title: &str, path: &str, top: u64) -> Markup {
    let (width, height) = (chart::WIDTH, chart::HEIGHT);
    html! {
        figure {
            figcaption { (title) ", up to " span id={ (id) "_top" } { (top) } }
            svg viewBox={ "0 0 " (width) " " (height) } preserveAspectRatio="none" role="img" aria-label=(title) {
                path class="line" id={ (id) "_path" } d=(path) {}
            }
        }
    }
}

fn counts<'a>(id: &str, caption: &str, head: &str, rows: impl Iterator<Item = (&'a str, u64)>) -> Markup {
    html! {
        table {
            caption { (caption) }
            thead { tr { th scope="col" { (head) } th scope="col" class="number" { "Count" } } }
            tbody id=(id) {
                @for (name, count) in rows { tr { th scope="row" { (name) } td class="number" { (count) } } }
            }
        }
    }
}

fn events(lines: &[Line]) -> Markup {
    html! {
        table class="events" {
            caption { "Last events" }
            thead {
                tr {
                    @for head in ["Time (UTC)", "Severity", "Type", "Decision", "Address", "Route", "User", "Detail", "Reference"] {
                        th scope="col" { (head) }
                    }
                }
            }
            tbody id="lines" {
                @for line in lines {
                    tr class=(line.severity) {
                        td { (clock(line.time_unix_ms)) }
                        @for text in [line.severity, line.kind, line.decision, &line.ip, &line.route, &line.user, &line.detail, &line.reference] {
                            td { (text) }
                        }
                    }
                }
            }
        }
    }
}

/// The time of day, UTC.
fn clock(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
