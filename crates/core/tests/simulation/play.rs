//! The play: a queue of acts in virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use portcullis_core::reputation::{Block, Level, Target};
use portcullis_core::time::Now;
use portcullis_core::verdict::Reason;

use crate::cast::{Attack, Chance, Habit, OFFICE, address, habit, lair, office};
use crate::house::{Connection, House};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
/// 14:30 UTC on Friday, 20 November 2026: the market in New York opens.
const OPENING_UNIX_S: u64 = 1_795_185_000;
/// Messages of an honest client.
const MESSAGES: u32 = 20;
/// Those that a trader sends in the first minute.
const BURST: u32 = 150;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Second,
    Arrive { client: u32, tries: u32 },
    Say { client: u32, left: u32 },
    Move { client: u32 },
    Leave { client: u32 },
    Strike { attack: Attack, client: u32, turn: u32 },
}

/// Attempts of an attack to come in.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tried {
    pub(crate) made: u64,
    /// Those whose token was looked at; the rest was turned away before.
    pub(crate) verified: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) honest: usize,
    pub(crate) honest_hurt: usize,
    pub(crate) honest_messages: u64,
    pub(crate) hurt_by: BTreeMap<&'static str, u64>,
    /// Colleagues of the insider that were turned away.
    pub(crate) colleagues_hurt: usize,
    pub(crate) attackers_admitted: u64,
    pub(crate) tried: BTreeMap<Attack, Tried>,
    pub(crate) seen_after_s: BTreeMap<Attack, Option<u64>>,
    /// Messages sent and passed by attackers that have accounts.
    pub(crate) messages: Vec<(Attack, u64, u64)>,
    pub(crate) levels: Vec<String>,
    /// Addresses, subnets and users banned for their score.
    pub(crate) scored: Vec<String>,
    /// Honest users among them.
    pub(crate) honest_scored: usize,
    /// Attempts that waited, of anybody.
    pub(crate) waited: u64,
}

/// See the module.
pub(crate) struct Play {
    house: House,
    chance: Chance,
    clients: u32,
    length: u64,
    lasts: u64,
    now: u64,
    acts: BinaryHeap<Reverse<(u64, u64, Act)>>,
    acted: u64,
    open: HashMap<u32, Connection>,
    evil: HashMap<Attack, Connection>,
    hurt: HashSet<u32>,
    spoken: BTreeMap<Attack, (u64, u64)>,
    figures: Figures,
}

impl Play {
    /// So many honest clients, for so many hours; attacks last so many seconds.
    pub(crate) fn new(clients: u32, hours: u64, attack_seconds: u64) -> Self {
        let mut play = Self {
            house: House::new(),
            chance: Chance(42),
            clients,
            length: hours * 60 * MINUTE,
            lasts: attack_seconds * SECOND,
            now: 0,
            acts: BinaryHeap::new(),
            acted: 0,
            open: HashMap::new(),
            evil: HashMap::new(),
            hurt: HashSet::new(),
            spoken: BTreeMap::new(),
            figures: Figures { honest: usize::try_from(clients).unwrap(), ..Figures::default() },
        };
        play.put(0, Act::Second);
        for client in 0..clients {
            let at = match habit(client) {
                Habit::Office => play.length / 20 + play.chance.below(60 * MINUTE),
                Habit::Trader => play.opening() + play.chance.below(3 * MINUTE),
                Habit::Mobile | Habit::Home => play.chance.below(play.length * 8 / 10),
            };
            play.put(at, Act::Arrive { client, tries: 0 });
        }
        for attack in Attack::ALL {
            let begins = play.begins(attack);
            for client in 0..attack.clients() {
                let first = play.chance.below(attack.every_ms());
                play.put(begins + first, Act::Strike { attack, client, turn: 0 });
            }
            play.figures.seen_after_s.insert(attack, None);
        }
        play
    }

    /// The play begins so long before the market that three quarters of it are over when it opens.
    fn opening(&self) -> u64 {
        self.length * 3 / 4
    }

    fn begins(&self, attack: Attack) -> u64 {
        self.length * attack.begins() / 1000
    }

    fn put(&mut self, at: u64, act: Act) {
        self.acted += 1;
        self.acts.push(Reverse((at, self.acted, act)));
    }

    fn present(&self) -> Now {
        let wall = Duration::from_secs(OPENING_UNIX_S) + Duration::from_millis(self.now);
        Now { mono: Duration::from_millis(self.now + 1), wall: wall - Duration::from_millis(self.opening()) }
    }

