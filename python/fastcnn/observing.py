"""Who is told about ops, backward, layers and optimizer steps: the `fastcnn.profile` being made, if any."""

from __future__ import annotations

from typing import Any

observer: Any = None
