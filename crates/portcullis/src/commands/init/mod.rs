//! `portcullis init`: a first configuration, by asking.
//!
//! Decides what is asked and where it is written. The text is checked before anything is written, so what
//! it leaves behind passes `portcullis check`. Never replaces a secret; a configuration only with `--force`.

mod ask;
mod text;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use portcullis_core::policy::{self, Outside, Overrides, Source};

use crate::cli::{Init, InitAuth};
use crate::configuration::{Machine, refused};
use crate::exit::{Failure, Outcome};
use crate::output;

/// What was decided, by flag, answer or default.
pub(crate) struct Answers {
    pub(crate) upstream: String,
    pub(crate) paths: Vec<String>,
    pub(crate) auth: InitAuth,
    pub(crate) jwks_url: Option<String>,
    pub(crate) origins: Vec<String>,
    pub(crate) environment: policy::checked::Environment,
    pub(crate) tls: Tls,
}

/// Where TLS ends.
pub(crate) enum Tls {
    /// Nowhere: development.
    None,
    /// At a proxy from this network.
    Proxy(String),
    /// Here: certificate and key.
    Here(PathBuf, PathBuf),
}

/// Asks, checks and writes.
pub(crate) fn run(told: &Init) -> Outcome {
    let file = &told.file;
    if file.exists() && !told.force {
        return Err(Failure::Outside(format!("`{}` exists and is kept; `--force` replaces it", file.display())));
    }
    let answers = ask::answers(told)?;
    let secret_name = secret_name(file);
    let yaml = text::yaml(&answers, &secret_name);
    let secret = file.with_file_name(&secret_name);
    let new_secret = (answers.auth == InitAuth::Secret && !secret.exists()).then(random_secret).transpose()?;
    let name = file.display().to_string();
    let outside = WithSecret { path: &secret, content: new_secret.as_deref() };
    let loaded = policy::load(Some(Source { name: &name, text: &yaml }), &Overrides::default(), &outside)
        .map_err(|errors| refused(&errors))?;
    if let Some(content) = &new_secret {
        write(&secret, content, 0o600, false)?;
    }
    write(file, &yaml, 0o644, told.force)?;
    report(told, &answers, &secret, new_secret.is_some(), loaded.warnings.len())
}

fn report(told: &Init, answers: &Answers, secret: &Path, made: bool, warnings: usize) -> Outcome {
    let (file, secret) = (told.file.display(), secret.display());
    if told.json {
        let secret_file = (answers.auth == InitAuth::Secret).then(|| secret.to_string());
        return output::json(&serde_json::json!({
            "file": file.to_string(), "secret_file": secret_file, "secret_made": made, "warnings": warnings,
        }));
    }
    output::line(&format!("wrote {file}"))?;
    if answers.auth == InitAuth::Secret {
        let how = if made { "wrote" } else { "kept " };
        output::line(&format!("{how} {secret}, the secret that signs tokens; keep it out of version control"))?;
    }
    output::line(&format!("\nNext:\n  portcullis check {file}\n  portcullis serve --config {file}"))?;
    if answers.auth == InitAuth::Secret {
        output::line(&format!("  portcullis token issue --secret-file {secret} --subject u1 --role user"))?;
    }
    Ok(())
}

/// `portcullis.yaml` → `portcullis.secret`.
fn secret_name(file: &Path) -> String {
    Path::new(file.file_name().unwrap_or_default()).with_extension("secret").to_string_lossy().into_owned()
}

/// 256 random bits as hexadecimal digits.
fn random_secret() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::Outside(format!("the system gives no randomness: {error}")))?;
    Ok(HEXLOWER.encode(&bytes))
}

fn write(path: &Path, content: &str, mode: u32, replace: bool) -> Outcome {
    let failed = |error: std::io::Error| Failure::Outside(format!("cannot write `{}`: {error}", path.display()));
    if !replace {
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
        return file.and_then(|mut file| file.write_all(content.as_bytes())).map_err(failed);
    }
    // Whole or not at all: a gateway may be watching the file.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let next = path.with_file_name(format!(".{name}.{}", std::process::id()));
    write(&next, content, mode, false)?;
    fs::rename(&next, path).map_err(failed)
}

/// This machine, with a secret file that is not written yet.
struct WithSecret<'a> {
    path: &'a Path,
    content: Option<&'a str>,
}

impl Outside for WithSecret<'_> {
    fn var(&self, name: &str) -> Option<String> {
        Machine.var(name)
    }

    fn vars(&self) -> Vec<(String, String)> {
        Machine.vars()
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        match self.content {
            Some(content) if path.file_name() == self.path.file_name() => Ok(content.as_bytes().to_vec()),
            _ => Machine.read(path),
        }
    }
}
