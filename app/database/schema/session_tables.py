"""Who is signed in to the console, and whom identity providers know. Only hashes of tokens are kept."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, LargeBinary, String, Table

from app.database.schema.base import ID, NAME, metadata

# user_id NULL: the admin key, which belongs to nobody. role NULL: the user's own role. `ends_at_ms` is the absolute
# end; a session that is not used ends before.
sessions = Table(
    "sessions",
    metadata,
    Column("id", ID, primary_key=True),  # public: listings and revoking name it
    Column("token_sha256", LargeBinary(32), nullable=False, unique=True),
    Column("user_id", ID, ForeignKey("users.id"), nullable=True, index=True),
    Column("role", String(16), nullable=True),
    Column("method", String(16), nullable=False),  # link | admin-key | oidc | proxy
    Column("user_agent", NAME, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("seen_at_ms", BigInteger, nullable=False),
    Column("ends_at_ms", BigInteger, nullable=False),
)

# A link that opens a session once. `is_direct`: fetching it is enough, without a button to press.
login_links = Table(
    "login_links",
    metadata,
    Column("token_sha256", LargeBinary(32), primary_key=True),
    Column("user_id", ID, ForeignKey("users.id"), nullable=False),
    Column("role", String(16), nullable=True),
    Column("is_direct", Boolean, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
)

# A person whom an identity provider knows, and the user it is. `is_followed`: the user was made by signing in, and the
# provider's groups go on deciding their team and role.
identities = Table(
    "identities",
    metadata,
    Column("issuer", String(255), primary_key=True),
    Column("subject", String(255), primary_key=True),
    Column("user_id", ID, ForeignKey("users.id"), nullable=False, index=True),
    Column("is_followed", Boolean, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
)
