//! Measures how many events a second the audit keeps: `cargo run --release -p portcullis-store --example rate
//! [EVENTS] [FOLDER]`.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_core::event::{Decision, Event, Origin};
use portcullis_core::verdict::Reason;
use portcullis_store::{AuditLog, AuditReader, Query, Recorded, Settings, StoreError};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let events: u32 = arguments.next().map_or(Ok(200_000), |number| number.parse())?;
    let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let file = folder.join(format!("portcullis-rate-{}.db", std::process::id()));
    let log = AuditLog::open(&file, &Settings { queue_max: 50_000, ..Settings::default() })?;
    let mut out = std::io::stdout();

    let start = Instant::now();
    let mut handing_over = Duration::ZERO;
    for number in 0..events {
        let one = event(number);
        let began = Instant::now();
        let mut recorded = log.record(one.clone());
        handing_over += began.elapsed();
        // A gateway would count the event as lost and go on; a measurement waits.
        while recorded == Recorded::Lost {
            std::thread::sleep(Duration::from_millis(1));
            recorded = log.record(one.clone());
        }
    }
    log.flush(Duration::from_secs(600))?;
    let took = start.elapsed().as_secs_f64();
    writeln!(out, "kept        {:>10.0} events/s", f64::from(events) / took)?;
    writeln!(out, "record()    {:>10.0} ns", handing_over.as_nanos() as f64 / f64::from(events))?;

    let threads = 32;
    let each = 100;
    let start = Instant::now();
    std::thread::scope(|scope| -> Result<(), StoreError> {
        let log = &log;
        let waiting: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || (0..each).try_for_each(|n| log.record_durably(event(events + thread * each + n))))
            })
            .collect();
        waiting.into_iter().try_for_each(|thread| thread.join().unwrap_or(Err(StoreError::Closed)))
    })?;
    let took = start.elapsed().as_secs_f64();
    writeln!(out, "durable     {:>10.0} events/s from {threads} threads", f64::from(threads * each) / took)?;

    let reader = AuditReader::open_read_only(&file)?;
    for (name, query) in [
        ("user", Query { user: Some("user-7".into()), ..Query::default() }),
        ("text", Query { text: Some("context 77".into()), ..Query::default() }),
    ] {
        let start = Instant::now();
        let found = reader.search(&query)?.len();
        writeln!(out, "search {name} {:>10.0} µs, {found} found", start.elapsed().as_micros() as f64)?;
    }
    writeln!(out, "file        {:>10.0} bytes/event", std::fs::metadata(&file)?.len() as f64 / f64::from(events))?;
    drop(reader);
    log.close();
    std::fs::remove_file(&file)?;
    Ok(())
}

fn event(number: u32) -> Event {
    Event {
        id: uuid::Uuid::now_v7().to_string(),
        time_unix_ms: 1_800_000_000_000 + u64::from(number),
        reason: if number.is_multiple_of(3) { Reason::ThreatSqli } else { Reason::MessageRate },
        decision: Decision::Replied,
        check: "threat",
        origin: Arc::new(Origin {
            source_ip: Some([192, 0, 2, (number % 250) as u8].into()),
            connection: Some(format!("connection-{}", number % 1000)),
            session: None,
            user: Some(format!("user-{}", number % 500)),
            tenant: Some("north".into()),
            route: Some("chat".into()),
        }),
        message_type: Some("say".into()),
        detail: format!("a string closes its context and goes on as SQL in `/text`, message {}", number % 1000),
        metadata: vec![("field", "/text".into())],
    }
}
