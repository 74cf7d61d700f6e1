//! Who plays: honest clients and attackers, each with an address, a name and a habit.

use std::net::{IpAddr, Ipv4Addr};

/// Chance with a seed: xorshift64*.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// A number below `most`.
    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % most.max(1)
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// What an honest client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Comes in the morning with its colleagues, behind one address, and stays.
    Office,
    /// Changes its address again and again.
    Mobile,
    /// Comes when the market opens, and sends a burst.
    Trader,
    /// Comes and goes.
    Home,
}

/// What an attacker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Attack {
    /// One address, 200 bad tokens a second.
    Loud,
    /// 3,000 addresses, each with a bad token every two minutes.
    Swarm,
    /// 200 addresses, each four bad tokens a minute: below the rate that bans.
    Stuffing,
    /// One address with as many accounts as it likes; each sends as fast as it can.
    Invention,
    /// One account that floods, and comes back from another address whenever it is slowed.
    Evasion,
    /// Bad tokens in the names of honest users, to have them banned.
    Grief,
    /// The same from within an office: its address is that of its colleagues.
    Insider,
}

impl Attack {
    pub(crate) const ALL: [Self; 7] =
        [Self::Loud, Self::Swarm, Self::Stuffing, Self::Invention, Self::Evasion, Self::Grief, Self::Insider];

    /// Clients that take part.
    pub(crate) const fn clients(self) -> u32 {
        match self {
            Self::Swarm => 3_000,
            Self::Stuffing => 200,
            _ => 1,
        }
    }

    /// From one act of a client to its next, milliseconds.
    pub(crate) const fn every_ms(self) -> u64 {
        match self {
            Self::Loud => 5,
            Self::Swarm => 120_000,
            Self::Stuffing => 15_000,
            Self::Invention => 1_000,
            Self::Evasion => 50,
            Self::Grief | Self::Insider => 6_000,
        }
    }

    /// When it begins, in thousandths of the play.
    pub(crate) const fn begins(self) -> u64 {
        match self {
            Self::Loud => 300,
            Self::Swarm => 400,
            Self::Stuffing => 500,
            Self::Invention => 650,
            Self::Evasion => 700,
            Self::Grief => 800,
            Self::Insider => 80,
        }
    }
}

/// Members of an office.
pub(crate) const OFFICE: u32 = 100;

pub(crate) fn habit(client: u32) -> Habit {
    match client % 10 {
        0..=2 => Habit::Office,
        3..=5 => Habit::Mobile,
        6 | 7 => Habit::Trader,
        _ => Habit::Home,
    }
}

/// Which office a client works in.
pub(crate) fn office(client: u32) -> u32 {
    client / 10 * 3 / OFFICE
}

/// Where a client is. Phones share the addresses of their carrier, some fifty to one.
pub(crate) fn address(client: u32, clients: u32, chance: &mut Chance) -> IpAddr {
    let at = match habit(client) {
        Habit::Office => 0x0A00_0000 + office(client),
        Habit::Mobile => 0x6440_0000 + u32::try_from(chance.below(u64::from(clients / 50 + 1))).unwrap(),
        Habit::Trader | Habit::Home => 0x5000_0000 + client * 7,
    };
    Ipv4Addr::from(at).into()
}

/// Where an attacker is.
pub(crate) fn lair(attack: Attack, client: u32, turn: u32) -> IpAddr {
    let at = match attack {
        Attack::Insider => 0x0A00_0000,
        Attack::Evasion => 0xC612_0000 + turn,
        Attack::Swarm => 0xCB00_0000 + client * 253,
        Attack::Stuffing => 0xC633_6400 + client,
        _ => 0xC000_0200 + client + u32::try_from(attack.begins()).unwrap(),
    };
    Ipv4Addr::from(at).into()
}
