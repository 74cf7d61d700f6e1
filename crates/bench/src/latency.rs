//! Open loop: messages leave on a timetable, whatever has come back, and each one's latency counts
//! from the moment it was *due*. A gateway that stalls therefore pays for every message that
//! queued up behind the stall (no coordinated omission).

use std::fs;
use std::future::poll_fn;
use std::io::{self, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::time::timeout_at;

use crate::chat::{Chat, fresh_id, unix_s};
use crate::client::{Receiver, Target, poll_read_into};
use crate::failure::Failure;
use crate::load::{self, Times};
use crate::measured::{Figure, Measured, quantile};
use crate::usage::Watch;
use crate::wire::Chance;

/// How long after the last message was due the last echo may come.
const GRACE: Duration = Duration::from_secs(3);
/// Between the last handshake and the first message.
const LEAD: Duration = Duration::from_millis(20);
/// A socket that takes nothing is tried again after this long.
const RETRY: Duration = Duration::from_micros(100);

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) target: Target,
    pub(crate) connections: usize,
    pub(crate) rate_per_s: f64,
    pub(crate) message_bytes: usize,
    pub(crate) times: Times,
}

/// When which message is due: number `n` of connection `c` is number `n * connections + c` of all.
#[derive(Debug, Clone, Copy)]
struct Timetable {
    start: Instant,
    rate_per_s: f64,
    connections: usize,
    warm_up: usize,
    total: usize,
}

impl Timetable {
    fn new(plan: &Plan) -> Self {
        let within = |time: Duration| (plan.rate_per_s * time.as_secs_f64()) as usize;
        let warm_up = within(plan.times.warm_up);
        Self {
            start: Instant::now() + LEAD,
            rate_per_s: plan.rate_per_s,
            connections: plan.connections,
            warm_up,
            total: warm_up + within(plan.times.measured),
        }
    }

    fn due(&self, message: usize) -> Instant {
        self.start + Duration::from_secs_f64(message as f64 / self.rate_per_s)
    }

    fn of_connection(&self, connection: usize) -> impl Iterator<Item = usize> + use<> {
        (connection..self.total).step_by(self.connections)
    }

    fn end(&self) -> Instant {
        self.due(self.total) + GRACE
    }

    /// Microseconds since the message was due; nothing for one of the warm-up.
    fn late_us(&self, message: usize, now: Instant) -> Option<f64> {
        let late = now.saturating_duration_since(self.due(message));
        (message >= self.warm_up).then_some(late.as_secs_f64() * 1e6)
    }
}

pub(crate) fn measure(plan: &Plan, watch: &Watch) -> Result<Measured, Failure> {
    load::on_this_thread(run(plan, watch))
}

async fn run(plan: &Plan, watch: &Watch) -> Result<Measured, Failure> {
    let chat = Chat::new(plan.message_bytes)?;
    let (mut readers, mut writers) = (Vec::new(), Vec::new());
    for _ in 0..plan.connections {
        let ids = Chance::new(load::seed());
        let (stream, _) = plan.target.open(&mut Chance::new(load::seed())).await?;
        let stream = stream.into_std()?;
        writers.push(Writer { stream: stream.try_clone()?, ids: ids.clone() });
        readers.push(Reader { stream: TcpStream::from_std(stream)?, ids });
    }
    let timetable = Timetable::new(plan);
    let start = watch.look();
    let size_bytes = chat.size_bytes();
    let sender = thread::spawn(move || send_all(&timetable, &chat, writers));
    let read = load::each(readers.into_iter().enumerate(), |(connection, reader)| {
        reader.read_all(timetable, connection, size_bytes)
    })
    .await?;
    let spent = watch.since(&start);
    let mut sender_late_us = sender.join().map_err(|_| Failure::Thread)?;

    let faults = read.iter().map(|(_, faults)| faults).sum();
    let mut latencies_us: Vec<f64> = read.into_iter().flat_map(|(times, _)| times).collect();
    latencies_us.sort_by(f64::total_cmp);
    sender_late_us.sort_by(f64::total_cmp);
    let mut measured = Measured::new(faults, spent.noise_cores());
    measured.put(Figure::P50Us, quantile(&latencies_us, 0.5));
    measured.put(Figure::P99Us, quantile(&latencies_us, 0.99));
    measured.put(Figure::SenderLateP99Us, quantile(&sender_late_us, 0.99));
    measured.put_cpu(&spent, timetable.total as u64);
    Ok(measured)
}

struct Writer {
    stream: std::net::TcpStream,
    ids: Chance,
}

/// Sends by the timetable on a thread that does nothing else; returns how late each message left.
fn send_all(timetable: &Timetable, chat: &Chat, mut writers: Vec<Writer>) -> Vec<f64> {
    sharpen_timer();
    let mut masks = Chance::new(load::seed());
    let mut frame = Vec::new();
    let mut late_us = Vec::with_capacity(timetable.total);
    for message in 0..timetable.total {
        let Some(writer) = writers.get_mut(message % timetable.connections) else { break };
        thread::sleep(timetable.due(message).saturating_duration_since(Instant::now()));
        late_us.extend(timetable.late_us(message, Instant::now()));
        frame.clear();
        chat.write_frame(&mut frame, &fresh_id(&mut writer.ids), unix_s(), masks.mask());
        // A connection that broke shows in the echoes that are missing.
        let _missing = write_all(&mut writer.stream, &frame, timetable.end());
    }
    late_us
}

fn write_all(stream: &mut std::net::TcpStream, mut bytes: &[u8], end: Instant) -> Result<(), Failure> {
    while !bytes.is_empty() && Instant::now() < end {
        match stream.write(bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Linux may wake a sleeper 50 us late; asks it not to. Where it declines, messages leave a little
/// later, for every set-up alike.
fn sharpen_timer() {
    let thread = fs::read_link("/proc/thread-self").unwrap_or_default();
    if let Some(id) = thread.file_name().and_then(|id| id.to_str()) {
        let _declined = fs::write(format!("/proc/{id}/timerslack_ns"), "1");
    }
}

struct Reader {
    stream: TcpStream,
    ids: Chance,
}

impl Reader {
    /// Times the echoes in the order they were due; returns the latencies and the faults.
    async fn read_all(mut self, timetable: Timetable, connection: usize, size_bytes: usize) -> (Vec<f64>, u64) {
        let mut receiver = Receiver::default();
        let mut due = timetable.of_connection(connection);
        for _ in timetable.of_connection(connection) {
            receiver.expect(fresh_id(&mut self.ids), size_bytes);
        }
        let (mut latencies_us, mut faults) = (Vec::new(), 0);
        while receiver.in_flight() > 0 {
            // Pings stay unanswered: the writer has the stream, and a run is over in seconds.
            let mut unsent = Vec::new();
            let turn = poll_fn(|cx| poll_read_into(&mut self.stream, cx, |data| receiver.take(data, &mut unsent)));
            let Ok(Ok(echoes)) = timeout_at(timetable.end().into(), turn).await else { break };
            let now = Instant::now();
            faults += echoes.altered;
            let back = usize::try_from(echoes.right + echoes.altered).unwrap_or(usize::MAX);
            let arrived = due.by_ref().take(back);
            latencies_us.extend(arrived.filter_map(|message| timetable.late_us(message, now)));
        }
        (latencies_us, faults + receiver.in_flight() as u64)
    }
}
