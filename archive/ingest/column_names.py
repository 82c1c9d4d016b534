"""Recognises a museum's column headers: the catalogue's column that a header probably means.

Known are English, German, French, Spanish and Dutch names; elements of Dublin Core, LIDO and Spectrum; and the usual
columns of the exports of TMS, CollectiveAccess, ResourceSpace, MuseumPlus and Omeka S.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

_CREDIT_LINES = (  # a statement of rights itself is surer
    "credit|credits|credit line|photo credit|image credit|courtesy|courtesy of|bildnachweis|fotonachweis|credit photo|"
    "credit photographique|mention obligatoire|credito|creditos|credito fotografico|linea de credito|bronvermelding|"
    "naamsvermelding"
)
_NAMES: Mapping[str, str] = {
    "filename": (
        "file name|file|filename|image file|image filename|image|digital file|media file|media|original filename|"
        "scan|scan file|scan name|dateiname|datei|bilddatei|bild|scandatei|dateipfad|pfad|path|file path|"
        "nom de fichier|fichier|nom du fichier|image numerique|nombre de archivo|archivo|nombre del archivo|"
        "digitalisat|fichero|bestandsnaam|bestand|file_name|media url|original file|resourcefile|representation|"
        "ca object representations media"
    ),
    "accession_number": (
        "accession number|accession no|accession|object number|object no|object id|objectnumber|inventory number|"
        "inventory no|inv no|inv nr|catalogue number|catalog number|call number|reference number|reference code|"
        "id number|inventarnummer|inventar nr|inventarnr|inv nummer|invnr|signatur|objektnummer|objekt nr|"
        "archivnummer|zugangsnummer|numero d inventaire|no inventaire|n d inventaire|inventaire|"
        "numero inventaire|cote|numero de inventario|n de inventario|inventario|numero de registro|signatura|"
        "inventarisnummer|objectnummer|object nr|inventaris nr|dc identifier|dcterms identifier|identifier|idno|"
        "record number|work id|local identifier"
    ),
    "sequence": (
        "sequence|sequence number|order|sort order|page|image number|view number|rank|reihenfolge|laufnummer|"
        "lfd nr|laufende nummer|bildnummer|blatt|ordre|numero d ordre|orden|secuencia|volgorde|volgnummer|"
        "display order"
    ),
    "view": (
        "view|side|aspect|image view|view type|image type|representation type|seite|ansicht|aufnahmeseite|face|"
        "bildseite|vue|cote vue|recto verso|recto/verso|lado|vista|cara|zijde|aanzicht|kant"
    ),
    "title": (
        "title|object title|object name title|name|caption|work title|titel|objekttitel|bildtitel|bezeichnung|"
        "bildlegende|bildunterschrift|titre|intitule|legende|titulo|denominacion|dc title|"
        "dcterms title|title display|preferred label|preferred labels|appellation"
    ),
    "creator": (
        "creator|photographer|maker|artist|author|artist/maker|artist maker|artist display|constituent|"
        "production person|fotograf|fotografin|fotograf/in|hersteller|urheber|urheberin|urheber/in|"
        "kunstler|kuenstler|schopfer|"
        "photographe|auteur|createur|fotografo|autor|autora|creador|fotograaf|vervaardiger|maker name|dc creator|"
        "dcterms creator|entities|by|object production person"
    ),
    "date": (
        "date|date display|display date|dated|date made|date created|date of creation|production date|"
        "object date|year|creation date|date text|datierung|datum|aufnahmedatum|entstehungsdatum|entstehungszeit|"
        "jahr|aufnahmejahr|date de creation|datation|date de prise de vue|annee|date de production|fecha|"
        "fecha de creacion|datacion|ano|datering|vervaardigingsdatum|jaar|dc date|dcterms date|dcterms created|"
        "object production date|event date"
    ),
    "description": (
        "description|brief description|object description|content description|summary|abstract|"
        "physical description|beschreibung|kurzbeschreibung|bildbeschreibung|inhalt|objektbeschreibung|"
        "description du contenu|resume|descriptif|descripcion|resumen|beschrijving|omschrijving|dc description|"
        "dcterms description|dcterms abstract|scope and content"
    ),
    "place": (
        "place|location depicted|place depicted|place made|place of production|geography|geographic location|"
        "aufnahmeort|ort|ortsangabe|dargestellter ort|lieu|lieu de prise de vue|lugar|lugar de produccion|"
        "localidad|plaats|opnameplaats|dc coverage|dcterms spatial|coverage|spatial coverage|"
        "field collection place|object production place|places"
    ),
    "process": (
        "process|technique|medium|photographic process|material technique|materials|material|technik|verfahren|"
        "fotografisches verfahren|material technik|material/technik|fototechnik|procede|procede photographique|"
        "materiau|tecnica|procedimiento|soporte|techniek|procede technique|fotografisch procede|dc format|"
        "dcterms medium|materials and techniques|medium display|photographic technique|photographic medium|"
        "photographic process technique|medium technique|medium support|medium and support|techniques and materials|"
        "printing process|print process|print type|process type|technical process|type of photograph|"
        "fotografische technik|aufnahmetechnik|herstellungstechnik|herstellungsverfahren|"
        "druckverfahren|negativverfahren|technik material|trager technik|technique photographique|technique materiau|"
        "technique materiaux|technique de prise de vue|technique d impression|matiere et technique|"
        "matiere technique|materiaux et techniques|procede de prise de vue|procede d impression|procede photo|"
        "procedimiento fotografico|tecnica fotografica|proceso|proceso fotografico|material y tecnica|"
        "materiales y tecnicas|materia tecnica|fotografische techniek|materiaal techniek|materiaal en techniek|"
        "procedimento fotografico|procedimento|procedimento tecnico|materia e tecnica"
    ),
    "polarity": (
        "polarity|positive negative|positive/negative|positiv/negativ|positiv negativ|polaritat|polarite|"
        "polaridad|polariteit"
    ),
    "rights": (
        "rights|rights statement|licence|license|copyright|copyright notice|copyright holder|usage rights|"
        "rights holder|rechte|lizenz|nutzungsrechte|urheberrecht|rechteinhaber|copyrightvermerk|droits|"
        "licence d utilisation|ayant droit|derechos|licencia|titular de los derechos|rechten|licentie|"
        "rechthebbende|dc rights|dcterms rights|edm rights|" + _CREDIT_LINES
    ),
    "access": (
        "access|access status|access rights|restriction|restrictions|visibility|public access|publication status|"
        "zugang|zuganglichkeit|freigabe|offentlich zuganglich|sperrvermerk|gesperrt|sperre|sperrung|vertraulich|"
        "veroffentlichung|acces|communicabilite|diffusion|statut de diffusion|restricted|confidential|embargo|acceso|"
        "restricciones|toegang|toegankelijkheid|openbaarheid|dcterms accessrights|is public|public"
    ),
    "collection": (
        "collection|collection name|fonds|series|department|sammlung|bestand name|konvolut|nachlass|teilbestand|"
        "fonds ou collection|coleccion|fondo|collectie|deelcollectie|dcterms ispartof|dc relation|"
        "collection title|item set|parent collection"
    ),
    "picture_area": ("picture area|crop|crop area|bildausschnitt|zone de l image"),
    "reference": ("reference|reference image|clean image|referenzbild"),
}
_IDENTIFIERS = re.compile(
    r"ark|ark id|uri|url|permalink|persistent identifier|persistent id|doi|handle|uuid|guid|objectid|object_id|"
    r"system id|record id|internal id|resource id|resourceid|tms id|recordid|o id|dcterms uri|wikidata|"
    r"wikidata id|lido recid|lido record id|ca object id|mus id|objekt id|objekt uri|identifiant perenne|purl|ref|"
    r"resource ref"
)
_PREFIX = re.compile(r"^(?:dc|dcterms|lido|spectrum|ca objects?|tms|omeka|o|s|schema)[ :._]+(?=\w)")


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnMatch:
    """The catalogue's column that a header probably means; ``certainty`` is in [0, 1]."""

    column: str
    certainty: float
    reason: str


