//! The live page and what it is told each second.

use super::*;

#[tokio::test]
async fn what_a_client_said_stands_on_the_page_as_text() {
    let stage = Stage::new(None);
    let hostile = "</td><script>alert(1)</script>\"'><img src=x onerror=alert(1)>";
    let mut sent = event(Reason::ThreatXss, Decision::Replied, None, hostile.into());
    sent.origin = Arc::new(Origin { user: Some(hostile.into()), route: Some(hostile.into()), ..Origin::default() });
    stage.state.metrics.route_index(hostile);
    let _ = stage.state.events.send(Arc::new(sent));
    // The sampler's task closes the second in which the event came.
    let page = loop {
        let page = stage.ask(get("/")).await;
        if page.text.contains("alert(1)&lt;/script") && page.text.contains("threat_xss") {
            break page;
        }
        tokio::task::yield_now().await;
    };
    assert!(!page.text.contains("<script>alert") && !page.text.contains("<img"), "{}", page.text);
    assert_eq!(page.text.matches("<script").count(), 1);
    assert!(page.text.contains("<script type=\"module\" src=\"/assets/live.js\">"));
    assert!(!page.text.contains(" style=") && !page.text.contains("onclick"));
}

#[tokio::test]
async fn the_page_is_built_for_keyboards_readers_and_phones() {
    let stage = Stage::new(None);
    let page = stage.ask(get("/")).await;
    for part in [
        "<html lang=\"en\">",
        "name=\"viewport\"",
        "<h1>",
        "class=\"skip\"",
        "aria-live=\"polite\"",
        "role=\"img\"",
        "scope=\"col\"",
        "<noscript>",
    ] {
        assert!(page.text.contains(part), "{part}");
    }
    assert_eq!(page.text.matches("<table").count(), page.text.matches("<caption").count());
    let script = stage.ask(get("/assets/live.js")).await;
    assert!(script.header(header::CONTENT_TYPE).starts_with("text/javascript"));
    for forbidden in ["innerHTML", "insertAdjacentHTML", "document.write", "eval("] {
        assert!(!script.text.contains(forbidden), "{forbidden}");
    }
    let style = stage.ask(get("/assets/style.css")).await;
    assert!(style.text.contains("prefers-color-scheme: dark"));
}

#[test]
fn text_stands_out_from_its_ground_in_both_schemes() {
    let style = include_str!("../assets/style.css");
    let schemes: Vec<&str> = style.split("@media").take(2).collect();
    for scheme in schemes {
        let colour = |name: &str| luminance(scheme.split(&format!("--{name}: #")).nth(1).unwrap());
        for ground in ["ground", "panel"] {
            for ink in ["ink", "quiet", "line", "high", "critical"] {
                let (a, b) = (colour(ink), colour(ground));
                let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                // WCAG 2.2, 1.4.3, level AA.
                assert!(contrast >= 4.5, "{ink} on {ground}: {contrast:.2}");
            }
        }
    }
}

/// Relative luminance of a colour in six hexadecimal digits (WCAG 2.2).
fn luminance(hex: &str) -> f64 {
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
}

#[tokio::test]
async fn a_tick_brings_the_second_and_its_events_to_who_watches() {
    let stage = Stage::new(None);
    let request = Request::get("/live")
        .header("host", "localhost")
        .extension(ConnectInfo::<SocketAddr>(LOCAL.parse().unwrap()))
        .body(Body::empty())
        .unwrap();
    let response = stage.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    stage.state.metrics.shard(0).connection_opened(0);
    let mut body = response.into_body();
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let text = std::str::from_utf8(&frame).unwrap();
    let tick: serde_json::Value = serde_json::from_str(text.split_once("data: ").unwrap().1.trim()).unwrap();
    assert!(text.starts_with("event: tick\n"), "{text}");
    assert_eq!(tick["open"], 1);
    assert_eq!(tick["routes"][0][0], "chat");
}

#[tokio::test]
async fn one_watcher_too_many_is_turned_away_and_a_place_given_back_is_taken() {
    let stage = Stage::new(None);
    let watch = || {
        let request = Request::get("/live")
            .header("host", "localhost")
            .extension(ConnectInfo::<SocketAddr>(LOCAL.parse().unwrap()))
            .body(Body::empty())
            .unwrap();
        stage.router.clone().oneshot(request)
    };
    let mut watching = Vec::new();
    for _ in 0..WATCHERS_MAX {
        let response = watch().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        watching.push(response);
    }
    assert_eq!(watch().await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    watching.pop();
    assert_eq!(watch().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_flood_of_events_is_named_in_part_and_counted_in_full() {
    let (sender, mut receiver) = broadcast::channel(64);
    let one = Arc::new(event(Reason::ThreatXss, Decision::Replied, None, "x".into()));
    for _ in 0..200 {
        let _ = sender.send(Arc::clone(&one));
    }
    let (named, more) = drain(&mut receiver);
    assert_eq!((named.len(), more), (EVENTS_A_TICK_MAX, 200 - EVENTS_A_TICK_MAX as u64));
    assert_eq!(drain(&mut receiver).0.len(), 0);
}

#[tokio::test]
async fn history_keeps_five_minutes_and_the_newest_events() {
    let stage = Stage::new(None);
    let history = History::new(&stage.state);
    for second in 0..SAMPLES_MAX + 10 {
        stage.state.metrics.shard(0).refused(Reason::ThreatXss, Decision::Replied);
        let one = Arc::new(event(Reason::ThreatXss, Decision::Replied, None, format!("second {second}")));
        history.advance(&stage.state, &[one], 0);
    }
    assert_eq!(history.last().refusals, 1);
    let tick = history.present(&stage.state);
    assert_eq!(tick.events.len(), RECENT_MAX);
    assert_eq!(tick.events[0].detail, format!("second {}", SAMPLES_MAX + 9));
    assert_eq!(tick.refusals_path.matches(['M', 'L']).count(), SAMPLES_MAX);
}
