"""What is kept of the own images: files behind links, by the request that made them. Never a prompt."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from app.admin.operator import Operator
from app.errors import NotPermitted
from app.files.store.index import StoredFile, images_of

_IMAGES_MAX = 500


def own_images(operator: Operator, since: datetime) -> Mapping[str, Sequence[StoredFile]]:
    """The newest images that were made since then for the one who acts, and have not expired, by their requests' ids.

    Their ids are a part of their links' secret: show them to nobody else. Raises NotPermitted for who is no user.
    """
    user_id = None if operator.principal is None else operator.principal.user_id
    if user_id is None:
        raise NotPermitted("Images belong to users. Sign in as one.")
    found = defaultdict[str, list[StoredFile]](list)
    with operator.reading() as connection:
        for file in images_of(connection, user_id, since, operator.now, _IMAGES_MAX):
            found[file.request_id].append(file)
    return found
