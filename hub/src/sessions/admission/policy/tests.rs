use proptest::prelude::*;

use super::*;

const BOUNDS: Bounds = Bounds { sessions: 2, per_owner: None, per_address: None, line: 3 };

fn anybody() -> Who {
    Who::default()
}

fn of(owner: &str) -> Who {
    Who { owner: Some(owner.into()), from: None }
}

fn from(address: &str) -> Who {
    Who { owner: None, from: Some(address.parse::<IpAddr>().unwrap().into()) }
}

/// With all places taken, and who has them.
fn full(bounds: Bounds) -> (Policy, Vec<Visit>, Instant) {
    let (mut policy, now) = (Policy::new(bounds), Instant::now());
    let visits = (0..bounds.sessions).map(|_| policy.ask(anybody(), Patience::Leaves, now).unwrap());
    let visits = visits.collect();
    (policy, visits, now)
}

#[test]
fn who_does_not_wait_is_refused_where_all_places_are_taken() {
    let (mut policy, visits, now) = full(BOUNDS);
    assert_eq!(policy.ask(anybody(), Patience::Leaves, now), Err(Full::Sessions));
    policy.leave(visits[0]);
    assert!(policy.ask(anybody(), Patience::Leaves, now).is_ok());
}

#[test]
fn who_waits_is_let_in_in_the_order_of_coming() {
    let (mut policy, visits, now) = full(BOUNDS);
    let line: Vec<_> = (0..3).map(|_| policy.ask(anybody(), Patience::Waits, now).unwrap()).collect();
    assert_eq!(policy.ask(anybody(), Patience::Waits, now), Err(Full::Sessions), "the line is full");
    assert_eq!(policy.admit(), None);
    for (index, visit) in line.iter().enumerate() {
        assert_eq!(policy.standing(*visit), Some(Standing::InLine(index + 1)));
    }
    policy.leave(visits[1]);
    assert_eq!(policy.ask(anybody(), Patience::Leaves, now), Err(Full::Sessions), "nobody overtakes");
    assert_eq!((policy.admit(), policy.admit()), (Some(line[0]), None));
    assert_eq!(policy.standing(line[0]), Some(Standing::Inside));
    assert_eq!(policy.standing(line[2]), Some(Standing::InLine(2)));
}

#[test]
fn who_leaves_the_line_gives_the_place_up_at_once() {
    let (mut policy, visits, now) = full(BOUNDS);
    let [first, second] = [(); 2].map(|()| policy.ask(anybody(), Patience::Waits, now).unwrap());
    policy.leave(first);
    assert_eq!((policy.standing(first), policy.standing(second)), (None, Some(Standing::InLine(1))));
    policy.leave(first);
    policy.leave(visits[0]);
    assert_eq!((policy.admit(), policy.waiting()), (Some(second), 0));
}

#[test]
fn an_owner_has_only_so_many_in_line_or_inside() {
    let (mut policy, now) = (Policy::new(Bounds { per_owner: Some(2), ..BOUNDS }), Instant::now());
    let first = policy.ask(of("ada"), Patience::Waits, now).unwrap();
    policy.ask(of("bob"), Patience::Waits, now).unwrap();
    let waiting = policy.ask(of("ada"), Patience::Waits, now).unwrap();
    assert_eq!(policy.standing(waiting), Some(Standing::InLine(1)));
    assert_eq!(policy.ask(of("ada"), Patience::Waits, now), Err(Full::Owner));
    assert!(policy.ask(of("bob"), Patience::Waits, now).is_ok());
    assert!(policy.ask(anybody(), Patience::Waits, now).is_ok(), "who has no owner is not counted");
    assert_eq!(policy.ask(of("ada"), Patience::Waits, now), Err(Full::Owner));
    policy.leave(first);
    assert_eq!(policy.admit(), Some(waiting));
    assert!(policy.ask(of("ada"), Patience::Waits, now).is_ok());
    for visit in (0..=policy.last).map(Visit) {
        policy.leave(visit);
    }
    assert!(policy.owners.is_empty() && policy.addresses.is_empty());
}

#[test]
fn an_address_has_only_so_many_and_half_of_ipv6_is_one() {
    let (mut policy, now) =
        (Policy::new(Bounds { per_address: Some(1), sessions: 9, ..BOUNDS }), Instant::now());
    for (address, expected) in [
        ("203.0.113.7", Ok(())),
        ("::ffff:203.0.113.7", Err(Full::Address)),
        ("203.0.113.8", Ok(())),
        ("2001:db8:0:1::7", Ok(())),
        ("2001:db8:0:1:ffff::8", Err(Full::Address)),
        ("2001:db8:0:2::7", Ok(())),
    ] {
        assert_eq!(policy.ask(from(address), Patience::Leaves, now).map(drop), expected, "{address}");
    }
}

