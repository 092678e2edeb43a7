//! TLS without sockets: settings from PEM texts, sessions that turn ciphertext into plaintext and back, and what is
//! known of a session afterwards. The cryptography is that of rustls.

pub mod config;
pub mod failure;
pub mod info;
pub mod names;
pub mod session;
#[cfg(test)]
pub(crate) mod tests;
