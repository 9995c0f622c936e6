"""Image files for tests, made as they are needed."""

import base64
import io

from PIL import Image


def image_file(size: tuple[int, int] = (64, 64), kind: str = "PNG", colour: str = "#00ff00") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


def mask_file(size: tuple[int, int] = (64, 64)) -> bytes:
    """A mask of which the left half may change."""
    mask, buffer = Image.new("RGBA", size, (0, 0, 0, 255)), io.BytesIO()
    mask.paste((0, 0, 0, 0), (0, 0, size[0] // 2, size[1]))
    mask.save(buffer, "PNG")
    return buffer.getvalue()


def large_image(size_bytes: int) -> bytes:
    """A PNG's head, and filling up to the size: what looks at heads takes it for an image."""
    head = image_file()[:33]
    return head + b"\x00" * (size_bytes - len(head))


def data_url(file: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(file).decode()}"
