//! The set-ups that are compared: how each is found, configured, started and stopped.
//!
//! Configurations lie in `configs/`; `@name@` in them is filled in here.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::timeout;

use crate::chat::{Chat, unix_s};
use crate::client::{Client, Target};
use crate::failure::Failure;
use crate::load;
use crate::usage::Watch;

/// A set-up must relay its first message this long after its start, in seconds.
const READY_S: u64 = 10;
/// A held program gets five seconds to end; the one that holds it a little more.
const END: Duration = Duration::from_secs(8);
/// What the bench signs its access tokens with; nothing else trusts it.
const SECRET: &str = "only-the-benchmark-trusts-this-key-and-it-guards-nothing-at-all!";
const TOKEN_LIFETIME_S: u64 = 1800;
/// How much of a failed program's output is shown.
const LAST_WORDS_BYTES: usize = 600;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetUp {
    /// The load tool straight to the echo: the floor under every figure.
    Direct,
    Portcullis,
    PortcullisUnchecked,
    Nginx,
    Nginx32k,
    HaProxy,
}

impl SetUp {
    pub(crate) const ALL: [Self; 6] =
        [Self::Direct, Self::Portcullis, Self::PortcullisUnchecked, Self::Nginx, Self::Nginx32k, Self::HaProxy];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Portcullis => "portcullis",
            Self::PortcullisUnchecked => "portcullis-unchecked",
            Self::Nginx => "nginx",
            Self::Nginx32k => "nginx-32k",
            Self::HaProxy => "haproxy",
        }
    }

    fn is_portcullis(self) -> bool {
        matches!(self, Self::Portcullis | Self::PortcullisUnchecked)
    }
}

/// What all set-ups of one comparison share.
#[derive(Debug)]
pub(crate) struct Site {
    /// A directory of this run's own.
    pub(crate) directory: PathBuf,
    pub(crate) portcullis: Option<PathBuf>,
    pub(crate) nginx: Option<PathBuf>,
    pub(crate) haproxy: Option<PathBuf>,
    /// Worker processes or threads of each gateway.
    pub(crate) workers: usize,
    pub(crate) open_files: usize,
}

impl Site {
    /// The program behind a set-up, if it is installed. The echo is this very program.
    pub(crate) fn program(&self, setup: SetUp) -> Option<&Path> {
        match setup {
            SetUp::Direct => None,
            SetUp::Portcullis | SetUp::PortcullisUnchecked => self.portcullis.as_deref(),
            SetUp::Nginx | SetUp::Nginx32k => self.nginx.as_deref(),
            SetUp::HaProxy => self.haproxy.as_deref(),
        }
    }

    /// Proxied connections a gateway of one process can carry, two files each and some to spare.
    pub(crate) fn connections_max(&self) -> usize {
        self.open_files.saturating_sub(200) / 2
    }

    pub(crate) fn start_echo(&self, threads: usize) -> Result<Running, Failure> {
        let listen = free_address()?;
        let own = std::env::current_exe()?;
        let arguments = ["echo", "--listen", &listen.to_string(), "--threads", &threads.to_string()].map(str::to_owned);
        let running = Running::start(self, "direct", listen, "/ws", &own, &arguments)?;
        running.wait_until_ready()
    }

    /// Starts a set-up on a port of its own and waits until it relays.
    pub(crate) fn start(&self, setup: SetUp, program: &Path, upstream: SocketAddr) -> Result<Running, Failure> {
        let listen = free_address()?;
        let place = self.directory.join(format!("{}-{}", setup.name(), listen.port()));
        make_directory(&place)?;
        let (file, template) = match setup {
            SetUp::Nginx | SetUp::Nginx32k => ("nginx.conf", include_str!("../configs/nginx.conf")),
            SetUp::HaProxy => ("haproxy.cfg", include_str!("../configs/haproxy.cfg")),
            _ => ("portcullis.yaml", include_str!("../configs/portcullis.yaml")),
        };
        let config = self.fill(template, setup, listen, upstream, &place);
        let path = place.join(file);
        fs::write(&path, config).map_err(|source| Failure::File { path: path.clone(), source })?;
        let arguments = arguments(setup, &path, listen, &place);
        let mut running = Running::start(self, setup.name(), listen, "/ws", program, &arguments)?;
        if setup.is_portcullis() {
            running.token = Some(sign_token()?);
        }
        running.wait_until_ready()
    }

    fn fill(&self, template: &str, setup: SetUp, listen: SocketAddr, upstream: SocketAddr, place: &Path) -> String {
        let buffers = match setup {
            SetUp::Nginx32k => "proxy_buffer_size 32k; proxy_buffers 4 32k;",
            _ => "",
        };
        let checks = match setup {
            SetUp::PortcullisUnchecked => "off",
            _ => "on",
        };
        [
            ("@listen@", listen.to_string()),
            ("@upstream@", upstream.to_string()),
            ("@dir@", place.display().to_string()),
            ("@workers@", self.workers.to_string()),
            ("@open_files@", self.open_files.to_string()),
            ("@connections@", self.connections_max().to_string()),
            ("@buffers@", buffers.to_owned()),
            ("@checks@", checks.to_owned()),
            ("@secret@", SECRET.to_owned()),
        ]
        .iter()
        .fold(template.to_owned(), |text, (name, value)| text.replace(name, value))
    }
}

