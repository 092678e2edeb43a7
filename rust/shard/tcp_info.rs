//! What the kernel knows of the other end of a TCP connection. [`Link::tcp_info`](crate::shard::Link::tcp_info) returns it.

/// The state of the other end, as the kernel sees it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpInfo {
    /// Bytes that were written to the socket and not acknowledged by the peer's kernel.
    pub unacked: u64,
    /// Bytes received from the peer since the connection began, read or not.
    pub received: u64,
    /// Bytes of them that were not read yet.
    pub unread: u64,
    /// Microseconds since the peer's kernel last sent anything, even an acknowledgement.
    pub silent_us: u64,
}
