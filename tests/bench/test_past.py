"""The past that lists are measured with has rows for each of them."""

from pathlib import Path

from app.admin.operator import Operator
from app.admin.reads.jobs import JobFilter, list_jobs
from app.admin.reads.others import FileFilter, list_kept_files, list_refusals
from app.admin.reads.requests import RequestFilter, list_requests
from app.admin.users import list_users
from app.database.engine import opened
from app.main import utc_now
from app.quotas.reports.lists.refusals import WantedRefusals
from bench.growth import NOW, Load
from bench.past import list_more, make_past


def test_no_list_is_empty(tmp_path: Path) -> None:
    url, load = f"sqlite:///{tmp_path / 'past.db'}", Load(400, 20)
    make_past(url, load)
    list_more(url, load)
    with opened(url) as engine:
        operator = Operator(engine, utc_now, "bench")
        month = WantedRefusals(NOW.replace(month=10, day=25), NOW.replace(day=25))
        requests = {row["id"]: row for row in list_requests(operator, RequestFilter()).rows}
        jobs = list_jobs(operator, JobFilter()).rows
        assert len(requests) == len(jobs) == len(list_kept_files(operator, FileFilter()).rows) == 100
        assert len(list_refusals(operator, month, None, 1000).rows) == load.records
        assert len(list_users(operator)) == 1000
        newest = requests[jobs[0]["request_id"]]
        assert (newest["key_id"], newest["user_id"]) == (jobs[0]["key_id"], jobs[0]["user_id"])
