//! The counters as text: OpenMetrics, or the older Prometheus format for who does not ask for it.
//!
//! Decides names, units and help. Names follow Prometheus' conventions: base units, `_total` on
//! counters, labels from bounded sets.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use portcullis_core::event::Decision;
use portcullis_core::verdict::Reason;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::{Gauges, Histogram, Metrics, Shard};

/// A scrape: the counters and what was measured for it.
#[derive(Debug)]
struct Scrape {
    metrics: Arc<Metrics>,
    gauges: Gauges,
}

pub(super) fn render(metrics: &Arc<Metrics>, gauges: &Gauges, openmetrics: bool) -> String {
    let mut registry = Registry::with_prefix("portcullis");
    registry.register_collector(Box::new(Scrape { metrics: Arc::clone(metrics), gauges: gauges.clone() }));
    let mut text = String::with_capacity(16 * 1024);
    if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &registry) {
        tracing::error!(%error, "the metrics could not be encoded");
    }
    if openmetrics { text } else { classic(&text) }
}

/// Rewrites OpenMetrics as the Prometheus text format 0.0.4: there a counter's family carries
/// `_total`, an info is a gauge, and units and the end have no line.
fn classic(openmetrics: &str) -> String {
    let counters: Vec<&str> = declared(openmetrics, " counter").collect();
    let infos: Vec<&str> = declared(openmetrics, " info").collect();
    let mut text = String::with_capacity(openmetrics.len());
    for line in openmetrics.lines() {
        let mut words = line.splitn(4, ' ');
        let (hash, keyword, name, rest) = (words.next(), words.next(), words.next(), words.next().unwrap_or_default());
        match (hash, keyword, name) {
            (Some("#"), Some("UNIT" | "EOF"), _) => continue,
            (Some("#"), Some(keyword @ ("HELP" | "TYPE")), Some(name)) => {
                let suffix = match name {
                    _ if counters.contains(&name) => "_total",
                    _ if infos.contains(&name) => "_info",
                    _ => "",
                };
                let rest = if keyword == "TYPE" && rest == "info" { "gauge" } else { rest };
                // Writing to a String cannot fail.
                let _ = writeln!(text, "# {keyword} {name}{suffix} {rest}");
            }
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

fn declared<'a>(text: &'a str, kind: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| line.strip_prefix("# TYPE ")?.strip_suffix(kind))
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.about_the_program(&mut encoder)?;
        self.by_route(&mut encoder)?;
        self.refusals(&mut encoder)?;
        self.measured(&mut encoder)?;
        self.histogram(
            &mut encoder,
            "handshake_duration",
            "From the first byte of a handshake to its decision",
            |shard| &shard.handshakes,
        )?;
        self.histogram(&mut encoder, "callback_duration", "From a question to a callback to its end", |shard| {
            &shard.callbacks
        })?;
        self.histogram(&mut encoder, "connection_duration", "Age of connections when they ended", |shard| &shard.ages)
    }
}

