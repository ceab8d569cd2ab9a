//! The admission policy: decides which applicants have a place, wait or are refused. It is pure: time is passed in.
//!
//! ```text
//!          ask                    admit
//!   (none) ----> in line --------------------> admitted
//!      |           |  leave                      |  leave
//!      |           +----------> (none) <---------+
//!      +-- ask, if a place is free ------------> admitted
//! ```
//!
//! The limits per owner and per address count waiting and admitted applicants alike. The line is first in, first out.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mayfly_session::rate::Rate;

use crate::limits::{ADDRESS_RATE, ADDRESSES_MAX};

/// The limits of admission.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Number of places.
    pub(crate) sessions: usize,
    /// Highest number of places for one owner; `None` if unlimited.
    pub(crate) per_owner: Option<usize>,
    /// Highest number of places for one address block; `None` if unlimited.
    pub(crate) per_address: Option<usize>,
    /// Highest number of applicants in the line.
    pub(crate) line: usize,
}

/// The client that a place is requested for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Applicant {
    /// The session's owner, if known.
    pub(crate) owner: Option<Arc<str>>,
    /// The address block of the client, if limits per address apply to the client.
    pub(crate) from: Option<AddressBlock>,
}

/// The addresses that one client controls: an IPv4 address, or the /64 of an IPv6 address (RFC 6177).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct AddressBlock(IpAddr);

impl From<IpAddr> for AddressBlock {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        })
    }
}

/// The action to take for an applicant when all places are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenFull {
    /// Refuse the applicant.
    Refuse,
    /// Let the applicant wait in the line.
    Wait,
}

/// Error returned when an applicant is refused: the limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// All places are taken, and the applicant does not wait or the line is full.
    Sessions,
    /// The owner has reached [`Bounds::per_owner`].
    Owner,
    /// The address block has reached [`Bounds::per_address`].
    Address,
    /// The address block has sent too many requests. The next one is allowed after this time.
    Rate(Duration),
}

/// Identifies a place or a position in the line. Ids grow in the order of the requests and are not reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PlaceId(u64);

/// The state of an applicant that was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The applicant has a place.
    Admitted,
    /// The applicant waits at this position; 1 is next.
    InLine(usize),
}

/// The places of one hub, and the line of waiting applicants.
#[derive(Debug)]
pub(super) struct AdmissionPolicy {
    bounds: Bounds,
    admitted: HashMap<PlaceId, Applicant>,
    /// Waiting applicants in the order of their ids.
    line: VecDeque<(PlaceId, Applicant)>,
    owners: HashMap<Arc<str>, usize>,
    addresses: HashMap<AddressBlock, usize>,
    rates: HashMap<AddressBlock, Rate>,
    last: u64,
}

impl AdmissionPolicy {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            admitted: HashMap::new(),
            line: VecDeque::new(),
            owners: HashMap::new(),
            addresses: HashMap::new(),
            rates: HashMap::new(),
            last: 0,
        }
    }

    /// Reserves a place, or a position in the line if `when_full` allows. Either is held until
    /// [`AdmissionPolicy::leave`].
    ///
    /// # Errors
    /// Returns [`Full`], with the limit that was reached.
    pub(super) fn ask(
        &mut self,
        applicant: Applicant,
        when_full: WhenFull,
        now: Instant,
    ) -> Result<PlaceId, Full> {
        self.count_request(&applicant, now)?;
        let is_reached = |count: Option<&usize>, limit: Option<usize>| {
            limit.is_some_and(|limit| count.copied().unwrap_or_default() >= limit)
        };
        let per_owner = self.bounds.per_owner;
        if applicant.owner.as_ref().is_some_and(|owner| is_reached(self.owners.get(owner), per_owner)) {
            return Err(Full::Owner);
        }
        if applicant.from.is_some_and(|from| is_reached(self.addresses.get(&from), self.bounds.per_address)) {
            return Err(Full::Address);
        }
        let is_free = self.admitted.len() < self.bounds.sessions && self.line.is_empty();
        let may_wait = when_full == WhenFull::Wait && self.line.len() < self.bounds.line;
        if !is_free && !may_wait {
            return Err(Full::Sessions);
        }
        self.last += 1;
        let id = PlaceId(self.last);
        self.count(&applicant);
        if is_free {
            self.admitted.insert(id, applicant);
        } else {
            self.line.push_back((id, applicant));
        }
        Ok(id)
    }

    /// Admits the next applicant in line and returns its id, if a place is free.
    pub(super) fn admit(&mut self) -> Option<PlaceId> {
        if self.admitted.len() >= self.bounds.sessions {
            return None;
        }
        let (id, applicant) = self.line.pop_front()?;
        self.admitted.insert(id, applicant);
        Some(id)
    }

    /// Returns the state of an applicant, or `None` after [`AdmissionPolicy::leave`].
    pub(super) fn standing(&self, id: PlaceId) -> Option<Standing> {
        if self.admitted.contains_key(&id) {
            return Some(Standing::Admitted);
        }
        // The line is sorted by id.
        let index = self.line.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(Standing::InLine(index + 1))
    }

    /// Gives up a place or a position in the line. Ignored if it was given up before.
    pub(super) fn leave(&mut self, id: PlaceId) {
        let in_line = || self.line.binary_search_by_key(&id, |(id, _)| *id).ok();
        let applicant = match self.admitted.remove(&id) {
            Some(applicant) => Some(applicant),
            None => in_line().and_then(|index| self.line.remove(index)).map(|(_, applicant)| applicant),
        };
        if let Some(Applicant { owner, from }) = applicant {
            owner.inspect(|owner| subtract_one(&mut self.owners, owner));
            from.inspect(|from| subtract_one(&mut self.addresses, from));
        }
    }

    /// Returns the number of waiting applicants.
    pub(super) fn waiting(&self) -> usize {
        self.line.len()
    }

    fn count(&mut self, Applicant { owner, from }: &Applicant) {
        if let Some(owner) = owner {
            *self.owners.entry(Arc::clone(owner)).or_default() += 1;
        }
        if let Some(from) = from {
            *self.addresses.entry(*from).or_default() += 1;
        }
    }

    /// Counts a request against the rate of its address block. At most `ADDRESSES_MAX` rates are kept; while all of
    /// them are in use, requests from further blocks are refused.
    fn count_request(&mut self, applicant: &Applicant, now: Instant) -> Result<(), Full> {
        let Some(from) = applicant.from else { return Ok(()) };
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

fn subtract_one<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
