//! From a file's name to a loaded policy: the one place where configuration meets the machine.
//!
//! Decides where a configuration comes from and how its errors read. What it means is the core's business.
//! Never prints a secret: the core masks what it quotes.

use std::path::{Path, PathBuf};

use portcullis_core::policy::{self, Loaded, Outside, Overrides, Source};

use crate::exit::Failure;

/// Largest configuration, secret or key file read: far more than anyone writes by hand.
pub(crate) const FILE_BYTES_MAX: u64 = 4 << 20;

/// The file that commands look for where none is named.
pub(crate) const USUAL_FILE: &str = "portcullis.yaml";

/// This machine's environment variables and files.
pub(crate) struct Machine;

impl Outside for Machine {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn vars(&self) -> Vec<(String, String)> {
        let text = |part: std::ffi::OsString| part.into_string().ok();
        std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect()
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        read_bounded(path).map_err(|error| error.to_string())
    }
}

/// A file's content, at most [`FILE_BYTES_MAX`].
///
/// # Errors
/// What the system says, or that the file is too large.
pub(crate) fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut content = Vec::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut content)?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(content)
}

/// Where a configuration comes from, to be read again on reload.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The file; without one the flags speak alone.
    pub(crate) file: Option<PathBuf>,
    /// The flags.
    pub(crate) overrides: Overrides,
}

impl Origin {
    /// Reads and checks it.
    ///
    /// # Errors
    /// [`Failure::Configuration`] with every error rendered.
    pub(crate) fn load(&self) -> Result<Loaded, Failure> {
        let text = self.file.as_deref().map(text_of).transpose()?;
        let name = self.file.as_ref().map(|file| file.to_string_lossy().into_owned()).unwrap_or_default();
        let source = text.as_deref().map(|text| Source { name: &name, text });
        policy::load(source, &self.overrides, &Machine).map_err(|errors| refused(&errors))
    }

    /// Every file that says something: the configuration and what it names.
    pub(crate) fn files(&self, loaded: &Loaded) -> Vec<PathBuf> {
        self.file.iter().chain(&loaded.files).cloned().collect()
    }
}

/// The configuration's text.
///
/// # Errors
/// [`Failure::Configuration`]: it cannot be read, or is not UTF-8.
pub(crate) fn text_of(file: &Path) -> Result<String, Failure> {
    let shown = file.display();
    let bytes = read_bounded(file).map_err(|error| {
        Failure::Configuration(format!(
            "cannot read the configuration `{shown}`: {error}; `portcullis init` writes one"
        ))
    })?;
    String::from_utf8(bytes)
        .map_err(|_| Failure::Configuration(format!("the configuration `{shown}` is not UTF-8 text; save it as UTF-8")))
}

/// The errors as one failure, each with its place.
pub(crate) fn refused(errors: &policy::Errors) -> Failure {
    let count = errors.0.len();
    let what = if count == 1 { "1 error".to_owned() } else { format!("{count} errors") };
    Failure::Configuration(format!("the configuration was refused, {what}:\n\n{errors}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_past_the_bound_is_not_read() {
        let path = std::env::temp_dir().join(format!("portcullis-bound-{}", std::process::id()));
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(FILE_BYTES_MAX).unwrap();
        assert_eq!(read_bounded(&path).unwrap().len() as u64, FILE_BYTES_MAX);
        file.set_len(FILE_BYTES_MAX + 1).unwrap();
        assert!(read_bounded(&path).is_err());
        std::fs::remove_file(&path).unwrap();
    }
}
