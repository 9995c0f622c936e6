"""What a page says after a change, by the word that a redirect carries: never text out of an address. Pure."""

NOTICES = {
    "limit-set": "The limit is set. What was used already counts.",
    "limit-raised": "The limit is raised until then; afterwards the old amount counts again.",
    "limit-removed": "The limit is removed.",
    "user-made": "The user is made, with the default limits.",
    "user-disabled": "The user is disabled. Their keys stop working within seconds, their sessions now.",
    "user-enabled": "The user is enabled again.",
    "team-made": "The team is made.",
    "team-set": "The user's team is changed. What was used before stays with the old team.",
    "key-disabled": "The key is disabled. It stops working within seconds.",
    "key-enabled": "The key works again.",
    "image-deleted": "It is deleted. What was bought stays charged.",
    "session-ended": "The session is ended.",
    "account-rested": "The account rests. Requests go to the others.",
    "account-resumed": "The account is in use again.",
    "expired": "The reservations of dead processes are closed.",
    "nothing-to-expire": "No reservation belongs to a dead process; nothing was changed.",
    "signed-out": "You are signed out.",
}
