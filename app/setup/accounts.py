"""The ZenMux accounts of gateway.yaml, with their keys from the environment and from files. Pure: both come as
arguments. No message repeats a key.
"""

from collections.abc import Callable, Mapping

from pydantic import SecretStr

from app.settings.accounts import AccountSpec, check_accounts
from app.setup.document import AccountPart
from app.setup.reading import SetupFile
from app.setup.tree import Path


def accounts_of(
    file: SetupFile, environment: Mapping[str, str], read_text: Callable[[str], str]
) -> tuple[AccountSpec, ...]:
    """In the order of the file; none if it has none. `read_text` gives the content of a file, or raises OSError.

    Raises SetupError with the line of the account that has no key, or that does not go with the others.
    """

    def secret(path: Path, variable: str | None, name: str | None) -> SecretStr | None:
        if variable is not None:
            found = environment.get(variable, "").strip()
            if not found:
                file.tree.refuse(path, f"the environment variable {variable} is not set")
        elif name is not None:
            try:
                found = read_text(name).strip()
            except (OSError, UnicodeDecodeError) as error:
                file.tree.refuse(path, f"the file {name} cannot be read: {_reason(error)}")
            if not found:
                file.tree.refuse(path, f"the file {name} is empty")
        else:
            return None
        return SecretStr(found)

    def spec(name: str, part: AccountPart) -> AccountSpec:
        path: Path = ("accounts", name)
        management = secret(path, part.management_key_env, part.management_key_file)
        if management is not None and not management.get_secret_value().startswith("sk-mg-"):
            file.tree.refuse(path, "a management key begins with sk-mg-")
        return AccountSpec(
            name,
            secret(path, part.key_env, part.key_file),
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


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or "it cannot be opened" if isinstance(error, OSError) else "it is not UTF-8 text"
