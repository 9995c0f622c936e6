"""Findings of one check: so many, then how many more."""

from app.quotas.reports.findings import Finding, Severity, summarized


def findings(count: int) -> list[Finding]:
    return [Finding(Severity.ERROR, "counters", f"counter {number}", "is wrong") for number in range(count)]


def test_few_findings_stay_as_they_are() -> None:
    assert list(summarized(findings(3), 3)) == findings(3)
    assert list(summarized([])) == []


def test_the_rest_of_many_is_one_that_counts_them() -> None:
    *shown, last = summarized(iter(findings(1000)), 3)
    assert shown == findings(3)
    assert last == Finding(Severity.ERROR, "counters", "", "and 997 more like these")
