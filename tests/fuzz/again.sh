#!/bin/sh
# libFuzzer merges corpora in processes of its own: this starts the same fuzzer again (harness.py sets the names).
exec "$OPSD_FUZZ_PYTHON" "$OPSD_FUZZ_SCRIPT" "$@"