#[test]
fn an_address_that_asks_too_often_is_told_when_it_may() {
    let (mut policy, now) = (Policy::new(Bounds { sessions: 1, ..BOUNDS }), Instant::now());
    let mut ask = |address, now| policy.ask(from(address), Patience::Leaves, now).map(drop);
    assert_eq!(ask("203.0.113.7", now), Ok(()));
    for _ in 1..ADDRESS_RATE.burst {
        assert_eq!(ask("203.0.113.7", now), Err(Full::Sessions));
    }
    let Err(Full::Rate(wait)) = ask("203.0.113.7", now) else { panic!("one too many") };
    assert_eq!(wait, ADDRESS_RATE.interval);
    assert_eq!(ask("203.0.113.8", now), Err(Full::Sessions), "another is not concerned");
    assert!(matches!(ask("203.0.113.7", now + wait / 2), Err(Full::Rate(_))));
    assert_eq!(ask("203.0.113.7", now + wait), Err(Full::Sessions));
}

#[test]
fn addresses_that_are_counted_are_bounded_and_forgotten() {
    let (mut policy, now) = (Policy::new(BOUNDS), Instant::now());
    for address in 0..ADDRESSES_MAX {
        let address = Ipv6Addr::from_bits((address as u128) << 64);
        let from = Some(IpAddr::from(address).into());
        let _ = policy.ask(Who { owner: None, from }, Patience::Leaves, now);
    }
    assert!(matches!(policy.ask(from("203.0.113.7"), Patience::Leaves, now), Err(Full::Rate(_))));
    let later = now + ADDRESS_RATE.interval;
    assert_eq!(policy.ask(from("203.0.113.7"), Patience::Leaves, later), Err(Full::Sessions));
    assert_eq!(policy.rates.len(), 1);
}

#[derive(Debug, Clone)]
enum Step {
    Ask(Who, Patience),
    Leave(u64),
    Admit,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let owner = prop_oneof![Just(None), Just(Some("ada")), Just(Some("bob"))];
    let address = prop_oneof![Just(None), Just(Some("203.0.113.7")), Just(Some("2001:db8::7"))];
    let who = (owner, address).prop_map(|(owner, address)| Who {
        owner: owner.map(Arc::from),
        from: address.map(|address| address.parse::<IpAddr>().unwrap().into()),
    });
    let patience = prop_oneof![Just(Patience::Leaves), Just(Patience::Waits)];
    let step = prop_oneof![
        (who, patience).prop_map(|(who, patience)| Step::Ask(who, patience)),
        (0_u64..40).prop_map(Step::Leave),
        Just(Step::Admit),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    #[test]
    fn nobody_overtakes_and_no_bound_is_passed(steps in steps()) {
        let bounds = Bounds { sessions: 3, per_owner: Some(3), per_address: Some(4), line: 4 };
        let mut policy = Policy::new(bounds);
        let mut now = Instant::now();
        let (mut last_in, mut left) = (0, Vec::new());
        for step in steps {
            now += ADDRESS_RATE.interval;
            match step {
                Step::Ask(who, patience) => {
                    let is_free = policy.inside.len() < bounds.sessions && policy.line.is_empty();
                    let answer = policy.ask(who, patience, now);
                    if let Ok(visit) = answer {
                        let standing = policy.standing(visit).unwrap();
                        prop_assert_eq!(standing == Standing::Inside, is_free);
                        last_in = if is_free { visit.0 } else { last_in };
                    }
                    prop_assert!(!(is_free && answer == Err(Full::Sessions)));
                }
                Step::Leave(number) => {
                    policy.leave(Visit(number));
                    left.push(Visit(number));
                    prop_assert_eq!(policy.standing(Visit(number)), None);
                }
                Step::Admit => {
                    if let Some(visit) = policy.admit() {
                        prop_assert!(visit.0 > last_in, "{visit:?} was overtaken");
                        last_in = visit.0;
                    }
                }
            }
            prop_assert!(policy.inside.len() <= bounds.sessions && policy.line.len() <= bounds.line);
            let all = policy.inside.values().chain(policy.line.iter().map(|(_, who)| who));
            let all: Vec<_> = all.collect();
            let owned = |owner: &str| all.iter().filter(|who| who.owner.as_deref() == Some(owner)).count();
            for (owner, count) in &policy.owners {
                prop_assert_eq!((*count, *count <= 3), (owned(owner), true));
            }
            let near = |from| all.iter().filter(|who| who.from == Some(from)).count();
            for (from, count) in &policy.addresses {
                prop_assert_eq!((*count, *count <= 4), (near(*from), true));
            }
        }
    }
}
