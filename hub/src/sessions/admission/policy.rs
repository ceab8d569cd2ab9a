//! Who has a place, who waits for one, and who is refused: pure, with its time passed in.
//!
//! ```text
//!          ask                    admit
//!   (none) ----> in line --------------------> inside
//!      |           |  leave                      |  leave
//!      |           +----------> (none) <---------+
//!      +-- ask, where there is room ------------>  inside
//! ```
//!
//! Who waits counts for its owner and its address as who is inside does. Nobody overtakes.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mayfly_session::rate::Rate;

use crate::limits::{ADDRESS_RATE, ADDRESSES_MAX};

/// What there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Places.
    pub(crate) sessions: usize,
    /// Of these, those of one owner, if that is bounded.
    pub(crate) per_owner: Option<usize>,
    /// The same for one address.
    pub(crate) per_address: Option<usize>,
    /// How many may wait.
    pub(crate) line: usize,
}

/// For whom a place is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) owner: Option<Arc<str>>,
    /// Where it asks from, if that is counted.
    pub(crate) from: Option<Neighbourhood>,
}

/// As much of an address as one client has: all of IPv4, the first half of IPv6 (RFC 6177).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Neighbourhood(IpAddr);

impl From<IpAddr> for Neighbourhood {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        })
    }
}

/// Whether who asks would wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    Leaves,
    Waits,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// All are taken, and nobody else may wait.
    Sessions,
    /// The owner has as many as one may have.
    Owner,
    /// There are as many from that address as there may be.
    Address,
    /// That address asks too often; it may again after this time.
    Rate(Duration),
}

/// Who was let in or waits; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Visit(u64);

/// How a visit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Inside,
    /// It is so many-th in line; 1 is next.
    InLine(usize),
}

/// All places of one hub, and who waits for one.
#[derive(Debug)]
pub(super) struct Policy {
    bounds: Bounds,
    inside: HashMap<Visit, Who>,
    /// In the order in which they came.
    line: VecDeque<(Visit, Who)>,
    owners: HashMap<Arc<str>, usize>,
    addresses: HashMap<Neighbourhood, usize>,
    rates: HashMap<Neighbourhood, Rate>,
    last: u64,
}

impl Policy {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            inside: HashMap::new(),
            line: VecDeque::new(),
            owners: HashMap::new(),
            addresses: HashMap::new(),
            rates: HashMap::new(),
            last: 0,
        }
    }

    /// A place, or one in line for who would wait. Either is held until [`Policy::leave`].
    pub(super) fn ask(&mut self, who: Who, patience: Patience, now: Instant) -> Result<Visit, Full> {
        self.count_question(&who, now)?;
        let has_all = |count: Option<&usize>, most: Option<usize>| {
            most.is_some_and(|most| count.copied().unwrap_or_default() >= most)
        };
        if who.owner.as_ref().is_some_and(|owner| has_all(self.owners.get(owner), self.bounds.per_owner)) {
            return Err(Full::Owner);
        }
        if who.from.is_some_and(|from| has_all(self.addresses.get(&from), self.bounds.per_address)) {
            return Err(Full::Address);
        }
        let is_room = self.inside.len() < self.bounds.sessions && self.line.is_empty();
        let may_wait = patience == Patience::Waits && self.line.len() < self.bounds.line;
        if !is_room && !may_wait {
            return Err(Full::Sessions);
        }
        self.last += 1;
        let visit = Visit(self.last);
        self.count(&who);
        if is_room {
            self.inside.insert(visit, who);
        } else {
            self.line.push_back((visit, who));
        }
        Ok(visit)
    }

    /// Lets the next in line in, if there is one and room for it.
    pub(super) fn admit(&mut self) -> Option<Visit> {
        if self.inside.len() >= self.bounds.sessions {
            return None;
        }
        let (visit, who) = self.line.pop_front()?;
        self.inside.insert(visit, who);
        Some(visit)
    }

    pub(super) fn standing(&self, visit: Visit) -> Option<Standing> {
        if self.inside.contains_key(&visit) {
            return Some(Standing::Inside);
        }
        // Who came later is further back, and has a higher number.
        let index = self.line.binary_search_by_key(&visit, |(visit, _)| *visit).ok()?;
        Some(Standing::InLine(index + 1))
    }

    /// Gives the place up, inside or in line.
    pub(super) fn leave(&mut self, visit: Visit) {
        let in_line = || self.line.binary_search_by_key(&visit, |(visit, _)| *visit).ok();
        let who = match self.inside.remove(&visit) {
            Some(who) => Some(who),
            None => in_line().and_then(|index| self.line.remove(index)).map(|(_, who)| who),
        };
        if let Some(Who { owner, from }) = who {
            owner.inspect(|owner| take_one(&mut self.owners, owner));
            from.inspect(|from| take_one(&mut self.addresses, from));
        }
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.line.len()
    }

    fn count(&mut self, Who { owner, from }: &Who) {
        if let Some(owner) = owner {
            *self.owners.entry(Arc::clone(owner)).or_default() += 1;
        }
        if let Some(from) = from {
            *self.addresses.entry(*from).or_default() += 1;
        }
    }

    fn count_question(&mut self, who: &Who, now: Instant) -> Result<(), Full> {
        let Some(from) = who.from else { return Ok(()) };
        if self.rates.len() >= ADDRESSES_MAX {
            self.rates.retain(|_, rate| !rate.is_full(now));
        }
        if self.rates.len() >= ADDRESSES_MAX && !self.rates.contains_key(&from) {
            return Err(Full::Rate(ADDRESS_RATE.interval));
        }
        let rate = self.rates.entry(from).or_insert_with(|| Rate::new(now));
        if rate.allows(ADDRESS_RATE, now) { Ok(()) } else { Err(Full::Rate(rate.wait(ADDRESS_RATE, now))) }
    }
}

fn take_one<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
