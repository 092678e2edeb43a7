//! Asks the kernel about the other end of a TCP connection (tcp(7)). Only Linux answers.

use std::os::fd::BorrowedFd;

use crate::shard::tcp_info::TcpInfo;

/// Asks the kernel; none if it cannot tell.
#[cfg(target_os = "linux")]
pub(super) fn tcp_info(fd: BorrowedFd<'_>) -> Option<TcpInfo> {
    use std::os::fd::AsRawFd;

    let fd = fd.as_raw_fd();
    let mut words = [0u32; WORDS];
    let mut len = size_of_val(&words) as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes, which is the size of `words`, and any bytes are valid integers.
    let failed =
        unsafe { libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, words.as_mut_ptr().cast(), &raw mut len) };
    if failed != 0 || (len as usize) < size_of_val(&words) {
        return None;
    }
    let (mut queued, mut unread): (libc::c_int, libc::c_int) = (0, 0);
    // SAFETY: SIOCOUTQ and SIOCINQ (tcp(7)), which have the numbers of TIOCOUTQ and FIONREAD, write one integer each.
    let failed =
        unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut queued) | libc::ioctl(fd, libc::FIONREAD, &raw mut unread) };
    if failed != 0 {
        return None;
    }
    let received = [words[RECEIVED], words[RECEIVED + 1]].map(u32::to_ne_bytes).concat();
    Some(TcpInfo {
        unacked: u64::try_from(queued).unwrap_or(0),
        unread: u64::try_from(unread).unwrap_or(0),
        received: u64::from_ne_bytes(received.try_into().ok()?),
        silent_us: u64::from(words[LAST_DATA].min(words[LAST_ACK])) * 1000,
    })
}

/// This system cannot tell.
#[cfg(not(target_os = "linux"))]
pub(super) fn tcp_info(_: BorrowedFd<'_>) -> Option<TcpInfo> {
    None
}

/// The length of `struct tcp_info` of linux/tcp.h up to `tcpi_bytes_received`, in words of four bytes. The C library's
/// struct ends before that; the kernel's only grows at its end.
#[cfg(target_os = "linux")]
const WORDS: usize = 34;
/// The place of `tcpi_last_data_recv`.
#[cfg(target_os = "linux")]
const LAST_DATA: usize = 13;
/// The place of `tcpi_last_ack_recv`.
#[cfg(target_os = "linux")]
const LAST_ACK: usize = 14;
/// The place of `tcpi_bytes_received`.
#[cfg(target_os = "linux")]
const RECEIVED: usize = 32;

#[cfg(all(test, target_os = "linux"))]
mod tests {
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
        let info = tcp_info(other.as_fd()).unwrap();
        assert_eq!((info.received, info.unread, info.unacked), (1000, 1000, 0));
        assert!(info.silent_us < 10_000_000);
        one.set_nonblocking(true).unwrap();
        while one.write(&[1; 65_536]).is_ok() {}
        assert!(tcp_info(one.as_fd()).unwrap().unacked > 0);
    }

    #[test]
    fn nothing_is_known_about_a_socket_that_is_not_tcp() {
        assert_eq!(tcp_info(UnixStream::pair().unwrap().0.as_fd()), None);
    }
}
