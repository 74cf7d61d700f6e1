//! `listen`, `admin`, `state`, `sources`, `audit`: addresses, files and numbers within bounds.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::Checking;
use crate::policy::checked::{
    Admin, Audit, CertificateName, ClientAddressFrom, ClientCertificates, Listen, Rate, Sources, TlsFiles,
};
use crate::policy::human::{OrOff, RateText};
use crate::policy::raw;
use crate::policy::read::clip;
use crate::policy::tree::KeyPath;

/// Bytes of a request head that may be allowed: below the first no browser gets through.
const HEADER_BYTES: std::ops::RangeInclusive<u64> = 1 << 10..=1 << 20;
/// Addresses tracked: the table is made at once.
const TRACKED_MAX: u32 = 10_000_000;
/// Connections of one process.
const CONNECTIONS_MAX: u32 = 10_000_000;
/// Events waiting for the audit writer.
const QUEUE_MAX: u32 = 10_000_000;

impl Checking<'_> {
    pub(super) fn listen(&mut self, at: &KeyPath, raw: Option<&raw::Listen>) -> Option<Listen> {
        let raw = self.need(at, raw, "write the section")?;
        let address = self.address(&at.key("address"), raw.address.as_ref());
        let workers = raw.workers.map(|workers| self.within(&at.key("workers"), workers, 1..=1024));
        let tls = raw.tls.as_ref().map(|tls| self.tls(&at.key("tls"), tls));
        let tls_terminated_by_proxy = self.set(at, "tls_terminated_by_proxy", raw.tls_terminated_by_proxy);
        let trusted = self.set(at, "trusted_proxies", raw.trusted_proxies.as_ref());
        let client_address = self.set(at, "client_address", raw.client_address);
        let ipv6_prefix = self.bounded(at, "ipv6_prefix", raw.ipv6_prefix, 1..=128);
        let header_bytes = self.bounded(at, "header_bytes_max", raw.header_bytes_max.map(|b| b.0), HEADER_BYTES);
        let headers_max = self.bounded(at, "headers_max", raw.headers_max, 8..=1000);
        let handshake_timeout = self.positive(at, "handshake_timeout", raw.handshake_timeout);
        let drain_timeout = self.set(at, "drain_timeout", raw.drain_timeout);
        let connections_max = self.bounded(at, "connections_max", raw.connections_max, 1..=CONNECTIONS_MAX);
        Some(Listen {
            address: address?,
            workers: match workers {
                Some(workers) => Some(usize::try_from(workers?).ok()?),
                None => None,
            },
            tls: match tls {
                Some(tls) => Some(tls?),
                None => None,
            },
            tls_terminated_by_proxy: tls_terminated_by_proxy?.0,
            trusted_proxies: trusted?.iter().map(|network| network.0).collect(),
            client_address: match client_address? {
                raw::ClientAddress::Peer => ClientAddressFrom::Peer,
                raw::ClientAddress::XForwardedFor => ClientAddressFrom::XForwardedFor,
                raw::ClientAddress::Forwarded => ClientAddressFrom::Forwarded,
                raw::ClientAddress::ProxyProtocol => ClientAddressFrom::ProxyProtocol,
            },
            ipv6_prefix: ipv6_prefix?,
            header_bytes_max: usize::try_from(header_bytes?).ok()?,
            headers_max: usize::try_from(headers_max?).ok()?,
            handshake_timeout: handshake_timeout?,
            drain_timeout: drain_timeout?.0,
            connections_max: usize::try_from(connections_max?).ok()?,
        })
    }

    fn address(&mut self, at: &KeyPath, written: Option<&String>) -> Option<SocketAddr> {
        let written = self.need(at, written, "write an address and a port, as `127.0.0.1:8350`")?;
        let parsed = written.trim().replace("localhost:", "127.0.0.1:").parse();
        if parsed.is_err() {
            let message = format!("`{}` is not an address and a port", clip(written));
            self.fault(at, message, "write `127.0.0.1:8350`, `0.0.0.0:443` or `[::]:443`");
        }
        parsed.ok()
    }

    fn tls(&mut self, at: &KeyPath, raw: &raw::Tls) -> Option<TlsFiles> {
        let certificate = self.pem_file(&at.key("certificate"), raw.certificate.as_ref(), "CERTIFICATE");
        let key = self.pem_file(&at.key("key"), raw.key.as_ref(), "PRIVATE KEY");
        let clients = raw.client_certificates.as_ref();
        let clients = clients.map(|clients| self.client_certificates(&at.key("client_certificates"), clients));
        Some(TlsFiles {
            certificate: certificate?,
            key: key?,
            client_certificates: clients.map_or(Some(None), |clients| clients.map(Some))?,
        })
    }

    fn client_certificates(&mut self, at: &KeyPath, raw: &raw::ClientCertificates) -> Option<ClientCertificates> {
        let ca = self.pem_file(&at.key("ca"), raw.ca.as_ref(), "CERTIFICATE");
        let crl = raw.crl.as_ref().map(|crl| self.pem_file(&at.key("crl"), Some(crl), "X509 CRL"));
        Some(ClientCertificates {
            ca: ca?,
            crl: crl.map_or(Some(None), |crl| crl.map(Some))?,
            required: raw.mode == Some(raw::CertificateMode::Required),
            subject: raw.subject.unwrap_or(CertificateName::CommonName),
            roles: raw.roles.clone().unwrap_or_default(),
            permissions: raw.permissions.clone().unwrap_or_default(),
            tenant: raw.tenant.clone(),
        })
    }

    fn pem_file(&mut self, at: &KeyPath, written: Option<&String>, label: &str) -> Option<PathBuf> {
        let written = self.need(
            at,
            written,
            "name a PEM file; `listen.tls` needs `certificate` and `key`, its `client_certificates` need `ca`",
        )?;
        let bytes = self.file(at, written)?;
        let text = String::from_utf8_lossy(&bytes);
        if !text.lines().any(|line| line.starts_with("-----BEGIN") && line.contains(label)) {
            let message = format!("`{}` holds no PEM block `{label}`", clip(written));
            self.fault(at, message, "convert it to PEM: the file has a line `-----BEGIN …-----`");
            return None;
        }
        Some(self.resolve(at, written))
    }

    pub(super) fn admin(&mut self, at: &KeyPath, raw: Option<&raw::Admin>) -> Option<Admin> {
        let raw = self.need(at, raw, "write the section")?;
        let address = self.address(&at.key("address"), raw.address.as_ref());
        let token = self.secret(at, "token", raw.token.as_ref(), raw.token_file.as_ref(), raw.token_env.as_ref()).ok();
        let main = token.as_ref().and_then(Option::as_ref);
        let tokens = self.admin_tokens(&at.key("tokens"), raw.tokens.as_deref().unwrap_or_default(), main);
        Some(Admin { address: address?, token: token?, tokens: tokens? })
    }

    pub(super) fn state(&mut self, at: &KeyPath, raw: Option<&raw::State>) -> Option<PathBuf> {
        let at = at.key("dir");
        let dir = self.need(&at, raw.and_then(|state| state.dir.as_ref()), "name a folder")?;
        if dir.trim().is_empty() {
            self.fault(&at, "the folder's name is empty", "name a folder, as `/var/lib/portcullis`");
            return None;
        }
        Some(self.resolve(&at, dir))
    }

    pub(super) fn sources(&mut self, at: &KeyPath, raw: Option<&raw::Sources>) -> Option<Sources> {
        let raw = self.need(at, raw, "write the section")?;
        let allow = self.set(at, "allow", raw.allow.as_ref());
        let deny = self.set(at, "deny", raw.deny.as_ref());
        let per_ip = match raw.connections_per_ip_max.and_then(OrOff::value) {
            Some(number) => self.within(&at.key("connections_per_ip_max"), number, 1..=CONNECTIONS_MAX).map(Some),
            None => Some(None),
        };
        let anonymous = match raw.anonymous_connections_max.and_then(OrOff::value) {
            Some(number) => self.within(&at.key("anonymous_connections_max"), number, 1..=CONNECTIONS_MAX).map(Some),
            None => Some(None),
        };
        let attempt_delay = self.attempt_delay(&at.key("attempt_delay"), raw.attempt_delay);
        let ban_duration = self.positive(at, "ban_duration", raw.ban_duration);
        let tracked_max = self.bounded(at, "tracked_max", raw.tracked_max, 1000..=TRACKED_MAX);
        Some(Sources {
            allow: allow?.iter().map(|network| network.0).collect(),
            deny: deny?.iter().map(|network| network.0).collect(),
            connection_rate: raw.connection_rate.and_then(OrOff::value).map(rate),
            attempt_delay: attempt_delay?,
            connections_per_ip_max: per_ip?,
            failed_auth_rate: raw.failed_auth_rate.and_then(OrOff::value).map(rate),
            failed_auth_rate_per_subject: raw.failed_auth_rate_per_subject.and_then(OrOff::value).map(rate),
            anonymous_connections_max: anonymous?,
            ban_duration: ban_duration?,
            tracked_max: usize::try_from(tracked_max?).ok()?,
        })
    }

    pub(super) fn audit(&mut self, at: &KeyPath, raw: Option<&raw::Audit>) -> Option<Audit> {
        let raw = self.need(at, raw, "write the section")?;
        let enabled = self.set(at, "enabled", raw.enabled);
        let retention = self.positive(at, "retention", raw.retention);
        let queue_max = self.bounded(at, "queue_max", raw.queue_max, 1..=QUEUE_MAX);
        let record_allowed = self.set(at, "record_allowed", raw.record_allowed);
        Some(Audit {
            enabled: enabled?.0,
            retention: retention?,
            queue_max: usize::try_from(queue_max?).ok()?,
            record_allowed: record_allowed?.0,
        })
    }
}

/// A rate with its burst: the count itself unless said.
pub(super) fn rate(text: RateText) -> Rate {
    Rate { count: text.count, per: text.per, burst: text.burst.unwrap_or(text.count), algorithm: text.algorithm }
}
