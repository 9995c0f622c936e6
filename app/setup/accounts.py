"""The ZenMux accounts of gateway.yaml, with their keys. Pure."""

from app.settings.accounts import AccountSpec, check_accounts
from app.setup.document import AccountPart
from app.setup.reading import SetupFile
from app.setup.secrets import Secrets
from app.setup.tree import Path


def accounts_of(file: SetupFile, secrets: Secrets) -> tuple[AccountSpec, ...]:
    """In the order of the file; none if it has none.

    Raises SetupError with the line of the account that has no key, or that does not go with the others.
    """

    def spec(name: str, part: AccountPart) -> AccountSpec:
        path: Path = ("accounts", name)
        if part.key_env is None and part.key_file is None:
            file.tree.refuse(path, "no setting names the accounts, so name the key with key_env or with key_file")
        management = secrets.find(path, part.management_key_env, part.management_key_file)
        if management is not None and not management.get_secret_value().startswith("sk-mg-"):
            file.tree.refuse(path, "a management key begins with sk-mg-")
        return AccountSpec(
            name,
            secrets.find(path, part.key_env, part.key_file),
            part.weight,
            None if part.base_url is None else str(part.base_url),
            management,
            tuple(part.models or ()),
        )

    specs = [spec(name, part) for name, part in file.document.accounts.items()]
    try:
        return check_accounts(specs)
    except ValueError as error:
        file.tree.refuse(("accounts",), str(error))
