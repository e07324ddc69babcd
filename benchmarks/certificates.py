"""An authority of a measurement's own: what it signs for the listener and for the sender, as files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

VALID_FROM, VALID_UNTIL = datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=36_500)


@dataclass(frozen=True, slots=True)
class Certificates:
    """The folder's files: `authority.pem`, and a `.pem` and a `.key` each of `server` and `client`."""

    folder: Path
    client_sha256: str

    def file(self, name: str) -> str:
        return str(self.folder / name)


def signed_in(folder: Path) -> Certificates:
    """Makes all of them."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Measured")])
    authority = _certificate(name, key, name, key, ca=True)
    (folder / "authority.pem").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    prints = {}
    for whose in ("server", "client"):
        own = ec.generate_private_key(ec.SECP256R1())
        made = _certificate(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, whose)]), own, name, key, ca=False)
        prints[whose] = made.fingerprint(hashes.SHA256()).hex()
        (folder / f"{whose}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        (folder / f"{whose}.key").write_bytes(
            own.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
    return Certificates(folder, prints["client"])


def _certificate(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, issuer: x509.Name, by: ec.EllipticCurvePrivateKey, *, ca: bool
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(VALID_FROM)
        .not_valid_after(VALID_UNTIL)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(by, hashes.SHA256())
    )
