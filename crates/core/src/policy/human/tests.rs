//! What operators write, and what comes of it.

use super::*;
use proptest::prelude::*;

#[test]
fn durations_are_a_number_and_a_unit() {
    for (text, milliseconds) in [
        ("250ms", Some(250)),
        ("30s", Some(30_000)),
        ("5m", Some(300_000)),
        ("1h", Some(3_600_000)),
        ("90d", Some(7_776_000_000)),
        ("5 min", Some(300_000)),
        ("0s", Some(0)),
        ("36500d", Some(3_153_600_000_000)),
        ("36501d", None),
        ("18446744073709551615d", None),
        ("30", None),
        ("-5s", None),
        ("1.5h", None),
        ("s", None),
        ("", None),
    ] {
        assert_eq!(Span::from_text(text).map(|span| span.0.as_millis()), milliseconds, "{text}");
    }
}

#[test]
fn sizes_are_bytes_or_a_number_and_a_unit() {
    for (text, bytes) in [
        ("16KiB", Some(16 << 10)),
        ("1MiB", Some(1 << 20)),
        ("512", Some(512)),
        ("10 kB", Some(10_000)),
        ("1 mib", None),
        ("-1", None),
        ("99999999999GiB", None),
    ] {
        assert_eq!(Bytes::from_text(text).map(|size| size.0), bytes, "{text}");
    }
}

#[test]
fn rates_say_how_many_in_how_long() {
    let bucket = RateAlgorithm::TokenBucket;
    let window = RateAlgorithm::SlidingWindow;
    for (text, rate) in [
        ("100/s", Some((100, 1, None, bucket))),
        ("60/min", Some((60, 60, None, bucket))),
        ("10/min burst 20", Some((10, 60, Some(20), bucket))),
        ("50/60s", Some((50, 60, None, bucket))),
        ("5/h sliding", Some((5, 3600, None, window))),
        ("5/h burst 2 sliding", Some((5, 3600, Some(2), window))),
        ("0/s", None),
        ("5/0s", None),
        ("5/s burst", None),
        ("5/s burst 0", None),
        ("5/s burst 1 burst 2", None),
        ("5 per second", None),
        ("/s", None),
    ] {
        let read = RateText::from_text(text).map(|r| (r.count, r.per.as_secs(), r.burst, r.algorithm));
        assert_eq!(read, rate, "{text}");
    }
}

#[test]
fn networks_are_addresses_or_cidr() {
    for (text, network) in [
        ("10.0.0.0/8", Some("10.0.0.0/8")),
        ("10.1.2.3/8", Some("10.0.0.0/8")),
        ("203.0.113.7", Some("203.0.113.7/32")),
        ("::1", Some("::1/128")),
        ("10.0.0.0/33", None),
        ("example.com", None),
    ] {
        assert_eq!(Network::from_text(text).map(|n| n.0.to_string()).as_deref(), network, "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in "\\PC{0,40}") {
        let _ = (Span::from_text(&text), Bytes::from_text(&text), RateText::from_text(&text), Network::from_text(&text));
    }
}
