//! The admission policy, in invented time.

use proptest::prelude::*;

use super::*;

const BOUNDS: Bounds = Bounds { sessions: 2, per_owner: None, per_address: None, line: 3 };

fn anybody() -> Applicant {
    Applicant::default()
}

fn of(owner: &str) -> Applicant {
    Applicant { owner: Some(owner.into()), from: None }
}

fn from(address: &str) -> Applicant {
    Applicant { owner: None, from: Some(address.parse::<IpAddr>().unwrap().into()) }
}

/// Returns a policy with all places taken, and their ids.
fn full(bounds: Bounds) -> (AdmissionPolicy, Vec<PlaceId>, Instant) {
    let (mut policy, now) = (AdmissionPolicy::new(bounds), Instant::now());
    let places = (0..bounds.sessions).map(|_| policy.ask(anybody(), WhenFull::Refuse, now).unwrap());
    let places = places.collect();
    (policy, places, now)
}

#[test]
fn applicant_that_does_not_wait_is_refused_when_full() {
    let (mut policy, places, now) = full(BOUNDS);
    assert_eq!(policy.ask(anybody(), WhenFull::Refuse, now), Err(Full::Sessions));
    policy.leave(places[0]);
    assert!(policy.ask(anybody(), WhenFull::Refuse, now).is_ok());
}

#[test]
fn waiting_applicants_are_admitted_in_order() {
    let (mut policy, places, now) = full(BOUNDS);
    let line: Vec<_> = (0..3).map(|_| policy.ask(anybody(), WhenFull::Wait, now).unwrap()).collect();
    assert_eq!(policy.ask(anybody(), WhenFull::Wait, now), Err(Full::Sessions), "the line is full");
    assert_eq!(policy.admit(), None);
    for (index, id) in line.iter().enumerate() {
        assert_eq!(policy.standing(*id), Some(Standing::InLine(index + 1)));
    }
    policy.leave(places[1]);
    assert_eq!(policy.ask(anybody(), WhenFull::Refuse, now), Err(Full::Sessions), "the line goes first");
    assert_eq!((policy.admit(), policy.admit()), (Some(line[0]), None));
    assert_eq!(policy.standing(line[0]), Some(Standing::Admitted));
    assert_eq!(policy.standing(line[2]), Some(Standing::InLine(2)));
}

#[test]
fn leaving_the_line_moves_the_others_up() {
    let (mut policy, places, now) = full(BOUNDS);
    let [first, second] = [(); 2].map(|()| policy.ask(anybody(), WhenFull::Wait, now).unwrap());
    policy.leave(first);
    assert_eq!((policy.standing(first), policy.standing(second)), (None, Some(Standing::InLine(1))));
    policy.leave(first);
    policy.leave(places[0]);
    assert_eq!((policy.admit(), policy.waiting()), (Some(second), 0));
}

#[test]
fn owner_limit_counts_waiting_and_admitted() {
    let (mut policy, now) = (AdmissionPolicy::new(Bounds { per_owner: Some(2), ..BOUNDS }), Instant::now());
    let first = policy.ask(of("ada"), WhenFull::Wait, now).unwrap();
    policy.ask(of("bob"), WhenFull::Wait, now).unwrap();
    let waiting = policy.ask(of("ada"), WhenFull::Wait, now).unwrap();
    assert_eq!(policy.standing(waiting), Some(Standing::InLine(1)));
    assert_eq!(policy.ask(of("ada"), WhenFull::Wait, now), Err(Full::Owner));
    assert!(policy.ask(of("bob"), WhenFull::Wait, now).is_ok());
    assert!(
        policy.ask(anybody(), WhenFull::Wait, now).is_ok(),
        "an applicant without an owner is not counted"
    );
    assert_eq!(policy.ask(of("ada"), WhenFull::Wait, now), Err(Full::Owner));
    policy.leave(first);
    assert_eq!(policy.admit(), Some(waiting));
    assert!(policy.ask(of("ada"), WhenFull::Wait, now).is_ok());
    for id in (0..=policy.last).map(PlaceId) {
        policy.leave(id);
    }
    assert!(policy.owners.is_empty() && policy.addresses.is_empty());
}

#[test]
fn address_limit_counts_an_ipv6_64_as_one_address() {
    let (mut policy, now) =
        (AdmissionPolicy::new(Bounds { per_address: Some(1), sessions: 9, ..BOUNDS }), Instant::now());
    for (address, expected) in [
        ("203.0.113.7", Ok(())),
        ("::ffff:203.0.113.7", Err(Full::Address)),
        ("203.0.113.8", Ok(())),
        ("2001:db8:0:1::7", Ok(())),
        ("2001:db8:0:1:ffff::8", Err(Full::Address)),
        ("2001:db8:0:2::7", Ok(())),
    ] {
        assert_eq!(policy.ask(from(address), WhenFull::Refuse, now).map(drop), expected, "{address}");
    }
}

