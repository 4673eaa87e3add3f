"""How this door names whoever was found."""

from app.store.errors import DatabaseUnavailable
from app.usecases import named
from app.usecases.matching import Match


def word_of(match: Match) -> str:
    """The subject. Raises DatabaseUnavailable where names cannot be read: an id would be taken
    for a name."""
    if match.person is None:
        raise DatabaseUnavailable("Names of subjects cannot be read at the moment. Try again.")
    return named.word_for(match.person)
