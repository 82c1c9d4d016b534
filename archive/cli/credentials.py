"""``archive credentials``: the museum's certificate, signed copies, and their verification."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archive.cli.logging_setup import answer_writer, emit, warn
from archive.cli.options import ArchiveGroup, Context, answer_format_option, epilog, pass_context, query_argument
from archive.cli.output_formats import (
    as_json,
    describe_empty_result,
    escape_control_characters,
    pluralise,
    print_json_object,
)
from archive.cli.progress_bar import make_progress
from archive.errors import EXIT_DONE, EXIT_PARTLY, ArchiveError

if TYPE_CHECKING:
    from cryptography import x509

    from archive.catalogue import Catalogue
    from archive.credentials.credentials_folder import Credentials
    from archive.export.file_copy import DerivativeCopier

PASSPHRASE_VARIABLE = "ARCHIVE_CREDENTIALS_PASSPHRASE"  # noqa: S105  (its name)


@click.group(
    "credentials",
    cls=ArchiveGroup,
    epilog=epilog("archive credentials init", "archive credentials verify signed.tif"),
)
def credentials() -> None:
    """Sign copies of derivatives with Content Credentials (C2PA), and verify them.

    Certificates and key lie in the folder that ARCHIVE_CREDENTIALS names, else in archive/credentials in your
    configuration folder: outside the home, so that no backup of the home holds the key.
    """


@credentials.command(
    "init",
    epilog=epilog(
        "archive credentials init --organisation 'City Museum'",
        "archive credentials init --certificate chain.pem --key key.pem",
        "archive credentials init --certificate museum.p12",
    ),
)
@click.option("--organisation", metavar="NAME", help="Make a certificate for this museum.")
@click.option("--name", default="Digitisation", show_default=True, metavar="NAME", help="Who signs, in that museum.")
@click.option(
    "--certificate",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Import this one: a chain in PEM, the signer's certificate first, or PKCS#12 (.p12, .pfx) with the key.",
)
@click.option(
    "--key",
    "key_path",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Its key in PEM; not needed where the other file holds it.",
)
@click.option("--replace", is_flag=True, help="Replace the credentials that are there.")
def init(
    organisation: str | None, name: str, certificate: Path | None, key_path: Path | None, *, replace: bool
) -> None:
    """Make or import the museum's certificate and key.

    The key is stored for its owner only (permission 600), and encrypted if you give a passphrase: in
    ARCHIVE_CREDENTIALS_PASSPHRASE, or on the terminal. A certificate that you make yourself proves to others only that
    the same museum signed; give them its root, certificates.pem. One that an authority on the C2PA trust list issued
    is trusted everywhere.
    """
    from archive.credentials.certificates import import_credentials, make_credentials
    from archive.credentials.credentials_folder import default_folder, save

    if (organisation is None) == (certificate is None):
        raise click.UsageError("give --organisation to make a certificate, or --certificate to import one")
    if key_path is not None and certificate is None:
        raise click.UsageError("--key belongs to --certificate")
    folder = default_folder()
    passphrase = _passphrase("Passphrase for the key, empty for none", confirm=certificate is None)
    if certificate is not None:
        made = import_credentials(certificate, key_path, passphrase=passphrase)
    else:
        made = make_credentials(str(organisation), name)
    save(made, folder, passphrase=passphrase, replace=replace)
    click.echo(f"credentials: {folder}")
    if passphrase is None:
        emit("the key has no passphrase: whoever can read your files can sign as the museum")


@credentials.command("show", epilog=epilog("archive credentials show"))
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How it is printed.")
def show(form: str) -> None:
    """Show the museum's certificates, and those that it trusts."""
    from archive.credentials.credentials_folder import default_folder, load_chain, load_trusted, needs_passphrase

    folder = default_folder()
    encrypted = needs_passphrase(folder)
    certificates = {
        "chain": [_certificate(each) for each in load_chain(folder)],
        "trusted": [_certificate(each) for each in load_trusted(folder)],
    }
    if form == "json":
        click.echo(as_json({"folder": str(folder), "key_encrypted": encrypted, **certificates}, indent=2))
        return
    click.echo(f"folder: {folder}")
    click.echo(f"key: {'with' if encrypted else 'without'} a passphrase")
    for title, listed in certificates.items():
        click.echo(f"{title}:")
        for each in listed:
            shown = f"  {each['name']}, issued by {each['issuer']}, valid until {each['valid_until']}"
            click.echo(escape_control_characters(shown))
            click.echo(f"    SHA-256 {each['sha256']}")


