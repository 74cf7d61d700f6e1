//! The buffers of a worker thread, and what was read into them of the present message.

use crate::message::binary as binary_view;
use crate::message::json::Scan;
use crate::message::leak::survey_for_leaks;
use crate::message::survey::{Survey, Wanted};
use crate::message::threat::{Buffers, survey_for_threats};

/// Bytes a workspace may keep between messages; what one message needed beyond is given back after it.
pub const WORKSPACE_BYTES_MAX: usize = 1 << 20;

/// Fills bytes with what nobody can guess; false when it cannot.
pub type Random = fn(&mut [u8]) -> bool;

/// Buffers of one worker thread, reused from message to message.
#[derive(Debug)]
pub struct Workspace {
    pub(super) scan: Scan,
    pub(super) tracer: Scan,
    pub(super) buffers: Buffers,
    pub(super) binary: binary_view::Buffers,
    pub(super) survey: Survey,
    /// What the survey was asked, where it has looked at the present text.
    pub(super) surveyed: Option<Look>,
    pub(super) name: Vec<u8>,
    pub(super) seed: u64,
    /// Where the nonces of sealed fields come from.
    pub(super) random: Random,
    /// How the present message reads.
    pub(super) reading: Reading,
}

/// Which words a survey looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// None.
    Plain,
    /// Those of attacks.
    Threats,
    /// Those of leaks.
    Leaks,
}

/// How a message reads to the checks after `json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Well-formed JSON: the scan holds its strings.
    Json,
    /// Text that is not JSON.
    Text,
    /// Neither: its bytes say nothing to a check.
    Opaque,
}

impl Workspace {
    /// `seed` is random, drawn once per process and the same for all its workspaces: ids remembered on one
    /// thread are then known on another, and nobody outside can compute which keys collide.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            scan: Scan::seeded(seed),
            tracer: Scan::seeded(seed),
            buffers: Buffers::default(),
            binary: binary_view::Buffers::default(),
            survey: Survey::default(),
            surveyed: None,
            name: Vec::new(),
            seed,
            random: |_| false,
            reading: Reading::Opaque,
        }
    }

    /// Draws the nonces of sealed fields from `random`; without it nothing can be sealed.
    #[must_use]
    pub fn drawing(self, random: Random) -> Self {
        Self { random, ..self }
    }

    /// Bytes held between messages; never more than [`WORKSPACE_BYTES_MAX`] after [`inspect`] returns.
    #[must_use]
    pub fn capacity_bytes(&self) -> usize {
        self.scan.capacity_bytes()
            + self.tracer.capacity_bytes()
            + self.buffers.capacity_bytes()
            + self.binary.capacity_bytes()
            + self.survey.capacity_bytes()
            + self.name.capacity()
    }

    /// Looks at the present text, unless the survey has.
    pub(super) fn look(&mut self, bytes: &[u8], look: Look) {
        if self.surveyed == Some(look) || look == Look::Plain && self.surveyed.is_some() {
            return;
        }
        self.surveyed = Some(look);
        match look {
            Look::Plain => self.survey.of(bytes, Wanted::Edges),
            Look::Threats => survey_for_threats(&mut self.survey, bytes),
            Look::Leaks => survey_for_leaks(&mut self.survey, bytes),
        }
    }

    /// Gives back what a large message left behind.
    pub(super) fn settle(&mut self) {
        if self.capacity_bytes() > WORKSPACE_BYTES_MAX {
            self.scan.shrink_to(1 << 10);
            self.tracer.shrink_to(1 << 8);
            self.buffers.shrink_to(1 << 14);
            self.binary.shrink_to(1 << 14);
            self.survey.shrink_to(1 << 14);
            self.name = Vec::new();
        }
    }
}