    pub(crate) fn run(mut self) -> Figures {
        while let Some(Reverse((at, _, act))) = self.acts.pop() {
            if at >= self.length {
                break;
            }
            self.now = at;
            match act {
                Act::Second => self.second(),
                Act::Arrive { client, tries } => self.arrive(client, tries),
                Act::Say { client, left } => self.say(client, left),
                Act::Move { client } => {
                    self.open.remove(&client);
                    self.arrive(client, 0);
                }
                Act::Leave { client } => drop(self.open.remove(&client)),
                Act::Strike { attack, client, turn } => self.strike(attack, client, turn),
            }
        }
        let insiders = |client: &&u32| habit(**client) == Habit::Office && office(**client) == 0;
        self.figures.colleagues_hurt = self.hurt.iter().filter(insiders).count();
        self.figures.honest_hurt = self.hurt.len() - self.figures.colleagues_hurt;
        let scored = self.house.scored.iter();
        self.figures.scored = scored.map(|block| format!("{}: {}", block.target, block.reason)).collect();
        let honest = |block: &&Block| matches!(&block.target, Target::User(name) if name.starts_with("user-"));
        self.figures.honest_scored = self.house.scored.iter().filter(honest).count();
        self.figures.waited = self.house.waited;
        self.figures.messages = self.spoken.iter().map(|(attack, (sent, passed))| (*attack, *sent, *passed)).collect();
        self.figures
    }

    fn second(&mut self) {
        let now = self.present();
        if let Some(change) = self.house.second(now) {
            let after = self.now / SECOND;
            self.figures.levels.push(format!(
                "{:02}:{:02}:{:02} {} → {}: {}",
                after / 3600,
                after / 60 % 60,
                after % 60,
                change.from.label(),
                change.to.label(),
                change.evidence
            ));
            if change.to > change.from && change.to > Level::Normal {
                self.seen_by_level();
            }
        }
        self.put(self.now + SECOND, Act::Second);
    }

    fn seen_by_level(&mut self) {
        for attack in Attack::ALL {
            let since = self.now.checked_sub(self.begins(attack)).filter(|since| *since <= self.lasts);
            if let Some(since) = since {
                self.figures.seen_after_s.entry(attack).or_default().get_or_insert(since.div_ceil(SECOND));
            }
        }
    }

    fn token(&self, client: u32, good: bool) -> String {
        let expires = self.present().unix_seconds() + 3600;
        House::token(&format!("user-{client}"), good, expires)
    }

    fn arrive(&mut self, client: u32, tries: u32) {
        let now = self.present();
        let from = address(client, self.clients, &mut self.chance);
        // Now and then somebody comes with yesterday's token first; that is their own fault.
        if tries == 0 && self.chance.once_in(200) {
            let stale = House::token(&format!("user-{client}"), true, now.unix_seconds() - 3600);
            drop(self.house.connect(from, &stale, now));
        }
        match self.house.connect(from, &self.token(client, true), now) {
            Ok(connection) => {
                self.open.insert(client, connection);
                self.settle(client);
            }
            Err(reason) => {
                self.note_hurt(client, reason);
                if tries < 10 {
                    let pause = (SECOND << tries.min(6)) + self.chance.below(SECOND);
                    self.put(self.now + pause, Act::Arrive { client, tries: tries + 1 });
                }
            }
        }
    }

    /// What an honest client means to do now that it is in.
    fn settle(&mut self, client: u32) {
        let (left, first) = match habit(client) {
            Habit::Trader => (BURST + MESSAGES, SECOND),
            Habit::Mobile => {
                let moves = 20 * MINUTE + self.chance.below(40 * MINUTE);
                self.put(self.now + moves, Act::Move { client });
                (3, MINUTE)
            }
            Habit::Office | Habit::Home => {
                let leaves = 4 * 60 * MINUTE + self.chance.below(4 * 60 * MINUTE);
                self.put(self.now + leaves, Act::Leave { client });
                (MESSAGES, MINUTE)
            }
        };
        let at = self.now + self.chance.below(first);
        self.put(at, Act::Say { client, left });
    }

    fn say(&mut self, client: u32, left: u32) {
        let now = self.present();
        let Some(connection) = self.open.get_mut(&client) else { return };
        self.figures.honest_messages += 1;
        let answer = self.house.say(connection, now);
        if !answer.passed {
            self.note_hurt(client, answer.reason.unwrap_or(Reason::MessageRate));
        }
        if left > 1 {
            let pause = match habit(client) {
                Habit::Trader if left > MESSAGES => 200 + self.chance.below(800),
                _ => MINUTE / 2 + self.chance.below(8 * MINUTE),
            };
            self.put(self.now + pause, Act::Say { client, left: left - 1 });
        }
    }

    fn note_hurt(&mut self, client: u32, reason: Reason) {
        self.hurt.insert(client);
        *self.figures.hurt_by.entry(reason.label()).or_default() += 1;
    }

    fn strike(&mut self, attack: Attack, client: u32, turn: u32) {
        if self.now > self.begins(attack) + self.lasts {
            return;
        }
        match attack {
            Attack::Invention => self.invent(turn),
            Attack::Evasion => self.evade(turn),
            _ => self.try_token(attack, client, turn),
        }
        self.put(self.now + attack.every_ms(), Act::Strike { attack, client, turn: turn + 1 });
    }

