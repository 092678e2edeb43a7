//! What the kernel knows of the other end of a TCP connection. Only Linux tells; elsewhere nothing is known.

use std::os::fd::BorrowedFd;

/// The other end, as the kernel sees it at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpInfo {
    /// Bytes that were written to the socket and that the peer's kernel has not acknowledged.
    pub unacked: u64,
    /// Bytes received from the peer since the connection began, whether they were read or not.
    pub received: u64,
    /// Bytes of them that nobody has read yet.
    pub unread: u64,
    /// Microseconds since the peer's kernel was last heard, if only by an acknowledgement.
    pub silent_us: u64,
}

impl TcpInfo {
    /// Asks the kernel; none where it cannot tell.
    #[cfg(target_os = "linux")]
    pub fn of(fd: BorrowedFd<'_>) -> Option<Self> {
        use std::os::fd::AsRawFd;

        let fd = fd.as_raw_fd();
        let mut words = [0u32; WORDS];
        let mut len = size_of_val(&words) as libc::socklen_t;
        // SAFETY: the kernel writes at most `len` bytes, which `words` has, and any bytes are integers.
        let failed =
            unsafe { libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, words.as_mut_ptr().cast(), &raw mut len) };
        if failed != 0 || (len as usize) < size_of_val(&words) {
            return None;
        }
        let (mut queued, mut unread): (libc::c_int, libc::c_int) = (0, 0);
        // SAFETY: SIOCOUTQ and SIOCINQ (tcp(7)), which have the numbers of TIOCOUTQ and FIONREAD, write one integer each.
        let failed = unsafe {
            libc::ioctl(fd, libc::TIOCOUTQ, &raw mut queued) | libc::ioctl(fd, libc::FIONREAD, &raw mut unread)
        };
        if failed != 0 {
            return None;
        }
        let received = [words[RECEIVED], words[RECEIVED + 1]].map(u32::to_ne_bytes).concat();
        Some(Self {
            unacked: u64::try_from(queued).unwrap_or(0),
            unread: u64::try_from(unread).unwrap_or(0),
            received: u64::from_ne_bytes(received.try_into().ok()?),
            silent_us: u64::from(words[LAST_DATA].min(words[LAST_ACK])) * 1000,
        })
    }

    /// Asks the kernel; none where it cannot tell.
    #[cfg(not(target_os = "linux"))]
    pub fn of(_: BorrowedFd<'_>) -> Option<Self> {
        None
    }
}

/// `struct tcp_info` of linux/tcp.h, up to `tcpi_bytes_received`, in words of four bytes. The C library's struct ends
/// before that; the kernel's only grows at its end.
#[cfg(target_os = "linux")]
const WORDS: usize = 34;
/// Where `tcpi_last_data_recv` is.
#[cfg(target_os = "linux")]
const LAST_DATA: usize = 13;
/// Where `tcpi_last_ack_recv` is.
#[cfg(target_os = "linux")]
const LAST_ACK: usize = 14;
/// Where `tcpi_bytes_received` is.
#[cfg(target_os = "linux")]
const RECEIVED: usize = 32;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn it_tells_what_was_received_and_what_the_peer_has_not_acknowledged() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (other, _) = listener.accept().unwrap();
        one.write_all(&[1; 1000]).unwrap();
        let mut buf = [0; 1000];
        other.peek(&mut buf).unwrap();
        let info = TcpInfo::of(other.as_fd()).unwrap();
        assert_eq!((info.received, info.unread, info.unacked), (1000, 1000, 0));
        assert!(info.silent_us < 10_000_000);
        one.set_nonblocking(true).unwrap();
        while one.write(&[1; 65_536]).is_ok() {}
        assert!(TcpInfo::of(one.as_fd()).unwrap().unacked > 0);
    }

    #[test]
    fn of_a_socket_that_is_not_tcp_nothing_is_known() {
        assert_eq!(TcpInfo::of(UnixStream::pair().unwrap().0.as_fd()), None);
    }
}
