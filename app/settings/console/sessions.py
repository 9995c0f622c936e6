"""Who may sign in to the console, and for how long."""

from typing import Self

from pydantic import BaseModel, Field, PrivateAttr, model_validator

from app.settings.console.providers import SignInSpec
from app.settings.values import Networks


class ConsoleSettings(BaseModel):
    """Who may sign in to the console, and for how long."""

    console: bool | None = Field(
        None,
        description="true or false: the pages at /console; unset: true if somebody can sign in, as with an admin key.",
    )
    console_admin_key_login: bool = Field(
        default=True, description="GATEWAY_ADMIN_KEY signs in at /console too; switch it off once people can."
    )
    console_proxy_header: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9-]{1,100}$",
        description="The header in which a proxy of yours names the user it has signed in, as X-Forwarded-User.",
    )
    console_proxy_cidrs: Networks = Field(
        (), description="The addresses of that proxy; the header is believed from nobody else: 10.0.0.5, 10.1.0.0/16."
    )
    session_idle_seconds: int = Field(
        28_800, ge=60, le=604_800, description="A session of the console that is not used for so long ends."
    )
    session_seconds: int = Field(
        604_800, ge=60, le=2_592_000, description="A session of the console ends so long after its login, used or not."
    )

    _sign_in: SignInSpec = PrivateAttr(SignInSpec())

    @model_validator(mode="after")
    def _believes_a_header_from_somebody(self) -> Self:
        if (self.console_proxy_header is None) != (not self.console_proxy_cidrs):
            raise ValueError(
                "GATEWAY_CONSOLE_PROXY_HEADER and GATEWAY_CONSOLE_PROXY_CIDRS belong together; set both, or none"
            )
        return self

    @property
    def sign_in(self) -> SignInSpec:
        """The identity providers, which stand in gateway.yaml."""
        return self._sign_in

    def with_sign_in(self, sign_in: SignInSpec) -> Self:
        """The same settings with these identity providers."""
        changed = self.model_copy()
        changed._sign_in = sign_in  # noqa: SLF001 - of the same class
        return changed
