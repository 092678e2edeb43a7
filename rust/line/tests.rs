//! What waits for the host. That of the thread is in `tests/contract`, with real servers.

#![allow(clippy::unwrap_used)]
use super::*;

fn shared(max_bytes: usize) -> Shared {
    Shared::new(Settings { max_bytes, ..Settings::default() }).unwrap()
}

fn heard(id: u64, len: usize) -> News {
    News::Heard(id, vec![0; len].into())
}

fn is_readable(shared: &Shared) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use std::os::fd::BorrowedFd;
    // SAFETY: `shared` keeps the descriptor open for the length of this call.
    let fd = unsafe { BorrowedFd::borrow_raw(shared.bell.fd()) };
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&Timespec::default())).unwrap() == 1
}

#[test]
fn readable_until_all_is_taken() {
    let shared = shared(10_000);
    assert!(!is_readable(&shared));
    assert_eq!(shared.take(9), []);
    for id in 1..=3 {
        shared.tell(heard(id, 1));
    }
    assert!(is_readable(&shared));
    assert_eq!(shared.take(2), [heard(1, 1), heard(2, 1)]);
    assert!(is_readable(&shared));
    assert_eq!(shared.take(2), [heard(3, 1)]);
    assert!(!is_readable(&shared));
    shared.tell(News::Up);
    assert!(is_readable(&shared));
}

#[test]
fn what_does_not_fit_is_told_after_what_does() {
    let shared = shared(2 * (OVERHEAD + 100));
    for id in [1, 2, 3, 3] {
        shared.tell(heard(id, 100));
    }
    // These take no space.
    shared.tell(News::Synced(7));
    assert_eq!(shared.take(9), [heard(1, 100), heard(2, 100), News::Synced(7), News::Lost(3)]);
    assert!(!is_readable(&shared));
    // There is space again.
    shared.tell(heard(3, 100));
    assert_eq!(shared.take(9), [heard(3, 100)]);
}

#[test]
fn a_flood_of_losses_is_told_once() {
    let shared = shared(0);
    for n in 0..1000 {
        shared.tell(News::LostSome);
        shared.tell(News::Missed(n % 2, 1, (n == 4).then(|| "why".into())));
        shared.tell(heard(5, 1));
    }
    let why = Some("why".into());
    assert_eq!(shared.take(9), [News::Missed(0, 500, why), News::Missed(1, 500, None), News::Lost(5), News::LostSome]);
    assert_eq!(shared.take(9), []);
}

#[test]
fn going_down_is_told_once() {
    let shared = shared(0);
    shared.go_down();
    shared.is_up.store(true, Relaxed);
    shared.go_down();
    shared.go_down();
    assert_eq!(shared.take(9), [News::Down]);
}
