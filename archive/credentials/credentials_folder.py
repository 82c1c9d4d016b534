"""The museum's signing credentials: a certificate chain, its key, and the list of certificates that it trusts.

They lie outside the home, so that neither a copy nor a backup of the home holds the key.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from archive.errors import CredentialsError
from archive.whole_files import whole_file

FOLDER_VARIABLE = "ARCHIVE_CREDENTIALS"
CHAIN_NAME = "certificates.pem"
KEY_NAME = "key.pem"
TRUSTED_NAME = "trusted.pem"

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_LEAST_RSA_BITS = 2048


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """A certificate chain, the signer's own first, and the private key of the signer's certificate."""

    chain: tuple[x509.Certificate, ...]
    key: PrivateKey

    def check(self) -> None:
        """Checks that the key belongs to the first certificate and that each is issued by the next.

        Raises:
            CredentialsError: it does not, or C2PA has no algorithm for the key.
        """
        algorithm_of(self.key)
        if _public_bytes(self.key) != _public_bytes(self.chain[0]):
            raise CredentialsError(
                f"the key doesn't belong to the certificate of {name_of(self.chain[0])}: give the signer's own "
                "certificate first in the chain, and its key"
            )
        for certificate, issuer in zip(self.chain, self.chain[1:], strict=False):
            try:
                certificate.verify_directly_issued_by(issuer)
            except (ValueError, TypeError, InvalidSignature) as error:
                raise CredentialsError(
                    f"the certificate of {name_of(certificate)} was not issued by {name_of(issuer)}, which follows it "
                    "in the chain: order the chain from the signer to the root"
                ) from error


def default_folder() -> Path:
    """``ARCHIVE_CREDENTIALS``, else ``archive/credentials`` in the user's configuration folder."""
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named).expanduser().absolute()
    configuration = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(configuration).expanduser().absolute() / "archive" / "credentials"


def save(credentials: Credentials, folder: Path, *, passphrase: str | None, replace: bool = False) -> None:
    """Writes chain and key, the key readable by its owner only, and trusts the chain's last certificate.

    Args:
        credentials: what is written, checked before.
        folder: where to; it is made if need be, for its owner only.
        passphrase: encrypts the key.
        replace: whether credentials that are there already may be replaced.

    Raises:
        CredentialsError: the folder holds credentials, and ``replace`` is false.
        OSError: a file can't be written.
    """
    credentials.check()
    key_path = folder / KEY_NAME
    if key_path.exists() and not replace:
        raise CredentialsError(f"{folder} holds credentials already: run `archive credentials show`, or give --replace")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase.encode())
    key = credentials.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    trusted = [*load_trusted(folder)]
    if credentials.chain[-1] not in trusted:
        trusted.append(credentials.chain[-1])
    _write(key_path, key, mode=0o600)
    _write(folder / CHAIN_NAME, as_pem(credentials.chain), mode=0o644)
    _write(folder / TRUSTED_NAME, as_pem(trusted), mode=0o644)


def load(folder: Path, *, passphrase: str | None) -> Credentials:
    """The credentials in ``folder``.

    Raises:
        CredentialsError: there are none, others may read the key, or the passphrase is missing or wrong.
    """
    key_path = folder / KEY_NAME
    chain = load_chain(folder)
    try:
        if key_path.stat().st_mode & 0o077:
            raise CredentialsError(f"others may read the key {key_path}: run `chmod 600 {key_path}`")
        data = key_path.read_bytes()
    except OSError as error:
        raise CredentialsError(f"the key {key_path} can't be read: {error.strerror}") from error
    credentials = Credentials(chain=chain, key=read_key(data, name=str(key_path), passphrase=passphrase))
    credentials.check()
    return credentials


def load_chain(folder: Path) -> tuple[x509.Certificate, ...]:
    """The certificate chain in ``folder``; no passphrase is needed.

    Raises:
        CredentialsError: there is none.
    """
    path = folder / CHAIN_NAME
    if not path.exists():
        raise CredentialsError(f"there are no credentials in {folder}: run `archive credentials init`")
    return read_chain(path)


def load_trusted(folder: Path) -> tuple[x509.Certificate, ...]:
    """The certificates that the museum trusts; empty without a trust list.

    Raises:
        CredentialsError: the list can't be read.
    """
    path = folder / TRUSTED_NAME
    return read_chain(path) if path.exists() else ()


def needs_passphrase(folder: Path) -> bool:
    """Whether the key in ``folder`` is encrypted."""
    path = folder / KEY_NAME
    return path.exists() and b"ENCRYPTED" in path.read_bytes()


def read_chain(path: Path) -> tuple[x509.Certificate, ...]:
    """The certificates of a PEM file, in its order.

    Raises:
        CredentialsError: it can't be read, or holds none.
    """
    try:
        return tuple(x509.load_pem_x509_certificates(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise CredentialsError(f"{path} can't be read as certificates in PEM: {error}") from error


def read_key(data: bytes, *, name: str, passphrase: str | None) -> PrivateKey:
    """A private key in PEM; the passphrase is used if it is encrypted.

    Raises:
        CredentialsError: it can't be read, or C2PA has no algorithm for it.
    """
    encrypted = b"ENCRYPTED" in data
    if encrypted and not passphrase:
        raise CredentialsError(f"the key {name} can't be opened without its passphrase")
    try:
        key = serialization.load_pem_private_key(data, passphrase.encode() if encrypted and passphrase else None)
    except (TypeError, ValueError) as error:
        reason = "the passphrase is wrong" if encrypted else "it is not a private key in PEM"
        raise CredentialsError(f"the key {name} can't be opened: {reason}") from error
    algorithm_of(key)
    assert isinstance(key, PrivateKey)  # noqa: S101  (checked by algorithm_of)
    return key


def algorithm_of(key: object) -> str:
    """C2PA's name for the signature algorithm of a key.

    Raises:
        CredentialsError: there is none.
    """
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _LEAST_RSA_BITS:
        return "ps256"
    raise CredentialsError("C2PA can't sign with this key: use P-256, P-384, P-521, Ed25519, or RSA of 2,048 bits")


def name_of(certificate: x509.Certificate) -> str:
    """The subject of a certificate: common name and organisation."""
    found = [
        str(attribute.value)
        for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
        for attribute in certificate.subject.get_attributes_for_oid(oid)[:1]
    ]
    return ", ".join(dict.fromkeys(found)) or certificate.subject.rfc4514_string()


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate, in hex."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def as_pem(certificates: tuple[x509.Certificate, ...] | list[x509.Certificate]) -> bytes:
    """Certificates one after the other in PEM."""
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def _public_bytes(holder: PrivateKey | x509.Certificate) -> bytes:
    return holder.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _write(path: Path, data: bytes, *, mode: int) -> None:
    with whole_file(path, mode=mode) as file:
        file.write(data)
