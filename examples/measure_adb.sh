#!/bin/sh
# Times an ONNX file on an Android phone: measure_adb.sh FILE. First push onnxruntime_perf_test and
# libonnxruntime.so of an Android build of ONNX Runtime to this folder of the phone. Several phones: ANDROID_SERIAL.
set -eu
folder=/data/local/tmp/nas
adb push "$1" "$folder/model.onnx" >&2
report=$(adb shell "cd $folder && LD_LIBRARY_PATH=. ./onnxruntime_perf_test \
    -I -m times -r 50 -x $NAS_THREADS -f batch:$NAS_BATCH model.onnx")
echo "$report" | awk '/^P50 Latency:/ { print 1000 * $3; found = 1 } END { exit !found }'
