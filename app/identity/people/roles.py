"""The roles that people and keys have. What each may do is in admin/access/permissions.py. Pure."""

from enum import StrEnum


class Role(StrEnum):
    """From the one that may do most to the one that may do least. Whoever has no role is a member."""

    ADMIN = "admin"
    AUDITOR = "auditor"
    LEAD = "lead"
    MEMBER = "member"
