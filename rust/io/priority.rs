//! Hints to the system's scheduler for the engine's threads, which may share one core with the host's loop. A system
//! that does not know a hint, or does not grant it, schedules as usual.

#[cfg(target_os = "linux")]
use std::mem::size_of;

/// Asks for short time slices, so that the calling thread runs soon after it wakes.
///
/// With the usual slice of some milliseconds, a thread that wakes waits until the running thread has used up its slice,
/// and often for the next timer tick, each 1 to 10 ms. A thread with a shorter slice runs at once, if it has used no
/// more than its share of the core. The share stays the same (Linux 6.12, `PREEMPT_SHORT`).
pub fn prompt() {
    #[cfg(target_os = "linux")]
    change(|wish| wish.runtime = SLICE_NS);
}

/// Makes the calling thread not preempt others when it wakes. Its share of the core stays the same (`SCHED_BATCH`,
/// sched(7)).
pub fn patient() {
    #[cfg(target_os = "linux")]
    change(|wish| wish.policy = libc::SCHED_BATCH as u32);
}

/// Keeps the calling thread on one processor. Does nothing where the system has no such thing.
pub fn pin(core: usize) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let mut cores = rustix::thread::CpuSet::new();
        if core >= rustix::thread::CpuSet::MAX_CPU {
            return Err(rustix::io::Errno::INVAL.into());
        }
        cores.set(core);
        rustix::thread::sched_setaffinity(None, &cores)?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = core;
    Ok(())
}

/// `struct sched_attr` as sched_setattr(2) has it, in its first version.
#[cfg(target_os = "linux")]
#[repr(C)]
#[derive(Debug, Default)]
struct Wish {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Changes the scheduling of the calling thread, unless the operator has chosen another policy for the process.
#[cfg(target_os = "linux")]
fn change(edit: impl FnOnce(&mut Wish)) {
    const SIZE: u32 = size_of::<Wish>() as u32;
    let mut wish = Wish::default();
    // SAFETY: the kernel writes at most `SIZE` bytes, which `wish` has, and any bytes are integers. 0 is the calling
    // thread.
    let got = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut wish, SIZE, 0) };
    if got != 0 || wish.policy != libc::SCHED_OTHER as u32 {
        return;
    }
    edit(&mut wish);
    wish.size = SIZE;
    // SAFETY: the kernel reads `size` bytes, which `wish` has, and keeps no pointer.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wish, 0) };
}

/// The shortest slice that Linux grants: a tenth of a millisecond.
#[cfg(target_os = "linux")]
const SLICE_NS: u64 = 100_000;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn now() -> (u32, i32, u64) {
        let mut wish = Wish::default();
        // SAFETY: as in `change`.
        let got = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut wish, size_of::<Wish>(), 0) };
        assert_eq!(got, 0);
        (wish.policy, wish.nice, wish.runtime)
    }

    fn other(policy: i32) {
        let zero = libc::sched_param { sched_priority: 0 };
        // SAFETY: the kernel reads one `sched_param`.
        assert_eq!(unsafe { libc::sched_setscheduler(0, policy, &raw const zero) }, 0);
    }

    #[test]
    fn a_thread_stays_on_its_processor() {
        let usable = rustix::thread::sched_getaffinity(None).unwrap();
        let core = (0..rustix::thread::CpuSet::MAX_CPU).find(|&core| usable.is_set(core)).unwrap();
        let pinned = std::thread::spawn(move || {
            pin(core).unwrap();
            rustix::thread::sched_getaffinity(None).unwrap()
        });
        let pinned = pinned.join().unwrap();
        assert!(pinned.is_set(core) && pinned.count() == 1);
        assert!(std::thread::spawn(|| pin(usize::MAX)).join().unwrap().is_err());
    }

    #[test]
    fn a_prompt_thread_keeps_its_policy_and_its_nice_value() {
        // SAFETY: on Linux this is the calling thread's.
        assert_eq!(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 3) }, 0);
        let before = now();
        prompt();
        let (policy, nice, slice) = now();
        assert_eq!((policy, nice), (libc::SCHED_OTHER as u32, 3));
        // An older kernel does not report slices.
        assert_eq!(slice, if before.2 == 0 { 0 } else { SLICE_NS });
    }

    #[test]
    fn a_patient_thread_is_batch_work() {
        patient();
        assert_eq!(now().0, libc::SCHED_BATCH as u32);
    }

    #[test]
    fn what_the_operator_has_chosen_stays() {
        other(libc::SCHED_IDLE);
        let before = now();
        prompt();
        patient();
        assert_eq!(now(), before);
    }
}