@credentials.command(
    "verify",
    epilog=epilog(
        "archive credentials verify 1906.12_001_restored.tif",
        "archive credentials verify --trust partner.pem received/*.tif",
        partly="a file is not signed, not signed by somebody trusted, or was changed",
    ),
)
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option(
    "--trust",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    metavar="FILE",
    help="Also trust these certificates, in PEM.",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How it is printed.")
def verify(files: tuple[Path, ...], trust: tuple[Path, ...], form: str) -> int:
    """Say who signed a file, whether you trust them, and what changed since.

    Trusted are the certificates in trusted.pem, beside the museum's own. Of a file that was signed here and changed
    since, the changed metadata are named, and whether the pixels changed. No network is used.
    """
    from archive.credentials.credentials_folder import default_folder, load_trusted, read_chain
    from archive.credentials.verification import verify_file

    anchors = [*load_trusted(default_folder()), *(each for path in trust for each in read_chain(path))]
    found = [verify_file(path, anchors) for path in files]
    if form == "json":
        rows: list[dict[str, Any]] = [
            {
                "path": str(each.path),
                "signer": each.signer,
                "trusted": each.trusted,
                "unchanged": each.signer is not None and not each.problems,
                "problems": list(each.problems),
            }
            for each in found
        ]
        click.echo(as_json(rows, indent=2))
    else:
        for each in found:
            path = escape_control_characters(str(each.path))
            if each.signer is not None:
                standing = "trusted" if each.trusted else "not on the list of trusted certificates"
                click.echo(f"{path}: signed by {escape_control_characters(each.signer)}, {standing}")
                if not each.problems:
                    click.echo(f"{path}: unchanged since")
            for problem in each.problems:
                click.echo(f"{path}: {escape_control_characters(problem)}")
    return EXIT_DONE if all(each.passed for each in found) else EXIT_PARTLY


@credentials.command(
    "sign",
    epilog=epilog(
        "archive credentials sign 'collection:Lange' --output for-the-press",
        partly="some derivatives can't be signed: their files or masters are missing or changed",
    ),
)
@query_argument
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The folder for the copies; a missing one is created in an existing one. What is in it is not written over.",
)
@click.option("--include-restricted", is_flag=True, help="Also items whose access is restricted or sensitive.")
@answer_format_option
@pass_context
def sign(context: Context, query: str | None, output: Path, *, include_restricted: bool, form: str) -> int:
    """Write signed copies of the current restored derivatives of the masters that QUERY finds.

    The copies have the same pixels; the derivatives in the home keep their bytes. Both digests are recorded as an
    event.
    """
    from archive.credentials.signed_copy_selection import current_derivatives
    from archive.storage import require_parent

    require_parent(output)
    catalogue = context.catalogue()
    wanted = current_derivatives(catalogue, query, include_restricted=include_restricted)
    signed, failed = _sign_all(catalogue, wanted.derivatives, output, form) if wanted.derivatives else ([], [])
    write = warn if failed else emit
    write(f"{pluralise(len(signed), 'signed copy', 'signed copies')}{f', {len(failed):,} failed' if failed else ''}")
    if wanted.not_open:
        emit(
            f"{pluralise(wanted.not_open, 'derivative')} left out: access not open. "
            "Add --include-restricted to include them."
        )
    _name_others(output, {name for _, name in wanted.derivatives})
    if not wanted.derivatives and not wanted.not_open:
        if query is None:
            emit("no restored derivative is current. See `archive status`")
        else:
            emit(describe_empty_result(query, "no restored derivative"))
    if form == "json":
        print_json_object({"signed": signed, "failed": failed, "not_open": wanted.not_open})
    return EXIT_PARTLY if failed else EXIT_DONE


