"""The day on which tests of pure rules take place: before any listed model ends."""

from datetime import date

TODAY = date(2026, 11, 28)
