//! What multiplies limits at the moment: calendars in force, and pressure from floods and lockdown (SPEC 6.2).
//!
//! Decides nothing: whoever has a clock computes it a few times a second and hands it to the
//! [`Ledger`](super::Ledger); a message reads it as one atomic number.

use crate::policy::checked::Factor;

/// Calendars that one policy may name: a bit each.
pub const CALENDARS_MAX: usize = 16;

/// Calendars in force, and the factor that holds for every limit. The default is a calm time outside all calendars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conditions(u64);

impl Conditions {
    /// The calendars in force, by their place in the policy (those past [`CALENDARS_MAX`] are left out), and a
    /// factor for all limits.
    #[must_use]
    pub fn new(in_force: impl IntoIterator<Item = bool>, pressure: Factor) -> Self {
        let bits = in_force.into_iter().take(CALENDARS_MAX).enumerate();
        let bits = bits.fold(0, |bits, (position, on)| bits | (u64::from(on) << position));
        let pressure = if pressure == Factor::ONE { 0 } else { u64::from(pressure.permille()) };
        Self(bits | pressure << 32)
    }

    /// Whether a calendar is in force.
    #[must_use]
    pub fn in_force(self, calendar: usize) -> bool {
        calendar < CALENDARS_MAX && self.0 & (1 << calendar) != 0
    }

    /// The factor for all limits.
    #[must_use]
    pub fn pressure(self) -> Factor {
        match u32::try_from(self.0 >> 32) {
            Ok(permille) if permille > 0 => Factor::from_permille(permille),
            _ => Factor::ONE,
        }
    }

    pub(super) fn to_bits(self) -> u64 {
        self.0
    }

    pub(super) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_read_out() {
        let many = std::iter::repeat_n(true, CALENDARS_MAX + 9);
        for permille in [1, 250, 1000, 2000, Factor::PERMILLE_MAX] {
            let conditions = Conditions::new([false, true, false], Factor::from_permille(permille));
            let read = [0, 1, 2, 3].map(|calendar| conditions.in_force(calendar));
            assert_eq!(read, [false, true, false, false]);
            assert_eq!(conditions.pressure().permille(), permille);
        }
        assert!(!Conditions::new(many, Factor::ONE).in_force(CALENDARS_MAX));
        assert_eq!(Conditions::new([], Factor::ONE), Conditions::default());
    }
}