def _name_others(output: Path, chosen: set[str]) -> None:
    """Warns of files in the folder that aren't copies of the chosen derivatives; one of them may be withdrawn."""
    others = sorted(path.name for path in output.glob("*.tif") if path.name not in chosen)
    if others:
        warn(
            f"{output} also holds {pluralise(len(others), 'other file')}, such as "
            f"{escape_control_characters(others[0])}. If they are copies of withdrawn or removed derivatives, or of "
            "items that are no longer open, delete them"
        )


def _sign_all(
    catalogue: Catalogue, derivatives: tuple[tuple[int, str], ...], output: Path, form: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Signs each derivative and prints the result; returns the signed and the failed ones, as in JSON."""
    from archive.credentials.signing import sign_derivative

    loaded, progress, write = load_credentials(), make_progress(), answer_writer(form)
    signed: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    progress.start(len(derivatives), "derivatives")
    try:
        for derivative_id, name in derivatives:
            try:
                copy = sign_derivative(catalogue, loaded, derivative_id, output / name)
            except ArchiveError as error:
                warn(escape_control_characters(str(error)))
                failed.append({"derivative": derivative_id, "reason": str(error)})
            else:
                signed.append({"derivative": derivative_id, "path": str(copy.path), "sha256": copy.sha256})
                write(f"{copy.sha256}  {escape_control_characters(str(copy.path))}")
            progress.advance(note=name)
    finally:
        progress.finish()
    return signed, failed


def load_credentials() -> Credentials:
    """The museum's credentials; asks for the passphrase if the key has one and the environment doesn't contain it.

    Raises:
        CredentialsError: there are none, or they can't be used.
    """
    from archive.credentials.credentials_folder import default_folder, load, load_chain, needs_passphrase

    folder = default_folder()
    load_chain(folder)
    return load(folder, passphrase=_passphrase("Passphrase of the key") if needs_passphrase(folder) else None)


def derivative_signer(catalogue: Catalogue, *, sign: bool | None) -> DerivativeCopier | None:
    """What puts signed copies of derivatives into an export or package; None where they are not to be signed.

    Args:
        catalogue: holds the derivatives.
        sign: as the command says; None leaves it to ``sign`` in ``archive.toml``.

    Raises:
        CredentialsError: there are no credentials, or they can't be used.
    """
    if not (catalogue.settings.sign if sign is None else sign):
        return None
    from archive.credentials.signing import keep_or_sign

    credentials = load_credentials()
    return lambda derivative, target: keep_or_sign(catalogue, credentials, derivative, target)


def _passphrase(question: str, *, confirm: bool = False) -> str | None:
    """The passphrase from the environment, else from the terminal; None where there is neither, or it is empty."""
    if PASSPHRASE_VARIABLE in os.environ:
        return os.environ[PASSPHRASE_VARIABLE] or None
    if not sys.stdin.isatty():
        return None
    given: str = click.prompt(
        question, default="", show_default=False, hide_input=True, confirmation_prompt=confirm, err=True
    )
    return given or None


def _certificate(certificate: x509.Certificate) -> dict[str, str]:
    from archive.credentials.credentials_folder import fingerprint, name_of

    return {
        "name": name_of(certificate),
        "issuer": certificate.issuer.rfc4514_string(),
        "valid_until": certificate.not_valid_after_utc.date().isoformat(),
        "sha256": fingerprint(certificate),
    }
