"""The keys of somebody who is signed in: as which caller one of them buys without its secret."""

from app.admin.operator import Operator
from app.errors import Conflict, NotFound
from app.identity.keys.credentials import Caller, read_credential_of


def caller_of_own_key(operator: Operator, key_id: str) -> Caller:
    """As whom a request is made that is charged to this key of the one who acts. A key of somebody else is answered as
    if it were not there, whatever the role.

    Raises NotFound; Conflict for a key that would be refused, in the words that its holder would read.
    """
    owner = None if operator.principal is None else operator.principal.user_id
    with operator.reading() as connection:
        credential = read_credential_of(connection, key_id)
    if credential is None or owner is None or credential.caller.user_id != owner:
        raise NotFound("There is no such key of yours. Choose one of those on the page Keys.")
    refusal = credential.refusal(operator.now)
    if refusal is not None:
        raise Conflict(f"{refusal} Choose another key.")
    return credential.caller
