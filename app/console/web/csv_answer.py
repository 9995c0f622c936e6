"""A table as a CSV file, safe to open in a spreadsheet."""

import csv
import io
from collections.abc import Iterable, Sequence

from starlette.responses import Response

from app.admin.csv_cells import csv_text


def csv_answer(name: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> Response:
    """The file as a download. Numbers stay numbers; texts cannot run as formulas."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(head)
    for row in rows:
        writer.writerow([csv_text(cell) if isinstance(cell, str) else "" if cell is None else cell for cell in row])
    return Response(
        text.getvalue().encode(),
        headers={
            "content-disposition": f'attachment; filename="{name}.csv"',
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
        },
        media_type="text/csv",
    )
