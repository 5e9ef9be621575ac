"""Files of rows, and benchmarks that read them."""

from __future__ import annotations

import json


def write(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return path


def load(benchmark, data_dir, **options):
    return list(benchmark(len, data_dir=data_dir, **options))
