"""Files in one ZIP: the same files give the same bytes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping


def packed(members: Mapping[str, bytes]) -> bytes:
    """A ZIP of these members, in this order, dated 1980, the first day a ZIP can name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            member = zipfile.ZipInfo(name)
            member.create_system, member.external_attr = 3, 0o644 << 16  # the same on every system
            # A PNG is as small as it gets.
            kind = zipfile.ZIP_STORED if data.startswith(b"\x89PNG") else zipfile.ZIP_DEFLATED
            archive.writestr(member, data, kind)
    return buffer.getvalue()
