//! Keeps what multiplies limits in step with the clock (SPEC 6.2). The rules are the core's; this asks them five times a
//! second and hands the answer to the ledger, so that no message asks a calendar.

use portcullis_core::policy::checked::Factor;

use crate::shared::Shared;

/// Puts the present conditions in force.
pub(crate) fn refresh(shared: &Shared) {
    let now = shared.clock.now();
    let checked = &shared.policy.load().checked;
    let locked = shared.gate.locked_for(now).is_some();
    let pressure = if locked { checked.defences.lockdown_factor } else { Factor::ONE };
    shared.ledger.set_conditions(checked.conditions(now.wall, pressure));
}
