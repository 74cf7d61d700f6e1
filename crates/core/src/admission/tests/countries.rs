//! A flood from one country tightens the rate of its addresses and nobody else's.

use super::*;
use crate::policy::checked::{Factor, Rate, RateAlgorithm};
use crate::reputation::{Atlas, Country, Level, Raised};

/// How many of 20 attempts of an address are let in.
fn let_in(house: &House, client: &str) -> usize {
    let arrive = |_: &i32| {
        let step = house.admission(client).arrive(&Request::to("/open").head(), fixture::now());
        matches!(step, Step::Done(decision) if !matches!(*decision, Decision::Refuse(_)))
    };
    (0..20).filter(arrive).count()
}

#[test]
fn the_stricter_of_the_level_of_all_and_of_a_country_holds_for_its_addresses() {
    let mut checked = checked();
    let rate = Rate { count: 8, per: Duration::from_secs(60), burst: 8, algorithm: RateAlgorithm::TokenBucket };
    checked.sources.connection_rate = Some(rate);
    checked.sources.connections_per_ip_max = Some(100);
    let house = House::of(checked);
    let provenance = house.gate.provenance();
    provenance.set_atlas(Atlas::of_countries(&[("198.51.100.0/24", "KP"), ("9.9.9.0/24", "DE")]));
    let country = Country::in_use("KP").unwrap();
    let factor = Factor::from_permille(250);
    provenance.set_raised(vec![Raised { country, level: Level::Critical, factor }]);
    assert_eq!([let_in(&house, "198.51.100.7"), let_in(&house, "9.9.9.7"), let_in(&house, "8.8.8.8")], [2, 8, 8]);
    house.gate.set_pressure(Factor::from_permille(500));
    assert_eq!([let_in(&house, "198.51.100.8"), let_in(&house, "9.9.9.8")], [2, 4]);
    provenance.set_raised(Vec::new());
    assert_eq!(let_in(&house, "198.51.100.9"), 4);
}