fn arguments(setup: SetUp, config: &Path, listen: SocketAddr, place: &Path) -> Vec<String> {
    let (config, place) = (config.display().to_string(), place.display().to_string());
    let listen = listen.to_string();
    let arguments: &[&str] = match setup {
        SetUp::Nginx | SetUp::Nginx32k => &["-p", &place, "-e", "stderr", "-c", &config],
        SetUp::HaProxy => &["-db", "-f", &config],
        _ => &["serve", "--config", &config, "--listen", &listen, "--admin", "127.0.0.1:0", "--state", &place],
    };
    arguments.iter().map(|argument| (*argument).to_owned()).collect()
}

/// A program that runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) name: &'static str,
    pub(crate) listen: SocketAddr,
    pub(crate) watch: Watch,
    path: &'static str,
    token: Option<String>,
    holder: Child,
    log: PathBuf,
}

impl Running {
    fn start(
        site: &Site,
        name: &'static str,
        listen: SocketAddr,
        path: &'static str,
        program: &Path,
        arguments: &[String],
    ) -> Result<Self, Failure> {
        let log = site.directory.join(format!("{name}-{}.log", listen.port()));
        let output = File::create(&log).map_err(|source| Failure::File { path: log.clone(), source })?;
        let mut holder = Command::new(std::env::current_exe()?)
            .arg("hold")
            .arg("--")
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(output)
            // Ctrl-C is for the comparison; what it holds ends after it, in order.
            .process_group(0)
            .spawn()
            .map_err(|source| Failure::Spawn { command: program.display().to_string(), source })?;
        let mut first_line = String::new();
        if let Some(output) = holder.stdout.take() {
            BufReader::new(output).read_line(&mut first_line)?;
        }
        let watch = Watch::new(first_line.trim().parse().ok());
        Ok(Self { name, listen, watch, path, token: None, holder, log })
    }

    pub(crate) fn target(&self) -> Result<Target, Failure> {
        Target::new(&format!("ws://{}{}", self.listen, self.path), self.token.clone())
    }

    fn wait_until_ready(mut self) -> Result<Self, Failure> {
        let deadline = Instant::now() + Duration::from_secs(READY_S);
        let target = self.target()?;
        loop {
            let Err(failure) = load::on_this_thread(relay_once(&target)) else {
                return Ok(self);
            };
            if self.holder.try_wait()?.is_some() || Instant::now() > deadline {
                let cause = failure.to_string();
                let words = last_words(&self.log);
                return Err(Failure::NotReady { name: self.name, cause, words });
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let deadline = Instant::now() + END;
        while let (Ok(None), true) = (self.holder.try_wait(), Instant::now() < deadline) {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

async fn relay_once(target: &Target) -> Result<(), Failure> {
    let chat = Chat::new(256)?;
    let mut client = Client::open(target, load::seed()).await?;
    client.queue(&chat, unix_s());
    let echo = timeout(Duration::from_secs(2), client.turn()).await;
    let echoes = echo.map_err(|_| Failure::Timeout(2))??;
    if echoes.right == 1 { Ok(()) } else { Err(Failure::Protocol("the echo is not what was sent")) }
}

/// A port that is free at this moment.
pub(crate) fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

pub(crate) fn make_directory(path: &Path) -> Result<(), Failure> {
    fs::create_dir(path).map_err(|source| Failure::File { path: path.to_owned(), source })
}

fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let from = text.len().saturating_sub(LAST_WORDS_BYTES);
    let tail = (from..text.len()).find_map(|at| text.get(at..)).unwrap_or("none");
    tail.trim().to_owned()
}

/// An access token as a client of a production gateway brings one.
fn sign_token() -> Result<String, Failure> {
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
    let issued = unix_s();
    let claims = json!({
        "sub": "bench",
        "iat": issued,
        "nbf": issued,
        "exp": issued + TOKEN_LIFETIME_S,
    });
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("bench".to_owned());
    Ok(encode(&header, &claims, &EncodingKey::from_secret(SECRET.as_bytes()))?)
}

/// Looks a program up where systems keep them.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let places = std::env::split_paths(&path).chain(system);
    places.map(|place| place.join(name)).find(|program| program.is_file())
}

/// The version a program prints, in one line.
pub(crate) fn version(program: &Path, flag: &str) -> String {
    let Ok(output) = Command::new(program).arg(flag).stdin(Stdio::null()).output() else {
        return "of unknown version".to_owned();
    };
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_are_filled_in_to_the_last_mark() {
        let site = Site {
            directory: PathBuf::from("/tmp"),
            portcullis: None,
            nginx: None,
            haproxy: None,
            workers: 2,
            open_files: 20_000,
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
        for template in [
            include_str!("../configs/nginx.conf"),
            include_str!("../configs/haproxy.cfg"),
            include_str!("../configs/portcullis.yaml"),
        ] {
            for setup in SetUp::ALL {
                let config = site.fill(template, setup, address, address, Path::new("/tmp/place"));
                assert!(!config.contains('@'), "{config}");
            }
        }
    }
}
