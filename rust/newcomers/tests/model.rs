//! In every order of events, each newcomer keeps its place as long as its link, and nothing is left at the end.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Arrive(usize, usize),
    Say(usize, usize),
    End(usize),
    Reset(usize),
    Accept(usize),
    Refuse(usize),
    Left(usize),
    NewcomerEvent(usize),
    Secure(usize, usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (who, what) = (0..8usize, 0..6usize);
    prop_oneof![
        3 => (0..4usize, what.clone()).prop_map(|(options, what)| Step::Arrive(options, what)),
        3 => (who.clone(), what.clone()).prop_map(|(who, what)| Step::Say(who, what)),
        1 => who.clone().prop_map(Step::End),
        1 => who.clone().prop_map(Step::Reset),
        2 => who.clone().prop_map(Step::Accept),
        1 => who.clone().prop_map(Step::Refuse),
        1 => who.clone().prop_map(Step::Left),
        2 => who.clone().prop_map(Step::NewcomerEvent),
        3 => (who, 0..5usize).prop_map(|(who, how)| Step::Secure(who, how)),
        2 => (0..2 * SECOND).prop_map(Step::Pass),
    ]
}

fn words(what: usize) -> Vec<u8> {
    match what {
        0 => Vec::new(),
        1 => upgrade("/", ""),
        2 => get("/"),
        3 => b"GET / HTTP".to_vec(),
        4 => b"PROXY TCP4 192.0.2.1 10.0.0.2 4711 80\r\n".to_vec(),
        _ => vec![b'x'; 20_000],
    }
}

proptest! {
    #[test]
    fn nothing_is_left(steps in prop::collection::vec(step(), 0..80), max_connections in 0..4usize) {
        let mut gate =
            Gate::new(trusting("10.0.0.0/8"), AdmissionSettings { max_connections, ..AdmissionSettings::default() });
        let (mut fars, mut ids, mut accepted, mut host) = (Vec::<Far>::new(), Vec::new(), Vec::new(), Vec::new());
        for step in steps {
            let far = |who: usize| fars.iter().rev().nth(who).cloned();
            let id = |who: usize| ids.iter().rev().nth(who).copied();
            match step {
                Step::Arrive(options, what) => {
                    let far = Far::says(&words(what));
                    fars.push(far.clone());
                    let options = ListenerOptions { is_tls: options & 1 > 0, has_proxy_header: options & 2 > 0 };
                    gate.arrive_at(&far, options, Some("10.0.0.1"));
                }
                Step::Say(who, what) => if let Some(far) = far(who) {
                    far.say(&words(what));
                    gate.wake(&far, false);
                },
                Step::End(who) => if let Some(far) = far(who) {
                    far.end();
                    gate.wake(&far, false);
                },
                Step::Reset(who) => if let Some(far) = far(who) {
                    far.reset();
                    gate.wake(&far, true);
                },
                Step::Accept(who) => if let Some(id) = id(who) {
                    accepted.extend(gate.newcomers.accept(id, gate.now_us));
                },
                Step::Refuse(who) => if let Some(id) = id(who) {
                    gate.newcomers.refuse(id, Refusal::new(401, ""), gate.now_us);
                },
                Step::Left(who) => if let Some(id) = id(who) {
                    gate.newcomers.left(id);
                },
                Step::NewcomerEvent(who) => if let Some(id) = id(who) {
                    host.extend(gate.newcomers.news(id));
                },
                Step::Secure(who, how) => if who < gate.insecure.len() {
                    let Insecure { id, link, .. } = gate.insecure.remove(who);
                    let failure = match how {
                        0 => TlsFailure::Silent,
                        1 => TlsFailure::Late,
                        2 => TlsFailure::Http(link),
                        3 => TlsFailure::Failed(link, "".into()),
                        _ => {
                            gate.newcomers.secured(id, link, tls::info(), gate.now_us);
                            continue;
                        }
                    };
                    gate.newcomers.failed(id, failure, gate.now_us);
                },
                Step::Pass(us) => gate.pass(us),
            }
            gate.listen();
            ids.append(&mut gate.announced);
            let open = fars.iter().filter(|far| !far.is_closed()).count();
            prop_assert!(gate.connections() <= open);
            if max_connections > 0 {
                prop_assert!(gate.connections() <= max_connections);
            }
            prop_assert_eq!(gate.newcomers.ids.len(), gate.newcomers.slots.len());
        }
        // The last step may have announced a request.
        gate.listen();
        ids.append(&mut gate.announced);
        // All timeouts have passed. Only requests that wait for the host are left.
        for id in ids {
            gate.newcomers.accept(id, gate.now_us);
            gate.newcomers.news(id);
            gate.newcomers.left(id);
        }
        for Insecure { id, .. } in gate.insecure.drain(..) {
            gate.newcomers.failed(id, TlsFailure::Late, gate.now_us);
        }
        accepted.clear();
        host.clear();
        gate.pass(20 * SECOND);
        gate.pass(20 * SECOND);
        prop_assert!(fars.iter().all(Far::is_closed));
        prop_assert_eq!((gate.connections(), gate.newcomers.waiting(), gate.newcomers.slots.len()), (0, 0, 0));
    }
}