impl Scrape {
    fn about_the_program(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut build = encoder.encode_descriptor("build", "The running program", None, MetricType::Info)?;
        build.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])?;
        let uptime = ConstGauge::new(self.gauges.uptime.as_secs_f64());
        uptime.encode(encoder.encode_descriptor(
            "uptime",
            "Time since the start",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?)
    }

    fn by_route(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let names = self.metrics.route_names();
        let routes: Vec<_> =
            names.iter().enumerate().map(|(at, name)| (name.as_str(), self.metrics.route(at))).collect();

        let mut open =
            encoder.encode_descriptor("connections_open", "Open connections by route", None, MetricType::Gauge)?;
        for (route, [opened, closed, ..]) in &routes {
            gauge(&mut open, &[("route", *route)], opened.saturating_sub(*closed))?;
        }
        let mut total = encoder.encode_descriptor("connections", "Connections by route", None, MetricType::Counter)?;
        for (route, [opened, closed, ..]) in &routes {
            counter(&mut total, &[("route", *route), ("outcome", "opened")], *opened)?;
            counter(&mut total, &[("route", *route), ("outcome", "closed")], *closed)?;
        }
        let mut messages =
            encoder.encode_descriptor("messages", "Messages by route and direction", None, MetricType::Counter)?;
        for (route, [_, _, inbound, outbound, ..]) in &routes {
            counter(&mut messages, &[("route", *route), ("direction", "inbound")], *inbound)?;
            counter(&mut messages, &[("route", *route), ("direction", "outbound")], *outbound)?;
        }
        let help = "Bytes of messages by route and direction";
        let mut bytes = encoder.encode_descriptor("message", help, Some(&Unit::Bytes), MetricType::Counter)?;
        for (route, [.., inbound, outbound]) in &routes {
            counter(&mut bytes, &[("route", *route), ("direction", "inbound")], *inbound)?;
            counter(&mut bytes, &[("route", *route), ("direction", "outbound")], *outbound)?;
        }
        let mut control =
            encoder.encode_descriptor("control_frames", "Ping, pong and close frames", None, MetricType::Counter)?;
        let inbound = self.metrics.sum(|shard| shard.control_inbound.load(Ordering::Relaxed));
        let outbound = self.metrics.sum(|shard| shard.control_outbound.load(Ordering::Relaxed));
        counter(&mut control, &[("direction", "inbound")], inbound)?;
        counter(&mut control, &[("direction", "outbound")], outbound)
    }

    /// Pairs that never occurred are left out: the table is large and mostly zero.
    fn refusals(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "What was refused, dropped, closed or observed, by reason and decision";
        let mut refusals = encoder.encode_descriptor("refusals", help, None, MetricType::Counter)?;
        for reason in Reason::ALL {
            for decision in Decision::ALL {
                let count = self.metrics.refusals(*reason, *decision);
                if count > 0 {
                    counter(&mut refusals, &[("reason", reason.label()), ("decision", decision.label())], count)?;
                }
            }
        }
        Ok(())
    }

    fn measured(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let gauges = &self.gauges;
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let plain = [
            ("connections_held", "Connections held, handshakes included", count(gauges.open_connections)),
            (
                "anonymous_connections_open",
                "Open connections of anonymous callers",
                count(gauges.anonymous_connections),
            ),
            ("sessions_open", "Sessions in force", count(gauges.sessions)),
            ("addresses_tracked", "Client addresses that admission counts", count(gauges.tracked_addresses)),
            ("scores_tracked", "Addresses, subnets and users that a score is kept of", count(gauges.tracked_scores)),
            ("profiles_tracked", "Users whose usual behaviour is known", count(gauges.tracked_profiles)),
            ("audit_events_queued", "Audit events waiting for the disk", count(gauges.audit_queued)),
            ("flood_level", "0 normal, 1 elevated, 2 high, 3 critical", u64::from(gauges.flood_level)),
            ("lockdown", "1 while a lockdown is in force", u64::from(gauges.locked_down)),
            ("config_version", "Configurations put in force since the start", gauges.config_version),
        ];
        for (name, help, value) in plain {
            ConstGauge::new(signed(value)).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        let counted = [
            ("audit_events_lost", "Audit events that could not be kept", gauges.audit_lost),
            (
                "backchannel_logouts",
                "Sign-outs that identity providers told of",
                self.metrics.logouts.load(Ordering::Relaxed),
            ),
            ("tokens_renewed", "Tokens that the gateway renewed", self.metrics.tokens_renewed.load(Ordering::Relaxed)),
            (
                "statistics_reads",
                "Answers to `GET` on routes under `statistics`",
                self.metrics.statistics_read.load(Ordering::Relaxed),
            ),
            ("audit_write_failures", "Failed attempts to write the audit", gauges.audit_write_failures),
        ];
        for (name, help, value) in counted {
            ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        let help = "Requests of the gateway to key sets, identity providers, authorizers, callbacks, threat lists and backends";
        let mut outbound = encoder.encode_descriptor("outbound_requests", help, None, MetricType::Counter)?;
        for (purpose, outcome, count) in self.metrics.outbound.counted() {
            counter(&mut outbound, &[("purpose", purpose), ("outcome", outcome)], count)?;
        }
        let help = "Sessions by what became of them";
        let mut sessions = encoder.encode_descriptor("sessions", help, None, MetricType::Counter)?;
        for (outcome, count) in self.metrics.sessions.counted() {
            counter(&mut sessions, &[("outcome", outcome)], count)?;
        }
        let help = "Addresses, subnets and users whose score led to something, at most 200";
        let mut standings = encoder.encode_descriptor("reputation_sources", help, None, MetricType::Gauge)?;
        for (standing, sources) in &gauges.standings {
            gauge(&mut standings, &[("standing", *standing)], count(*sources))?;
        }
        let help = "Flood levels of countries above normal: 1 elevated, 2 high, 3 critical";
        let mut raised = encoder.encode_descriptor("flood_country_level", help, None, MetricType::Gauge)?;
        for (country, level) in &gauges.raised {
            gauge(&mut raised, &[("country", country.as_str())], u64::from(*level))?;
        }
        self.feeds(encoder)?;
        if let Some(shared) = &gauges.shared_state {
            let help = "1 while Redis or Valkey answers, through which several gateways act as one";
            let up = ConstGauge::new(i64::from(shared.up));
            up.encode(encoder.encode_descriptor("shared_state_up", help, None, MetricType::Gauge)?)?;
            let help = "Questions of admissions to Redis or Valkey; after a failed one the node decided alone";
            let mut asked = encoder.encode_descriptor("shared_state_questions", help, None, MetricType::Counter)?;
            counter(&mut asked, &[("outcome", "answered")], shared.answered)?;
            counter(&mut asked, &[("outcome", "failed")], shared.failed)?;
            let help = "Counts of messages exchanged with other nodes, by limit and party; a failed one is told later";
            let mut told = encoder.encode_descriptor("shared_state_exchanges", help, None, MetricType::Counter)?;
            counter(&mut told, &[("outcome", "answered")], shared.exchanged)?;
            counter(&mut told, &[("outcome", "failed")], shared.unexchanged)?;
            let help = "Words on scores and waits told to other nodes, and heard";
            let mut marks = encoder.encode_descriptor("shared_state_marks", help, None, MetricType::Counter)?;
            counter(&mut marks, &[("direction", "told")], shared.told)?;
            counter(&mut marks, &[("direction", "heard")], shared.heard)?;
            let help = "Other nodes whose rates count for the flood level";
            let others = ConstGauge::new(signed(shared.nodes));
            others.encode(encoder.encode_descriptor("shared_state_others", help, None, MetricType::Gauge)?)?;
        }
        let help = "Open connections by backend";
        let mut loads = encoder.encode_descriptor("upstream_connections_open", help, None, MetricType::Gauge)?;
        for (upstream, open) in &gauges.upstreams {
            gauge(&mut loads, &[("upstream", upstream.as_str())], count(*open))?;
        }
        let help = "1 while a backend is well, 0 while it is not, where `health` of a route asks";
        let mut up = encoder.encode_descriptor("upstream_up", help, None, MetricType::Gauge)?;
        for (upstream, is_up) in &gauges.upstream_up {
            gauge(&mut up, &[("upstream", upstream.as_str())], u64::from(*is_up))?;
        }
        Ok(())
    }

    /// Databases of addresses and threat lists, and where attempts come from. Countries are at most 677 series.
    fn feeds(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let feeds = &self.gauges.feeds;
        type Value = fn(&crate::feeds::FeedGauge) -> u64;
        let measured: [(&str, &str, Value); 3] = [
            ("feed_networks", "Networks that a database or threat list holds", |feed| {
                u64::try_from(feed.networks).unwrap_or(u64::MAX)
            }),
            ("feed_loaded_timestamp_seconds", "When what is in force of it was read, Unix time", |feed| {
                feed.loaded_unix_s
            }),
            ("feed_sound", "1 where the last attempt to read it succeeded", |feed| u64::from(feed.sound)),
        ];
        for (name, help, value) in measured {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for feed in feeds {
                gauge(&mut metric, &[("kind", feed.kind), ("feed", feed.name.as_str())], value(feed))?;
            }
        }
        let help = "Connection attempts by country, where a database of countries is in force";
        let mut attempts = encoder.encode_descriptor("country_attempts", help, None, MetricType::Counter)?;
        for (country, count) in &self.gauges.countries {
            counter(&mut attempts, &[("country", country.as_str())], *count)?;
        }
        Ok(())
    }

    fn histogram(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        of: impl Fn(&Shard) -> &Histogram,
    ) -> fmt::Result {
        let mut buckets: Vec<(f64, u64)> = Vec::with_capacity(13);
        let mut sum_ns = 0_u64;
        for histogram in self.metrics.shards().map(of) {
            let bounds = histogram.bounds.iter().copied().chain([f64::INFINITY]);
            for (at, (bound, bucket)) in bounds.zip(&histogram.buckets).enumerate() {
                let count = bucket.load(Ordering::Relaxed);
                match buckets.get_mut(at) {
                    Some((_, sum)) => *sum += count,
                    None => buckets.push((bound, count)),
                }
            }
            sum_ns = sum_ns.wrapping_add(histogram.sum_ns.load(Ordering::Relaxed));
        }
        let count = buckets.iter().map(|(_, count)| count).sum();
        #[expect(clippy::cast_precision_loss, reason = "a sum of durations needs no more than 53 bits of it")]
        let sum = sum_ns as f64 / 1e9;
        let mut metric = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

fn counter<const N: usize>(metric: &mut MetricEncoder<'_>, labels: &[(&str, &str); N], value: u64) -> fmt::Result {
    ConstCounter::new(value).encode(metric.encode_family(labels)?)
}

fn gauge<const N: usize>(metric: &mut MetricEncoder<'_>, labels: &[(&str, &str); N], value: u64) -> fmt::Result {
    ConstGauge::new(signed(value)).encode(metric.encode_family(labels)?)
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Direction, SharedStateGauges};
    use std::collections::{HashMap, HashSet};
    use std::time::Duration;

    fn busy() -> Arc<Metrics> {
        let metrics = Metrics::new(2, vec!["chat".into(), "a\"b\\c\nd".into()]);
        metrics.shard(0).connection_opened(0);
        metrics.shard(0).connection_opened(1);
        metrics.shard(1).connection_closed(0, Duration::from_secs(70));
        metrics.shard(1).messages(0, Direction::Inbound, 4, 400);
        metrics.shard(1).refused(Reason::MessageRate, Decision::Replied);
        metrics.shard(0).handshake(Duration::from_millis(3));
        metrics.shard(0).control_frames(Direction::Inbound, 2);
        metrics
    }

    fn gauges() -> Gauges {
        Gauges {
            open_connections: 3,
            audit_lost: 5,
            config_version: 1,
            upstreams: vec![("127.0.0.1:3000".into(), 2)],
            upstream_up: vec![("127.0.0.1:3000".into(), true)],
            shared_state: Some(SharedStateGauges {
                up: true,
                answered: 7,
                failed: 2,
                exchanged: 9,
                unexchanged: 1,
                ..SharedStateGauges::default()
            }),
            uptime: Duration::from_millis(1500),
            ..Gauges::default()
        }
    }

    /// What `promtool check metrics` asks: each sample belongs to a family with HELP and TYPE, declared
    /// once; counters end in `_total`, nothing else does; no family is named after its type.
    fn lint(text: &str) {
        let mut types: HashMap<&str, &str> = HashMap::new();
        let mut helped = HashSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect(line);
                assert!(!help.trim().is_empty() && helped.insert(name), "{line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect(line);
                assert!(types.insert(name, kind).is_none(), "{line}");
                assert!(helped.contains(name), "no help: {line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            } else {
                assert!(!line.starts_with('#'), "{line}");
                let name = line.split(['{', ' ']).next().expect(line);
                let family = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|end| name.strip_suffix(end).filter(|family| types.get(family) == Some(&"histogram")));
                assert!(types.contains_key(family.unwrap_or(name)), "undeclared: {line}");
                let value = line.rsplit(' ').next().expect(line);
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
    }

    #[test]
    fn the_prometheus_format_passes_promtools_rules() {
        let text = busy().render(&gauges(), false);
        lint(&text);
        for line in [
            "portcullis_connections_open{route=\"chat\"} 0",
            "portcullis_connections_open{route=\"a\\\"b\\\\c\\nd\"} 1",
            "portcullis_connections_total{route=\"chat\",outcome=\"opened\"} 1",
            "portcullis_messages_total{route=\"chat\",direction=\"inbound\"} 4",
            "portcullis_message_bytes_total{route=\"chat\",direction=\"inbound\"} 400",
            "portcullis_refusals_total{reason=\"message_rate\",decision=\"replied\"} 1",
            "portcullis_handshake_duration_seconds_bucket{le=\"0.005\"} 1",
            "portcullis_handshake_duration_seconds_count 1",
            "portcullis_connection_duration_seconds_sum 70.0",
            "portcullis_audit_events_lost_total 5",
            "portcullis_upstream_up{upstream=\"127.0.0.1:3000\"} 1",
            "portcullis_shared_state_up 1",
            "portcullis_shared_state_questions_total{outcome=\"failed\"} 2",
            "portcullis_shared_state_exchanges_total{outcome=\"answered\"} 9",
            "portcullis_uptime_seconds 1.5",
        ] {
            assert!(text.lines().any(|l| l == line), "`{line}` is missing from\n{text}");
        }
        assert!(text.contains(concat!("portcullis_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1")));
    }

    #[test]
    fn openmetrics_names_families_without_total_and_ends_with_eof() {
        let text = busy().render(&gauges(), true);
        assert!(text.contains("# TYPE portcullis_messages counter\n"), "{text}");
        assert!(text.contains("# TYPE portcullis_build info\n"));
        assert!(text.contains("# UNIT portcullis_message_bytes bytes\n"));
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn an_idle_gateway_is_exposed_without_refusals() {
        let text = Metrics::new(1, Vec::new()).render(&Gauges::default(), false);
        lint(&text);
        assert!(!text.contains("portcullis_refusals_total{"));
    }
}
