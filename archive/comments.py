"""Comments: a person's note on a rectangle of a derivative."""

from __future__ import annotations

from archive.catalogue import Catalogue
from archive.catalogue.events import person_agent
from archive.catalogue.schema.tables import Derivative, Master
from archive.catalogue.schema.web_review_tables import Comment
from archive.errors import NotFoundError, UsageError

MAXIMUM_LENGTH = 2000


def add_comment(
    catalogue: Catalogue, derivative_id: int, *, x: int, y: int, width: int, height: int, text: str, author: str
) -> Comment:
    """Adds a note on a rectangle, in pixels of the upright picture.

    Raises:
        NotFoundError: the derivative does not exist, or was removed meanwhile.
        UsageError: the text is empty or too long, or the rectangle is not inside the picture.
    """
    text = text.strip()
    if not text or len(text) > MAXIMUM_LENGTH:
        raise UsageError(f"a comment needs a text of 1 to {MAXIMUM_LENGTH} characters")
    with catalogue.session() as session:
        # The lock that the comment's foreign key takes: now, so that a removal at the same moment is seen here.
        derivative = session.get(Derivative, derivative_id, with_for_update={"read": True, "key_share": True})
        if derivative is None:
            raise NotFoundError(f"No derivative {derivative_id}.")
        master = session.get_one(Master, derivative.master_id)
        if x < 0 or y < 0 or width < 1 or height < 1 or x + width > master.width or y + height > master.height:
            raise UsageError(
                f"the rectangle {x} {y} {width} {height} (x y width height) is not inside the picture of "
                f"{master.width}x{master.height} px"
            )
        comment = Comment(
            derivative_id=derivative_id,
            x=x,
            y=y,
            width=width,
            height=height,
            text=text,
            agent=person_agent(session, author),
            at=catalogue.now(session),
        )
        session.add(comment)
        session.flush()
    return comment
