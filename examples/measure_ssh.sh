#!/bin/sh
# Times an ONNX file on a board: measure_ssh.sh USER@HOST FILE. The board needs python3 with onnxruntime,
# and lets us in without a password.
set -eu
host=$1 file=$2
folder=$(ssh -o BatchMode=yes "$host" mktemp -d)
trap 'ssh -o BatchMode=yes "$host" rm -r "$folder"' EXIT
scp -q -o BatchMode=yes "$(dirname "$0")/time_onnx.py" "$file" "$host:$folder" >&2
ssh -o BatchMode=yes "$host" \
    NAS_THREADS="$NAS_THREADS" NAS_BATCH="$NAS_BATCH" python3 "$folder/time_onnx.py" "$folder/$(basename "$file")"