@lru_cache(maxsize=10_000)
def fold_header(header: str) -> str:
    """A header without case, accents, punctuation and surrounding space, as headers are compared."""
    decomposed = unicodedata.normalize("NFKD", header.casefold())
    letters = "".join(character for character in decomposed if not unicodedata.combining(character))
    return re.sub(r"[^\w]+|_+", " ", letters).strip()


_BY_NAME = {fold_header(name): column for column, names in _NAMES.items() for name in names.split("|")}


def match_column(header: str) -> ColumnMatch | None:
    """The catalogue's column that a museum's header probably means; None if no known name is similar."""
    folded = fold_header(header)
    if not folded:
        return None
    column = _BY_NAME.get(folded)
    if column is not None:
        is_ours = folded.replace(" ", "_") == column
        reason = "it is our own name" if is_ours else f"{header!r} is a usual name of {column}"
        certainty = 1.0 if is_ours else 0.85 if folded in _CREDIT_LINES.split("|") else 0.9
        return ColumnMatch(column=column, certainty=certainty, reason=reason)
    stripped = _PREFIX.sub("", folded)
    if stripped != folded and stripped in _BY_NAME:
        return ColumnMatch(
            column=_BY_NAME[stripped], certainty=0.8, reason=f"without its prefix, {stripped!r} is a usual name"
        )
    if near := difflib.get_close_matches(folded, _BY_NAME, n=1, cutoff=0.85):
        return ColumnMatch(column=_BY_NAME[near[0]], certainty=0.6, reason=f"it is nearly {near[0]!r}")
    return None


def is_identifier(header: str) -> bool:
    """Whether a header usually names a persistent or system identifier."""
    return _IDENTIFIERS.fullmatch(fold_header(header)) is not None


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one of ``known`` with the most similar spelling; None if none is similar."""
    by_fold = {fold_header(each): each for each in known}
    near = difflib.get_close_matches(fold_header(name), by_fold, n=1, cutoff=0.6)
    return by_fold[near[0]] if near else None
