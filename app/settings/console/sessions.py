"""Who may sign in to the console, and for how long."""

from pydantic import BaseModel, Field


class ConsoleSettings(BaseModel):
    """Who may sign in to the console, and for how long."""

    console: bool | None = Field(
        None,
        description="true or false: the pages at /console; unset: true if somebody can sign in, as with an admin key.",
    )
    console_admin_key_login: bool = Field(
        default=True, description="GATEWAY_ADMIN_KEY signs in at /console too; switch it off once people can."
    )
    session_idle_seconds: int = Field(
        28_800, ge=60, le=604_800, description="A session of the console that is not used for so long ends."
    )
    session_seconds: int = Field(
        604_800, ge=60, le=2_592_000, description="A session of the console ends so long after its login, used or not."
    )
