"""Creates or imports credentials: a certificate chain that the museum makes itself, or one from an authority."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from archive.credentials.credentials_folder import Credentials, PrivateKey, algorithm_of, read_chain, read_key
from archive.errors import CredentialsError

_DAYS = 3653  # without a time-stamp, a signature is valid as long as its certificate
_PKCS12_SUFFIXES = {".p12", ".pfx"}


def make_credentials(organisation: str, name: str) -> Credentials:
    """Creates a root and the signer's certificate, with P-256 keys, valid for ten years.

    The root's key is discarded, so nobody can issue another certificate under this root.

    Args:
        organisation: the museum.
        name: who signs, such as the digitisation department.
    """
    now = datetime.now(UTC)
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name = _subject(organisation, f"{organisation} Content Credentials root"[:64])
    root = (
        _certificate(root_name, root_name, root_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    signer = (
        _certificate(_subject(organisation, name), root_name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)  # C2PA needs one
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    return Credentials(chain=(signer, root), key=key)


def import_credentials(path: Path, key_path: Path | None, *, passphrase: str | None) -> Credentials:
    """Credentials from a PKCS#12 file (``.p12``, ``.pfx``), or from a chain and a key in PEM.

    Args:
        path: the PKCS#12 file, or the chain, the signer's certificate first.
        key_path: the key; None where ``path`` holds it too.
        passphrase: opens the key.

    Raises:
        CredentialsError: a file can't be read, the passphrase is wrong, or key and certificate don't belong together.
    """
    if path.suffix.lower() in _PKCS12_SUFFIXES:
        credentials = _from_pkcs12(path, passphrase)
    else:
        key_file = key_path or path
        try:
            data = key_file.read_bytes()
        except OSError as error:
            raise CredentialsError(f"{key_file} can't be read: {error.strerror}") from error
        credentials = Credentials(chain=read_chain(path), key=read_key(data, name=str(key_file), passphrase=passphrase))
    credentials.check()
    return credentials


def _from_pkcs12(path: Path, passphrase: str | None) -> Credentials:
    try:
        key, certificate, others = pkcs12.load_key_and_certificates(
            path.read_bytes(), passphrase.encode() if passphrase else None
        )
    except OSError as error:
        raise CredentialsError(f"{path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise CredentialsError(f"{path} can't be opened: the passphrase is wrong, or it is not PKCS#12") from error
    if key is None or certificate is None:
        raise CredentialsError(f"{path} holds no key with its certificate: export both together")
    algorithm_of(key)
    assert isinstance(key, PrivateKey)  # noqa: S101  (checked by algorithm_of)
    return Credentials(chain=_ordered(certificate, others), key=key)


def _ordered(certificate: x509.Certificate, others: list[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """The chain from the signer upward; PKCS#12 keeps no order."""
    chain, left = [certificate], list(others)
    while issuer := next((each for each in left if each.subject == chain[-1].issuer), None):
        chain.append(issuer)
        left.remove(issuer)
    return tuple(chain)


def _subject(organisation: str, name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # clocks differ
        .not_valid_after(now + timedelta(days=_DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
