//! Keeps the two events that every connection writes, so that what one costs can be counted:
//! `cargo build --release -p portcullis-store --example ordinary`, then
//! `valgrind --tool=callgrind --separate-threads=yes target/release/examples/ordinary [CONNECTIONS] [FOLDER]`.

use std::path::PathBuf;
use std::time::Duration;

use portcullis_core::event::{Decision, Event};
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
            let [connection, accepted, closed] = std::array::from_fn(|_| uuid::Uuid::now_v7().to_string());
            let _ = log.record(event(*number, accepted, &connection, Reason::ConnectionAccepted));
            let _ = log.record(event(*number, closed, &connection, Reason::ConnectionClosed));
        }
        log.flush(Duration::from_secs(60))?;
    }
    assert_eq!(log.status().written, 2 * u64::from(connections));
    log.close();
    std::fs::remove_file(&file)?;
    Ok(())
}

/// As the gateway makes them: of some thousand users and addresses, spread out as chance would.
fn event(number: u32, id: String, connection: &str, reason: Reason) -> Event {
    let someone = number.wrapping_mul(2_654_435_761) >> 16;
    let metadata = match reason {
        Reason::ConnectionAccepted => vec![("user_agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0)".into())],
        _ => vec![
            ("ended_by", "peers".into()),
            ("messages_in", "12".into()),
            ("messages_out", "15".into()),
            ("age_ms", "4711".into()),
        ],
    };
    Event {
        id,
        time_unix_ms: 1_800_000_000_000 + u64::from(number),
        reason,
        decision: Decision::Allowed,
        check: if reason == Reason::ConnectionAccepted { "admission" } else { "relay" },
        source_ip: Some([10, 20, (someone >> 8 & 15) as u8, (someone & 255) as u8].into()),
        connection: Some(connection.to_owned()),
        session: None,
        user: Some(format!("user-{}", someone % 5_000)),
        tenant: Some(format!("tenant-{}", someone % 20)),
        route: Some("chat".into()),
        message_type: None,
        detail: String::new(),
        metadata,
    }
}
