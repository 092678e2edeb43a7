//! Limits on connections: how many at once and how many a second, in all and from each address. Pure: the clock is an
//! argument.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::admission::proxies::Network;
use crate::admission::token_bucket::{Rate, TokenBucket};
use crate::limit::Limit;
use crate::wire::refusal::Refusal;

/// The configured limits; 0 means no limit.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "named as the fields of the configuration")]
pub struct AdmissionSettings {
    pub max_connections: usize,
    pub handshake_rate: f64,
    pub handshake_burst: f64,
    pub max_address_connections: usize,
    pub address_handshake_rate: f64,
    pub address_handshake_burst: f64,
    /// Whether exceeded limits are only counted.
    pub dry_run: bool,
}

/// Counts connections. Clones share the counts.
#[derive(Debug, Clone)]
pub struct Admission(Arc<AdmissionShared>);

/// A connection counted among all, and among those of its address. Dropping it ends the count.
#[derive(Debug)]
pub struct Place {
    shared: Arc<AdmissionShared>,
    network: Option<Network>,
}

#[derive(Debug)]
struct AdmissionShared {
    settings: AdmissionSettings,
    rate: Rate,
    address_rate: Rate,
    max_idle: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: usize,
    bucket: TokenBucket,
    /// Peers choose the keys, so the map hashes them with a secret.
    addresses: HashMap<Network, Address>,
    swept_us: Option<u64>,
}

#[derive(Debug, Default)]
struct Address {
    connections: usize,
    bucket: TokenBucket,
}

impl Admission {
    /// Creates counts without connections.
    pub fn new(settings: AdmissionSettings) -> Self {
        Self::with_idle(settings, MAX_IDLE)
    }

    fn with_idle(settings: AdmissionSettings, max_idle: usize) -> Self {
        Self(Arc::new(AdmissionShared {
            settings,
            rate: Rate::new(settings.handshake_rate, settings.handshake_burst),
            address_rate: Rate::new(settings.address_handshake_rate, settings.address_handshake_burst),
            max_idle,
            counts: Mutex::default(),
        }))
    }

    /// Returns the number of connections now.
    pub fn connections(&self) -> usize {
        self.0.counts().connections
    }

    /// Counts a peer that was accepted by a listener.
    ///
    /// An exceeded limit is reported once: as the `limit` of the refusal, with the status 503, or in a dry run in
    /// `ignored`.
    pub fn arrive(&self, now_us: u64, ignored: &mut Vec<Limit>) -> Result<Place, Refusal> {
        let (shared, settings) = (&self.0, &self.0.settings);
        let mut counts = shared.counts();
        // The rate comes first, so that a refused peer is not counted as a connection.
        if let Err(wait) = counts.bucket.take(shared.rate, now_us as f64) {
            let refusal = Refusal::new(503, "more connections than handshake_rate").over(Limit::HandshakeRate);
            shared.passed(refusal.with(retry_after(wait)), ignored)?;
        }
        if settings.max_connections > 0 && counts.connections >= settings.max_connections {
            let refusal = Refusal::new(503, "max_connections is reached").over(Limit::Connections);
            shared.passed(refusal.with(BUSY), ignored)?;
        }
        counts.connections += 1;
        Ok(Place { shared: Arc::clone(shared), network: None })
    }

    /// Counts a peer by its address; a peer of a Unix socket has none. Refuses it with 429 if its address exceeds a
    /// limit; limits are reported as in [`Self::arrive`].
    pub fn locate(
        &self,
        place: &mut Place,
        address: IpAddr,
        now_us: u64,
        ignored: &mut Vec<Limit>,
    ) -> Result<(), Refusal> {
        let (shared, settings) = (&self.0, &self.0.settings);
        if place.network.is_some() || settings.max_address_connections == 0 && shared.address_rate.is_unlimited() {
            return Ok(());
        }
        let network = Network::of(address);
        let mut counts = shared.counts();
        if !counts.addresses.contains_key(&network) {
            counts.sweep(now_us, shared.max_idle);
        }
        let entry = counts.addresses.entry(network).or_default();
        if let Err(wait) = entry.bucket.take(shared.address_rate, now_us as f64) {
            let reason = format!("more connections from {network} than address_handshake_rate");
            let refusal = Refusal::new(429, reason).over(Limit::AddressHandshakeRate);
            shared.passed(refusal.with(retry_after(wait)), ignored)?;
        }
        if settings.max_address_connections > 0 && entry.connections >= settings.max_address_connections {
            let reason = format!("max_address_connections is reached for {network}");
            let refusal = Refusal::new(429, reason).over(Limit::AddressConnections);
            shared.passed(refusal.with(BUSY), ignored)?;
        }
        entry.connections += 1;
        place.network = Some(network);
        Ok(())
    }
}

impl Place {
    /// Whether the peer was counted by its address.
    pub fn is_located(&self) -> bool {
        self.network.is_some()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.shared.counts();
        counts.connections -= 1;
        if let Some(entry) = self.network.and_then(|network| counts.addresses.get_mut(&network)) {
            entry.connections -= 1;
        }
    }
}

impl AdmissionShared {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns an error for an exceeded limit, except in a dry run.
    fn passed(&self, refusal: Refusal, ignored: &mut Vec<Limit>) -> Result<(), Refusal> {
        if !self.settings.dry_run {
            return Err(refusal);
        }
        ignored.extend(refusal.limit);
        Ok(())
    }
}

impl Counts {
    /// Forgets addresses that have nothing to remember. Addresses with connections are never forgotten.
    fn sweep(&mut self, now_us: u64, max_idle: usize) {
        let is_recent = self.swept_us.is_some_and(|swept| now_us < swept + SWEEP_US);
        if self.addresses.len() < max_idle || is_recent {
            return;
        }
        self.swept_us = Some(now_us);
        let before = self.addresses.len();
        self.addresses.retain(|_, entry| entry.connections > 0 || !entry.bucket.is_full(now_us as f64));
        if self.addresses.len() == before {
            // With more addresses than plausible, the rates of some idle ones are forgotten early.
            let mut left = max_idle / 2;
            self.addresses.retain(|_, entry| {
                let is_forgotten = entry.connections == 0 && left > 0;
                left -= usize::from(is_forgotten);
                !is_forgotten
            });
        }
    }
}

fn retry_after(wait_us: f64) -> String {
    format!("Retry-After: {}", (wait_us / 1e6).ceil().max(1.0))
}

/// When a refused peer should try again. It is not known when a connection ends.
const BUSY: &str = "Retry-After: 5";

/// The limit on addresses without a connection whose rates are remembered; some 3 MB.
const MAX_IDLE: usize = 65_536;

/// Microseconds between two sweeps.
const SWEEP_US: u64 = 1_000_000;

pub mod entry;
pub mod proxies;
pub mod token_bucket;

#[cfg(test)]
mod tests;
