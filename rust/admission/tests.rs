use std::thread;

use super::*;

const NONE: AdmissionSettings = AdmissionSettings {
    max_connections: 0,
    handshake_rate: 0.0,
    handshake_burst: 1.0,
    max_address_connections: 0,
    address_handshake_rate: 0.0,
    address_handshake_burst: 1.0,
    dry_run: false,
};
const SECOND: u64 = 1_000_000;
const HERE: &str = "192.0.2.1";

/// Counts a peer, in all and at its address. Fails if a limit is only ignored.
fn enter(admission: &Admission, address: &str, now: u64) -> Result<Place, (u16, Limit, String)> {
    let mut ignored = Vec::new();
    let mut place = admission.arrive(now, &mut ignored).map_err(short)?;
    admission.locate(&mut place, address.parse().unwrap(), now, &mut ignored).map_err(short)?;
    assert_eq!(ignored, []);
    Ok(place)
}

fn short(refusal: Refusal) -> (u16, Limit, String) {
    let [retry] = refusal.headers.as_slice() else { panic!("{refusal:?}") };
    (refusal.status, refusal.limit.unwrap(), retry.strip_prefix("Retry-After: ").unwrap().to_owned())
}

#[test]
fn so_many_and_no_more_until_one_leaves() {
    let admission = Admission::new(AdmissionSettings { max_connections: 2, ..NONE });
    let (first, _second) = (enter(&admission, HERE, 0).unwrap(), enter(&admission, HERE, 0).unwrap());
    assert_eq!(enter(&admission, HERE, 0).unwrap_err(), (503, Limit::Connections, "5".into()));
    assert_eq!(admission.connections(), 2);
    drop(first);
    assert_eq!(admission.connections(), 1);
    let _third = enter(&admission, HERE, 0).unwrap();
    assert_eq!(enter(&admission, HERE, 0).unwrap_err().1, Limit::Connections);
}

#[test]
fn so_many_of_one_address() {
    let admission = Admission::new(AdmissionSettings { max_address_connections: 2, ..NONE });
    let (first, _second) = (enter(&admission, HERE, 0).unwrap(), enter(&admission, HERE, 0).unwrap());
    let mut late = admission.arrive(0, &mut Vec::new()).unwrap();
    let refusal = admission.locate(&mut late, HERE.parse().unwrap(), 0, &mut Vec::new()).unwrap_err();
    assert_eq!(refusal.reason, "max_address_connections is reached for 192.0.2.1");
    assert_eq!(short(refusal), (429, Limit::AddressConnections, "5".into()));
    let _other = enter(&admission, "192.0.2.2", 0).unwrap();
    // It is counted among all until it is dropped, but not at its address.
    assert_eq!((admission.connections(), late.is_located()), (4, false));
    drop(late);
    assert_eq!(enter(&admission, HERE, 0).unwrap_err().1, Limit::AddressConnections);
    drop(first);
    assert!(enter(&admission, HERE, 0).unwrap().is_located());
}

#[test]
fn an_address_counts_once() {
    let admission = Admission::new(AdmissionSettings { max_address_connections: 1, ..NONE });
    let mut place = enter(&admission, HERE, 0).unwrap();
    admission.locate(&mut place, HERE.parse().unwrap(), 0, &mut Vec::new()).unwrap();
    admission.locate(&mut place, "192.0.2.2".parse().unwrap(), 0, &mut Vec::new()).unwrap();
    let _other = enter(&admission, "192.0.2.2", 0).unwrap();
    drop(place);
    assert!(enter(&admission, HERE, 0).is_ok());
}

#[test]
fn an_address_of_ipv6_is_a_household() {
    let admission = Admission::new(AdmissionSettings { max_address_connections: 1, ..NONE });
    let _one = enter(&admission, "2001:db8::1", 0).unwrap();
    assert_eq!(enter(&admission, "2001:db8::ffff", 0).unwrap_err().1, Limit::AddressConnections);
    let _next_door = enter(&admission, "2001:db8:0:1::1", 0).unwrap();
    let _mapped = enter(&admission, "::ffff:192.0.2.1", 0).unwrap();
    assert_eq!(enter(&admission, HERE, 0).unwrap_err().1, Limit::AddressConnections);
}

#[test]
fn so_many_in_a_time() {
    let admission = Admission::new(AdmissionSettings { handshake_rate: 2.0, handshake_burst: 3.0, ..NONE });
    let _places: Vec<_> = (0..3).map(|_| enter(&admission, HERE, 0).unwrap()).collect();
    assert_eq!(enter(&admission, HERE, 0).unwrap_err(), (503, Limit::HandshakeRate, "1".into()));
    assert_eq!(admission.connections(), 3);
    assert!(enter(&admission, HERE, 6 * SECOND / 10).is_ok());
}

