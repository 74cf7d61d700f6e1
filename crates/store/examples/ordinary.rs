//! Keeps the two events that every connection writes, so that what one costs can be counted:
//! `cargo build --release -p portcullis-store --example ordinary`, then
//! `valgrind --tool=callgrind --separate-threads=yes target/release/examples/ordinary [CONNECTIONS] [FOLDER]`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::event::{Decision, Event, Origin};
use portcullis_core::verdict::Reason;
use portcullis_store::{AuditLog, Settings};

/// Connections whose events share a commit, as some thousand a second make them.
const TOGETHER: usize = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let connections: u32 = arguments.next().map_or(Ok(20_000), |number| number.parse())?;
    let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let file = folder.join(format!("portcullis-ordinary-{}.db", std::process::id()));
    let log = AuditLog::open(&file, &Settings::default())?;
    let numbers: Vec<u32> = (0..connections).collect();
    for together in numbers.chunks(TOGETHER) {
        for number in together {
            let origin = origin(*number);
            let _ = log.record(event(*number, &origin, Reason::ConnectionAccepted));
            let _ = log.record(event(*number, &origin, Reason::ConnectionClosed));
        }
        log.flush(Duration::from_secs(60))?;
    }
    assert_eq!(log.status().written, 2 * u64::from(connections));
    log.close();
    std::fs::remove_file(&file)?;
    Ok(())
}

/// Some thousand users and addresses, spread out as chance would.
fn origin(number: u32) -> Arc<Origin> {
    let someone = number.wrapping_mul(2_654_435_761) >> 16;
    Arc::new(Origin {
        source_ip: Some([10, 20, (someone >> 8 & 15) as u8, (someone & 255) as u8].into()),
        connection: Some(id(number)),
        session: None,
        user: Some(format!("user-{}", someone % 5_000)),
        tenant: Some(format!("tenant-{}", someone % 20)),
        route: Some("chat".into()),
    })
}

/// As the gateway makes them.
fn event(number: u32, origin: &Arc<Origin>, reason: Reason) -> Event {
    let metadata = match reason {
        Reason::ConnectionAccepted => {
            vec![("user_agent", String::from("Mozilla/5.0 (X11; Linux x86_64; rv:140.0)").into())]
        }
        _ => vec![
            ("ended_by", "peers".into()),
            ("messages_in", 12.into()),
            ("messages_out", 15.into()),
            ("age_ms", 4711.into()),
        ],
    };
    Event {
        id: id(number),
        time_unix_ms: time(number),
        reason,
        decision: Decision::Allowed,
        check: if reason == Reason::ConnectionAccepted { "admission" } else { "relay" },
        origin: Arc::clone(origin),
        message_type: None,
        detail: String::new(),
        metadata,
    }
}

fn time(number: u32) -> u64 {
    1_800_000_000_000 + u64::from(number / 4)
}

fn id(number: u32) -> String {
    let [a, b, c, d, e, f, _, g, _, h, i, j, ..] = uuid::Uuid::new_v4().into_bytes();
    let id = uuid::Builder::from_unix_timestamp_millis(time(number), &[a, b, c, d, e, f, g, h, i, j]).into_uuid();
    id.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()).to_owned()
}
