//! Countries by their ISO 3166-1 codes of two letters, and what is counted of each.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Codes in use (ISO 3166-1 alpha-2), and `XK` for Kosovo, which the databases use.
const CODES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW \
    BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO \
    FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO \
    JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS \
    MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU \
    RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA \
    UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW";

const LETTERS: u16 = 26;
/// Pairs of letters.
const PAIRS: usize = 676;

/// A country: two letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country(u16);

impl Country {
    /// Two letters, whether or not they are in use: what a database says.
    #[must_use]
    pub fn from_letters(code: &str) -> Option<Self> {
        let [first, second] = <[u8; 2]>::try_from(code.as_bytes()).ok()?;
        let place = |letter: u8| {
            letter.to_ascii_uppercase().is_ascii_uppercase().then(|| u16::from(letter.to_ascii_uppercase() - b'A'))
        };
        Some(Self(place(first)? * LETTERS + place(second)?))
    }

    /// A code that is in use: what an operator writes.
    #[must_use]
    pub fn in_use(code: &str) -> Option<Self> {
        let country = Self::from_letters(code)?;
        Self::codes().any(|known| known.eq_ignore_ascii_case(code)).then_some(country)
    }

    /// Every code in use.
    pub fn codes() -> impl Iterator<Item = &'static str> {
        CODES.split_ascii_whitespace()
    }

    fn of_place(place: usize) -> Option<Self> {
        u16::try_from(place).ok().filter(|_| place < PAIRS).map(Self)
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |place: u16| char::from(b'A' + u8::try_from(place % LETTERS).unwrap_or(0));
        write!(f, "{}{}", letter(self.0 / LETTERS), letter(self.0 % LETTERS))
    }
}

/// A count for each country, and one for addresses of none: 5 KB, however many countries there are.
#[derive(Debug)]
pub struct CountryCounts(Box<[AtomicU64]>);

impl Default for CountryCounts {
    fn default() -> Self {
        Self((0..=PAIRS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl CountryCounts {
    /// Counts one.
    pub fn count(&self, country: Option<Country>) {
        if let Some(count) = self.0.get(country.map_or(PAIRS, |country| usize::from(country.0))) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was counted, without zeros; addresses of no country come last.
    pub fn counted(&self) -> impl Iterator<Item = (Option<Country>, u64)> {
        let counts =
            self.0.iter().enumerate().map(|(place, count)| (Country::of_place(place), count.load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0)
    }

    /// What was counted by country, without zeros, and forgets all counts.
    pub fn take(&self) -> Vec<(Country, u64)> {
        let counts = self.0.iter().enumerate();
        let counts = counts.map(|(place, count)| (Country::of_place(place), count.swap(0, Ordering::Relaxed)));
        counts.filter_map(|(country, count)| Some((country?, count)).filter(|_| count > 0)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_read_and_written_back() {
        let mut seen = std::collections::HashSet::new();
        for code in Country::codes() {
            let country = Country::in_use(code).unwrap();
            assert_eq!(country.to_string(), code);
            assert_eq!(Country::in_use(&code.to_lowercase()), Some(country));
            assert!(seen.insert(country), "{code} twice");
        }
        assert_eq!(seen.len(), 250, "249 of ISO 3166-1 and Kosovo");
    }

    #[test]
    fn what_is_no_country_is_none() {
        for code in ["UK", "EU", "", "D", "DEU", "D1", "ÄÖ", "??"] {
            assert_eq!(Country::in_use(code), None, "{code}");
        }
        assert!(Country::from_letters("ZZ").is_some(), "a database may say it");
    }

    #[test]
    fn countries_are_counted_apart_and_the_most_frequent_is_found() {
        let counts = CountryCounts::default();
        let [de, zz] = ["DE", "ZZ"].map(Country::from_letters);
        for country in [de, zz, de, None, None, None] {
            counts.count(country);
        }
        let counted: Vec<_> = counts.counted().collect();
        assert_eq!(counted, [(de, 2), (zz, 1), (None, 3)]);
        assert_eq!(counts.take(), [(de.unwrap(), 2), (zz.unwrap(), 1)]);
        assert_eq!(counts.take(), [], "it began anew");
    }
}
