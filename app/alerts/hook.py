"""Where events are sent and what signs them, from the settings. Sends nothing."""

from dataclasses import dataclass, field

from app.errors import ConfigurationError
from app.settings.settings import Settings


@dataclass(frozen=True, slots=True)
class Hook:
    """Where events are sent, and the secret that signs them."""

    url: str
    secret: bytes = field(repr=False)


def webhook_of(settings: Settings) -> Hook | None:
    """Where threshold events are sent; None for nowhere. Raises ConfigurationError if there is no secret to sign
    them.
    """
    if settings.webhook_url is None:
        return None
    if settings.webhook_secret is None:
        raise ConfigurationError(
            "GATEWAY_WEBHOOK_URL needs GATEWAY_WEBHOOK_SECRET, or nobody could tell that the gateway wrote. "
            "Make one with openssl rand -hex 32, and give it to the receiver too."
        )
    return Hook(settings.webhook_url, settings.webhook_secret.get_secret_value().encode())
