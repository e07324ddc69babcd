"""An authority and the certificates that it signs, made anew for each test."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Held:
    """A certificate and its key, as files."""

    pem: Path
    key: Path
    certificate: x509.Certificate

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def subject(self) -> str:
        return self.certificate.subject.rfc4514_string()

    def presented_to(self, server: Authority) -> ssl.SSLContext:
        """A client's context: presents this certificate, trusts that authority."""
        context = server.trusted()
        context.load_cert_chain(self.pem, self.key)
        return context


class Authority:
    """Signs certificates. Its own are files too."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.held = self._written(name, self._key, self._made(self._name, self._key, ca=True))

    def signs(self, name: str, *, dns: str = "", days: tuple[int, int] = (-1, 1)) -> Held:
        """A certificate for a name, valid from and until so many days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "A hospital"), x509.NameAttribute(NameOID.COMMON_NAME, name),
        ])  # fmt: skip
        return self._written(name, key, self._made(subject, key, dns=dns, days=days))

    def trusted(self) -> ssl.SSLContext:
        """A client's context without a certificate of its own."""
        context = ssl.create_default_context(cafile=str(self.held.pem))
        context.check_hostname = False
        return context

    def _made(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        dns: str = "",
        days: tuple[int, int] = (-1, 1),
        ca: bool = False,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if dns:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(dns)]), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _written(self, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Held:
        files = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return Held(*files, certificate)
