//! How a command ends: the exit codes, and the error that carries one.
//!
//! Decides the number a shell sees. Never prints: `main` does, once, on standard error.

/// Done, or the answer is yes.
pub(crate) const OK: u8 = 0;
/// The command worked and the answer is no: a token does not verify, nothing was found.
pub(crate) const NEGATIVE: u8 = 1;
/// The command line itself is wrong (clap's own code).
pub(crate) const USAGE: u8 = 2;
/// The configuration was refused.
pub(crate) const CONFIGURATION: u8 = 3;
/// Something outside failed: an address is taken, a file cannot be read, the state is not there.
pub(crate) const OUTSIDE: u8 = 4;

/// The list that `--help` shows.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done, or the answer is yes
  1  the answer is no: a token does not verify, nothing was found
  2  the command line is wrong
  3  the configuration was refused
  4  something outside failed: an address is taken, a file cannot be read";

/// Why a command ended without doing what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The answer is no.
    #[error("{0}")]
    Negative(String),
    /// Flags that contradict each other, or a value that is none.
    #[error("{0}")]
    Usage(String),
    /// The configuration was refused; the text is rendered already.
    #[error("{0}")]
    Configuration(String),
    /// Something outside failed.
    #[error("{0}")]
    Outside(String),
    /// Whoever read our output went away, as `head` does; nothing to report.
    #[error("the output was closed")]
    OutputClosed,
}

impl Failure {
    /// The number a shell sees.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Negative(_) => NEGATIVE,
            Self::Usage(_) => USAGE,
            Self::Configuration(_) => CONFIGURATION,
            Self::Outside(_) => OUTSIDE,
            Self::OutputClosed => OK,
        }
    }

    /// A failed write to standard output.
    pub(crate) fn output(error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::Outside(format!("cannot write the output: {error}"))
        }
    }
}

/// What a command returns.
pub(crate) type Outcome = Result<(), Failure>;
