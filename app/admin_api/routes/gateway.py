"""/admin/v1/changes, catalog, accounts, reconciliations and files: what the gateway knows of itself and of ZenMux."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field
from starlette.responses import Response

from app.admin.access.permissions import Permission, permit
from app.admin.catalog import model_json
from app.admin.changes import change_json, list_changes
from app.admin.operator import Operator
from app.admin.reads.others import FileFilter, list_kept_files, list_reconciliations
from app.admin.reads.pages import page_of_rows
from app.admin.zenmux.accounts import AccountView, list_accounts, rest_account, resume_account, show_account
from app.admin_api.calls import ChangingCall, NoQuery, ReadingCall, Strict, thing
from app.admin_api.filters import TimesQuery, Word
from app.admin_api.lists import PageQuery, listed, page_answer, page_of, unknown_after
from app.admin_api.requests import StrictRoute, of_field
from app.admin_api.shapes.basics import DryRunShape, ListShape
from app.admin_api.shapes.records import AccountShape, FileShape, ListedChangeShape, ModelShape, ReconciliationShape
from app.admin_api.times import Moment
from app.database.changes import Wanted
from app.quotas.reports.reconciliations import WantedChecks

router = APIRouter(prefix="/admin/v1", tags=["gateway"], route_class=StrictRoute)

AccountName = Annotated[str, Path(description="The account's name.", max_length=200)]


class ChangesQuery(TimesQuery):
    """Which changes."""

    actor: Word = Field(None, description="Any part of who made it.")
    target: Word = Field(None, description="A user, team or key, with limits on it; by name or id.")


class FilesQuery(TimesQuery):
    """Which files."""

    user: Word = Field(None, description="Only of the user with this name or id.")


class RestBody(Strict):
    """How long an account is left out."""

    until: Moment | None = Field(None, description="Until then; null: until it is resumed.")


@router.get("/changes", response_model=ListShape[ListedChangeShape])
async def list_all_changes(request: Request, call: ReadingCall, asked: Annotated[ChangesQuery, Query()]) -> Response:
    """Who changed what, the newest first. The list only grows."""
    before_id = None
    if asked.after is not None:
        if not asked.after.isascii() or not asked.after.isdecimal() or len(asked.after) > 18:
            raise unknown_after()
        before_id = int(asked.after)
    wanted = Wanted(asked.since, asked.until, asked.actor, asked.target, before_id=before_id)

    def answer(operator: Operator) -> Response:
        with list_changes(operator, wanted, asked.limit + 1) as found:
            rows = [change_json(each) | {"id": str(each.id)} for each in found]
        return page_answer(request, ListedChangeShape, "change", page_of_rows(rows, asked.limit))

    return await call.answer(answer)


@router.get("/catalog", response_model=ListShape[ModelShape])
async def list_catalog(request: Request, call: ReadingCall, asked: Annotated[PageQuery, Query()]) -> Response:
    """The models that can be asked for: what each accepts and costs."""
    permit(call.principal, Permission.READ_CATALOG)
    models = call.services.policy.catalog.models

    def answer(_: Operator) -> Response:
        rows, has_more = page_of([{"object": "model", **model_json(spec)} for spec in models], asked)
        return listed(request, ModelShape, rows, has_more=has_more)

    return await call.answer(answer)


@router.get("/accounts", response_model=ListShape[AccountShape])
async def list_all_accounts(request: Request, call: ReadingCall, asked: Annotated[PageQuery, Query()]) -> Response:
    """The ZenMux accounts, with what the running processes say of each."""
    specs = call.services.settings.accounts

    def answer(operator: Operator) -> Response:
        views = list_accounts(operator, specs)
        rows, has_more = page_of([{"object": "account", **view.as_thing()} for view in views], asked)
        return listed(request, AccountShape, rows, has_more=has_more)

    return await call.answer(answer)


@router.get("/accounts/{name}", response_model=AccountShape)
async def show_one_account(name: AccountName, call: ReadingCall, _: NoQuery) -> Response:
    """One account."""
    specs = call.services.settings.accounts
    return await call.show("account", lambda operator: show_account(operator, specs, name).as_thing())


@router.post("/accounts/{name}/rest", response_model=AccountShape | DryRunShape)
async def rest_one_account(name: AccountName, body: RestBody, call: ChangingCall) -> Response:
    """Takes an account out, in every process."""
    specs = call.services.settings.accounts
    return await call.change(lambda operator: rest_account(operator, specs, name, body.until), _account)


@router.post("/accounts/{name}/resume", response_model=AccountShape | DryRunShape)
async def resume_one_account(name: AccountName, _: Strict, call: ChangingCall) -> Response:
    """Takes an account in again, in every process, whatever kept it out."""
    specs = call.services.settings.accounts
    return await call.change(lambda operator: resume_account(operator, specs, name), _account)


@router.get("/reconciliations", response_model=ListShape[ReconciliationShape])
async def list_all_reconciliations(
    request: Request, call: ReadingCall, asked: Annotated[TimesQuery, Query()]
) -> Response:
    """Days that were compared with ZenMux's bill (`ledger reconcile`), the newest first."""
    wanted = WantedChecks(asked.since, asked.until)

    def answer(operator: Operator) -> Response:
        page = list_reconciliations(operator, wanted, asked.after, asked.limit)
        return page_answer(request, ReconciliationShape, "reconciliation", page)

    with of_field("after"):
        return await call.answer(answer)


@router.get("/files", response_model=ListShape[FileShape])
async def list_all_files(request: Request, call: ReadingCall, asked: Annotated[FilesQuery, Query()]) -> Response:
    """Files that are kept for a time, the newest first: whose they are, how large, and until when. No links."""
    wished = FileFilter(asked.user, asked.since, asked.until, asked.after, asked.limit)
    with of_field("after"):
        return await call.answer(
            lambda operator: page_answer(request, FileShape, "file", list_kept_files(operator, wished))
        )


def _account(done: AccountView) -> Response:
    return thing("account", done.as_thing())