#[test]
fn address_rate_limit_returns_the_wait() {
    let (mut policy, now) = (AdmissionPolicy::new(Bounds { sessions: 1, ..BOUNDS }), Instant::now());
    let mut ask = |address, now| policy.ask(from(address), WhenFull::Refuse, now).map(drop);
    assert_eq!(ask("203.0.113.7", now), Ok(()));
    for _ in 1..ADDRESS_RATE.burst {
        assert_eq!(ask("203.0.113.7", now), Err(Full::Sessions));
    }
    let Err(Full::Rate(wait)) = ask("203.0.113.7", now) else { panic!("the burst is used up") };
    assert_eq!(wait, ADDRESS_RATE.interval);
    assert_eq!(ask("203.0.113.8", now), Err(Full::Sessions), "another address is not affected");
    assert!(matches!(ask("203.0.113.7", now + wait / 2), Err(Full::Rate(_))));
    assert_eq!(ask("203.0.113.7", now + wait), Err(Full::Sessions));
}

#[test]
fn address_rates_are_bounded_and_expire() {
    let (mut policy, now) = (AdmissionPolicy::new(BOUNDS), Instant::now());
    for address in 0..ADDRESSES_MAX {
        let address = Ipv6Addr::from_bits((address as u128) << 64);
        let from = Some(IpAddr::from(address).into());
        let _ = policy.ask(Applicant { owner: None, from }, WhenFull::Refuse, now);
    }
    assert!(matches!(policy.ask(from("203.0.113.7"), WhenFull::Refuse, now), Err(Full::Rate(_))));
    let later = now + ADDRESS_RATE.interval;
    assert_eq!(policy.ask(from("203.0.113.7"), WhenFull::Refuse, later), Err(Full::Sessions));
    assert_eq!(policy.rates.len(), 1);
}

#[derive(Debug, Clone)]
enum Step {
    Ask(Applicant, WhenFull),
    Leave(u64),
    Admit,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let owner = prop_oneof![Just(None), Just(Some("ada")), Just(Some("bob"))];
    let address = prop_oneof![Just(None), Just(Some("203.0.113.7")), Just(Some("2001:db8::7"))];
    let applicant = (owner, address).prop_map(|(owner, address)| Applicant {
        owner: owner.map(Arc::from),
        from: address.map(|address| address.parse::<IpAddr>().unwrap().into()),
    });
    let when_full = prop_oneof![Just(WhenFull::Refuse), Just(WhenFull::Wait)];
    let step = prop_oneof![
        (applicant, when_full).prop_map(|(applicant, when_full)| Step::Ask(applicant, when_full)),
        (0_u64..40).prop_map(Step::Leave),
        Just(Step::Admit),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    #[test]
    fn order_and_limits_hold(steps in steps()) {
        let bounds = Bounds { sessions: 3, per_owner: Some(3), per_address: Some(4), line: 4 };
        let mut policy = AdmissionPolicy::new(bounds);
        let mut now = Instant::now();
        let (mut last_in, mut left) = (0, Vec::new());
        for step in steps {
            now += ADDRESS_RATE.interval;
            match step {
                Step::Ask(applicant, when_full) => {
                    let is_free = policy.admitted.len() < bounds.sessions && policy.line.is_empty();
                    let answer = policy.ask(applicant, when_full, now);
                    if let Ok(id) = answer {
                        let standing = policy.standing(id).unwrap();
                        prop_assert_eq!(standing == Standing::Admitted, is_free);
                        last_in = if is_free { id.0 } else { last_in };
                    }
                    prop_assert!(!(is_free && answer == Err(Full::Sessions)));
                }
                Step::Leave(number) => {
                    policy.leave(PlaceId(number));
                    left.push(PlaceId(number));
                    prop_assert_eq!(policy.standing(PlaceId(number)), None);
                }
                Step::Admit => {
                    if let Some(id) = policy.admit() {
                        prop_assert!(id.0 > last_in, "{id:?} was overtaken");
                        last_in = id.0;
                    }
                }
            }
            prop_assert!(policy.admitted.len() <= bounds.sessions && policy.line.len() <= bounds.line);
            let all = policy.admitted.values().chain(policy.line.iter().map(|(_, applicant)| applicant));
            let all: Vec<_> = all.collect();
            let owned = |owner: &str| all.iter().filter(|applicant| applicant.owner.as_deref() == Some(owner)).count();
            for (owner, count) in &policy.owners {
                prop_assert_eq!((*count, *count <= 3), (owned(owner), true));
            }
            let near = |from| all.iter().filter(|applicant| applicant.from == Some(from)).count();
            for (from, count) in &policy.addresses {
                prop_assert_eq!((*count, *count <= 4), (near(*from), true));
            }
        }
    }
}
