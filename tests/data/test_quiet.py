"""Pillow is kept quiet about odd image files."""

from __future__ import annotations

import logging

from reprbench.data.image_files import quiet


def test_pillow_gets_one_handler_however_often_it_is_kept_quiet():
    for _ in range(3):
        with quiet():
            pass
    handlers = logging.getLogger("PIL").handlers
    assert len([one for one in handlers if isinstance(one, logging.NullHandler)]) == 1
