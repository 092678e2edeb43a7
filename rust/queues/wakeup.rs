//! A descriptor that is readable while there is something for the host: its loop watches that beside all others.

use std::io;
use std::os::fd::RawFd;
#[cfg(not(loom))]
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// An eventfd; a pipe where there is none.
#[cfg(not(loom))]
#[derive(Debug)]
pub struct Bell {
    reader: OwnedFd,
    #[cfg(not(target_os = "linux"))]
    writer: OwnedFd,
}

#[cfg(not(loom))]
impl Bell {
    /// A silent one.
    #[cfg(target_os = "linux")]
    pub fn new() -> io::Result<Self> {
        use rustix::event::{EventfdFlags, eventfd};
        Ok(Self { reader: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    /// A silent one.
    #[cfg(not(target_os = "linux"))]
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let bell = Self { reader: reader.into(), writer: writer.into() };
        rustix::io::ioctl_fionbio(&bell.reader, true)?;
        rustix::io::ioctl_fionbio(&bell.writer, true)?;
        Ok(bell)
    }

    /// The descriptor that is readable from a ring on.
    pub fn fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// Fails only if the descriptor is broken, and then nobody could be told.
    pub fn ring(&self) {
        #[cfg(target_os = "linux")]
        let writer = &self.reader;
        #[cfg(not(target_os = "linux"))]
        let writer = &self.writer;
        let _ = write(writer, &1u64.to_ne_bytes());
    }

    /// Makes it readable no longer.
    pub fn silence(&self) {
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

/// What loom can follow: no descriptor.
#[cfg(loom)]
#[derive(Debug)]
pub struct Bell(loom::sync::atomic::AtomicBool);

#[cfg(loom)]
#[expect(missing_docs, reason = "as above")]
impl Bell {
    pub fn new() -> io::Result<Self> {
        Ok(Self(loom::sync::atomic::AtomicBool::new(false)))
    }

    pub fn fd(&self) -> RawFd {
        -1
    }

    pub fn ring(&self) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    pub fn silence(&self) {
        self.0.store(false, std::sync::atomic::Ordering::SeqCst);
    }

    pub fn is_ringing(&self) -> bool {
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }
}