#[test]
fn so_many_of_one_address_in_a_time() {
    let settings = AdmissionSettings { address_handshake_rate: 0.1, address_handshake_burst: 2.0, ..NONE };
    let admission = Admission::new(settings);
    for _ in 0..2 {
        assert!(enter(&admission, HERE, 0).is_ok());
    }
    assert_eq!(enter(&admission, HERE, 0).unwrap_err(), (429, Limit::AddressHandshakeRate, "1".into()));
    assert!(enter(&admission, "192.0.2.2", 0).is_ok());
    assert!(enter(&admission, HERE, 5 * SECOND).is_ok());
    // That one was taken on credit.
    let (_, _, retry) = enter(&admission, HERE, 5 * SECOND).unwrap_err();
    assert!(retry == "5" || retry == "6", "{retry}");
}

#[test]
fn one_that_is_refused_for_all_is_not_counted_at_its_address() {
    let settings = AdmissionSettings { max_connections: 1, max_address_connections: 1, ..NONE };
    let admission = Admission::new(settings);
    let first = enter(&admission, HERE, 0).unwrap();
    assert_eq!(enter(&admission, "192.0.2.2", 0).unwrap_err().1, Limit::Connections);
    drop(first);
    assert!(enter(&admission, "192.0.2.2", 0).is_ok());
}

#[test]
fn zero_is_no_limit() {
    let admission = Admission::new(NONE);
    let places: Vec<_> = (0..100).map(|_| enter(&admission, HERE, 0).unwrap()).collect();
    assert_eq!(admission.connections(), 100);
    drop(places);
    assert_eq!(admission.connections(), 0);
}

#[test]
fn a_dry_run_only_counts() {
    let one = AdmissionSettings {
        max_connections: 1,
        handshake_rate: 1.0,
        max_address_connections: 1,
        address_handshake_rate: 1.0,
        dry_run: true,
        ..NONE
    };
    let admission = Admission::new(one);
    let first = enter(&admission, HERE, 0).unwrap();
    let mut ignored = Vec::new();
    let mut second = admission.arrive(0, &mut ignored).unwrap();
    admission.locate(&mut second, HERE.parse().unwrap(), 0, &mut ignored).unwrap();
    let all = [Limit::HandshakeRate, Limit::Connections, Limit::AddressHandshakeRate, Limit::AddressConnections];
    assert_eq!(ignored, all);
    assert_eq!(admission.connections(), 2);
    drop((first, second));
    assert_eq!(admission.connections(), 0);
    assert!(admission.0.counts().addresses.values().all(|entry| entry.connections == 0));
}

#[test]
fn addresses_that_come_and_go_are_forgotten() {
    let settings = AdmissionSettings { address_handshake_rate: 1.0, max_address_connections: 1, ..NONE };
    let admission = Admission::with_idle(settings, 10);
    let stays = enter(&admission, HERE, 0).unwrap();
    for number in 0..200 {
        drop(enter(&admission, &format!("198.51.100.{number}"), number * 3 * SECOND).unwrap());
    }
    assert!(admission.0.counts().addresses.len() < 20);
    // An address with a connection is not forgotten.
    assert_eq!(enter(&admission, HERE, 1000 * SECOND).unwrap_err().1, Limit::AddressConnections);
    drop(stays);
}

#[test]
fn a_crowd_of_addresses_that_all_come_at_once_is_bounded() {
    let admission = Admission::with_idle(AdmissionSettings { address_handshake_rate: 0.001, ..NONE }, 10);
    for number in 0..250 {
        drop(enter(&admission, &format!("198.51.100.{number}"), number * SECOND).unwrap());
    }
    assert!(admission.0.counts().addresses.len() <= 12);
}

#[test]
fn places_may_be_given_back_from_any_thread() {
    let admission = Admission::new(AdmissionSettings { max_address_connections: 1_000_000, ..NONE });
    let places: Vec<_> = (0..1000).map(|_| enter(&admission, HERE, 0).unwrap()).collect();
    thread::scope(|scope| {
        let mut places = places.into_iter();
        for _ in 0..4 {
            let quarter: Vec<_> = places.by_ref().take(250).collect();
            scope.spawn(move || drop(quarter));
            scope.spawn(|| (0..250).for_each(|_| drop(enter(&admission, HERE, 0).unwrap())));
        }
    });
    assert_eq!(admission.connections(), 0);
    assert!(admission.0.counts().addresses.values().all(|entry| entry.connections == 0));
}
