//! The demo: a small chat behind the gate, and a page to try the gate with.
//!
//! Decides what the demo is made of and what its user reads first. The gateway in it is the real one, with
//! the policy beside this file. Its secret is made at each start and kept in memory only.

mod backend;
mod chat;
mod state;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use portcullis_core::identity::issue;
use portcullis_core::policy::checked::{Algorithm, Secret};
use portcullis_core::policy::{self, Outside, Overrides, Source};

use crate::cli::{Demo, LogLevel};
use crate::configuration::refused;
use crate::exit::{Failure, Outcome};
use crate::{output, running, when};
use backend::{Backend, Session};
pub(crate) use state::usual_state;

const POLICY: &str = include_str!("policy.yaml");
/// The variable that the policy names; it never reaches the real environment.
const SECRET_VARIABLE: &str = "PORTCULLIS_DEMO_SECRET";
/// Named as issuer and audience.
const DEMO: &str = "portcullis-demo";
/// Whom the demo token names.
const SUBJECT: &str = "visitor";
/// How long the demo token is valid.
const TOKEN_SECONDS: u64 = 12 * 3600;
/// Routes of the policy; each leads to the backend.
const ROUTES: usize = 3;

/// Runs the demo until told to stop.
pub(crate) fn run(told: &Demo) -> Outcome {
    running::log(&told.log, LogLevel::Warn);
    let state = told.state.clone().unwrap_or_else(usual_state);
    state::prepare(&state)
        .map_err(|error| Failure::Outside(format!("the demo's state folder `{}`: {error}", state.display())))?;
    let secret = random_secret()?;
    let token = token(&secret)?;
    let outside = |error: std::io::Error| Failure::Outside(format!("the demo's backend cannot start: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(outside)?;
    let backend = runtime.block_on(Backend::bind()).map_err(outside)?;
    let started = running::start(load(told, &state, secret, backend.address()))?;
    let explain = format!("{} explain --state {}", program(), state.display());
    let page = format!("http://{}/", started.running.gateway_address);
    let admin = format!("http://{}/", started.running.admin_address);
    let session = Session { token: token.clone(), subject: SUBJECT.to_owned(), admin: admin.clone(), explain };
    std::thread::Builder::new()
        .name("demo-backend".to_owned())
        .spawn(move || runtime.block_on(backend.serve(session)))
        .map_err(outside)?;
    output::line(&greeting(&page, &admin, &token, &state))?;
    started.until_told_to_stop();
    Ok(())
}

fn random_secret() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::Outside(format!("the system gives no randomness: {error}")))?;
    Ok(HEXLOWER.encode(&bytes))
}

fn token(secret: &str) -> Result<String, Failure> {
    let issued = when::present_unix_ms() / 1000;
    let claims = serde_json::json!({
        "sub": SUBJECT, "roles": ["user"], "iss": DEMO, "aud": DEMO, "iat": issued, "exp": issued + TOKEN_SECONDS,
    });
    let claims = claims.as_object().cloned().unwrap_or_default();
    issue::issue(&claims, Algorithm::HS256, &Secret::new(secret.as_bytes().to_vec()), Some("demo"))
        .map_err(|error| Failure::Outside(error.to_string()))
}

fn load(told: &Demo, state: &Path, secret: String, backend: SocketAddr) -> running::Load {
    let overrides = Overrides {
        listen: Some(told.listen.to_string()),
        admin: Some(told.admin.to_string()),
        state_dir: Some(state.to_path_buf()),
        set: (0..ROUTES).map(|route| format!("routes[{route}].upstream=ws://{backend}")).collect(),
        ..Overrides::default()
    };
    let hidden = Hidden(secret);
    Box::new(move || {
        let source = Source { name: "the demo's policy", text: POLICY };
        let loaded = policy::load(Some(source), &overrides, &hidden).map_err(|errors| refused(&errors))?;
        Ok((loaded, Vec::new()))
    })
}

/// An outside that knows the secret and nothing else: the user's own variables do not change the demo.
struct Hidden(String);

impl Outside for Hidden {
    fn var(&self, name: &str) -> Option<String> {
        (name == SECRET_VARIABLE).then(|| self.0.clone())
    }

    fn vars(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn read(&self, _: &Path) -> Result<Vec<u8>, String> {
        Err("the demo reads no files".to_owned())
    }
}

/// How this program can be called again from the same folder.
fn program() -> String {
    let path = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("portcullis"));
    let here = std::env::current_dir().unwrap_or_default();
    match path.strip_prefix(&here) {
        Ok(relative) => format!("./{}", relative.display()),
        Err(_) => path.display().to_string(),
    }
}

fn greeting(page: &str, admin: &str, token: &str, state: &Path) -> String {
    let (program, state) = (program(), state.display());
    format!(
        "
A chat, and Portcullis in front of it. Everything stays on this machine; Ctrl-C ends it.

  the chat, through the gate   {page}
  the gate's live page         {admin}
  a token for `{SUBJECT}`        {token}

Three things to try:
  1. Open {page} and say something honest, attack, flood.
  2. Watch the decisions in a second terminal:
       {program} audit tail --state {state}
  3. Ask why a message was refused; the reference stands in the reply:
       {program} explain --state {state} REFERENCE

Your own backend:  {program} serve --upstream ws://127.0.0.1:3000
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_valid_and_every_route_is_led_to_the_backend() {
        let told = Demo {
            listen: "127.0.0.1:0".parse().unwrap(),
            admin: "127.0.0.1:0".parse().unwrap(),
            state: None,
            log: crate::cli::Log { log_format: crate::cli::LogFormat::Text, log_level: None },
        };
        let backend: SocketAddr = "127.0.0.1:4321".parse().unwrap();
        let (loaded, _) = load(&told, Path::new("/tmp/x"), "s".repeat(64), backend)().unwrap();
        assert_eq!(loaded.checked.routes.len(), ROUTES);
        for route in &loaded.checked.routes {
            assert_eq!(route.upstreams[0].port, 4321, "{}", route.name);
        }
    }

    #[test]
    fn the_token_names_the_visitor_and_differs_at_each_start() {
        let (one, two) = (random_secret().unwrap(), random_secret().unwrap());
        assert_ne!(one, two);
        let claims = issue::decode(&token(&one).unwrap()).unwrap().claims;
        assert_eq!((claims["sub"].as_str(), claims["aud"].as_str()), (Some(SUBJECT), Some(DEMO)));
    }
}