    fn try_token(&mut self, attack: Attack, client: u32, turn: u32) {
        let now = self.present();
        let from = lair(attack, client, turn);
        let token = self.token(client + turn, false);
        let tried = self.figures.tried.entry(attack).or_default();
        tried.made += 1;
        match self.house.connect(from, &token, now) {
            Ok(_) => self.figures.attackers_admitted += 1,
            Err(Reason::SourceBanned | Reason::ConnectionRate | Reason::AuthenticationRate) => {}
            Err(_) => tried.verified += 1,
        }
        let unseen = self.figures.seen_after_s[&attack].is_none();
        if unseen && attack.clients() == 1 && self.house.is_banned(from, now) {
            let after = (self.now - self.begins(attack)).div_ceil(SECOND);
            self.figures.seen_after_s.insert(attack, Some(after));
        }
    }

    /// A new account, and as many messages as it takes in a second.
    fn invent(&mut self, turn: u32) {
        let now = self.present();
        let name = format!("invented-{turn}");
        let token = House::token(&name, true, now.unix_seconds() + 60);
        let Ok(mut connection) = self.house.connect(lair(Attack::Invention, 0, 0), &token, now) else { return };
        for _ in 0..1_000 {
            self.flood(Attack::Invention, &mut connection);
        }
    }

    /// Twenty messages a second of one account; slowed, it comes back from elsewhere.
    fn evade(&mut self, turn: u32) {
        let now = self.present();
        let mut connection = match self.evil.remove(&Attack::Evasion) {
            Some(connection) => connection,
            None => {
                let token = House::token("mallory", true, now.unix_seconds() + 60);
                match self.house.connect(lair(Attack::Evasion, 0, turn), &token, now) {
                    Ok(connection) => connection,
                    Err(_) => return,
                }
            }
        };
        if self.flood(Attack::Evasion, &mut connection) {
            self.evil.insert(Attack::Evasion, connection);
        }
    }

    /// One message; false when it brought or met a wait.
    fn flood(&mut self, attack: Attack, connection: &mut Connection) -> bool {
        let now = self.present();
        let answer = self.house.say(connection, now);
        let (sent, passed) = self.spoken.entry(attack).or_default();
        *sent += 1;
        *passed += u64::from(answer.passed);
        let slowed = answer.retry_after.is_some_and(|wait| wait >= Duration::from_secs(5));
        if slowed {
            let after = (self.now - self.begins(attack)).div_ceil(SECOND);
            self.figures.seen_after_s.entry(attack).or_default().get_or_insert(after);
        }
        !slowed
    }
}

impl Figures {
    /// What holds for any size.
    pub(crate) fn hold(&self) {
        assert_eq!(self.attackers_admitted, 0, "without a credential nobody comes in");
        assert!(self.honest_hurt * 1000 <= self.honest, "at most one honest user of a thousand is hurt");
        for (attack, sent, passed) in &self.messages {
            assert!(*sent > 0, "{attack:?} did nothing");
            assert!(passed * 10 <= *sent, "{attack:?}: {passed} of {sent} messages passed");
        }
        assert_eq!(self.honest_scored, 0, "no honest user is banned for a score");
        let loud = self.tried[&Attack::Loud];
        assert!(loud.verified * 100 <= loud.made, "the loud one is turned away before its tokens are looked at");
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "honest: {} clients, {} messages, {} hurt", self.honest, self.honest_messages, self.honest_hurt)?;
        writeln!(f, "hurt by: {:?}", self.hurt_by)?;
        writeln!(f, "colleagues of the insider turned away: {} of {OFFICE}", self.colleagues_hurt)?;
        for (attack, seen) in &self.seen_after_s {
            let seen = seen.map_or(String::from("not by itself"), |seconds| format!("after {seconds} s"));
            let tried = self.tried.get(attack).copied().unwrap_or_default();
            write!(f, "{attack:?}: seen {seen}")?;
            if tried.made > 0 {
                write!(f, "; {} attempts, {} reached the token check", tried.made, tried.verified)?;
            }
            if let Some((_, sent, passed)) = self.messages.iter().find(|(other, ..)| other == attack) {
                write!(f, "; {sent} messages, {passed} passed")?;
            }
            writeln!(f)?;
        }
        writeln!(f, "attackers without an account admitted: {}", self.attackers_admitted)?;
        writeln!(f, "attempts that waited: {}; banned for their score: {}", self.waited, self.scored.len())?;
        self.scored.iter().take(20).try_for_each(|ban| writeln!(f, "  {ban}"))?;
        self.levels.iter().try_for_each(|level| writeln!(f, "{level}"))
    }
}
