#!/usr/bin/env bash
# Every measurement that wants a GPU; tools/gpu.py says what, and what it needs.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-$(test -x .venv/bin/python && echo .venv/bin/python || echo python3)}
exec "$PYTHON" -u -m tools.gpu "$@"
