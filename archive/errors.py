"""The errors that a user of the archive can meet, each with the exit code that the command line ends with.

::

    ArchiveError                    exit 1
    ├── UsageError                  exit 2   wrong options, unknown names, a query with a mistake
    │   ├── QueryError                       position and known fields are in the message
    │   └── NotFoundError                    no such item, model, batch or derivative
    ├── HomeError                   exit 1   no home, an unusable home or database, schema not at head
    ├── IngestError                 exit 1   a scan, CSV or folder that can't be ingested
    ├── StorageError                exit 1   a file that can't be written, or would be written over
    ├── FixityError                 exit 1   bytes are missing or differ from what the catalogue holds
    ├── CredentialsError            exit 1   certificate or key of the Content Credentials can't be used
    ├── ModelRegistryError          exit 1   a model version can't be registered or used
    ├── ViewError                   exit 1   a picture can't be shown
    ├── ServerError                 exit 1   the web server can't use its address
    └── BatchError                  exit 1   a batch can't be planned or must stop

Every message says what happened, to what, and what to do next.
"""

from __future__ import annotations

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_PARTLY = 3
EXIT_INTERRUPTED = 130


class ArchiveError(Exception):
    """Base of all errors that are shown to the user as one clear message."""

    exit_code = EXIT_FAILED


class UsageError(ArchiveError):
    """The user asked for something invalid or nonexistent."""

    exit_code = EXIT_USAGE


class QueryError(UsageError):
    """A query can't be parsed, or names a field or value that isn't known."""


class NotFoundError(UsageError):
    """A named item, model version, batch or derivative isn't in the catalogue."""


class HomeError(ArchiveError):
    """The home or its database can't be used."""


class IngestError(ArchiveError):
    """A path, a metadata file or a scan can't be ingested."""


class StorageError(ArchiveError):
    """A file can't be stored without replacing another one, or can't be written."""


class FixityError(ArchiveError):
    """Bytes on disk are missing or don't match their recorded digest."""


class CredentialsError(ArchiveError):
    """The certificate or key of the Content Credentials is missing or can't be used."""


class ModelRegistryError(ArchiveError):
    """A model version can't be registered, or its weights don't match the catalogue."""


class ViewError(ArchiveError):
    """A picture can't be shown, because its file is missing, changed or damaged."""


class ServerError(ArchiveError):
    """The web server can't listen at its address, for example because the port is in use."""


class BatchError(ArchiveError):
    """A batch can't be planned, or must stop as a whole."""
