//! The wakeup of the host's loop: a descriptor that is readable while there is something for the host.

use std::io;
use std::os::fd::RawFd;
#[cfg(not(loom))]
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// An eventfd, or a pipe on other systems.
#[cfg(not(loom))]
#[derive(Debug)]
pub struct Wakeup {
    reader: OwnedFd,
    #[cfg(not(target_os = "linux"))]
    writer: OwnedFd,
}

#[cfg(not(loom))]
impl Wakeup {
    /// Creates one that is not readable.
    #[cfg(target_os = "linux")]
    pub fn new() -> io::Result<Self> {
        use rustix::event::{EventfdFlags, eventfd};
        Ok(Self { reader: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    /// Creates one that is not readable.
    #[cfg(not(target_os = "linux"))]
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let wakeup = Self { reader: reader.into(), writer: writer.into() };
        rustix::io::ioctl_fionbio(&wakeup.reader, true)?;
        rustix::io::ioctl_fionbio(&wakeup.writer, true)?;
        Ok(wakeup)
    }

    /// Returns the descriptor.
    pub fn fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// Makes the descriptor readable. Fails only if it is broken; there is no other way to tell the host, so the error
    /// is ignored.
    pub fn notify(&self) {
        #[cfg(target_os = "linux")]
        let writer = &self.reader;
        #[cfg(not(target_os = "linux"))]
        let writer = &self.writer;
        let _ = write(writer, &1u64.to_ne_bytes());
    }

    /// Makes the descriptor unreadable again.
    pub fn clear(&self) {
        let _ = read(&self.reader, &mut [0; 8]);
    }
}

#[cfg(not(loom))]
fn write(fd: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::io::write(fd, bytes)?)
}

#[cfg(not(loom))]
fn read(fd: impl AsFd, bytes: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(fd, bytes)?)
}

/// A stand-in that loom can follow, without a descriptor.
#[cfg(loom)]
#[derive(Debug)]
pub struct Wakeup(loom::sync::atomic::AtomicBool);

#[cfg(loom)]
#[expect(missing_docs, reason = "as above")]
impl Wakeup {
    pub fn new() -> io::Result<Self> {
        Ok(Self(loom::sync::atomic::AtomicBool::new(false)))
    }

    pub fn fd(&self) -> RawFd {
        -1
    }

    pub fn notify(&self) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    pub fn clear(&self) {
        self.0.store(false, std::sync::atomic::Ordering::SeqCst);
    }

    pub fn is_ringing(&self) -> bool {
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }
}
