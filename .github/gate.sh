#!/usr/bin/env bash
# The step of action.yml: pulseproof gate with what a caller gave, each value one word of the command line.
set -euo pipefail

arguments=(--study "$STUDY" --build "$BUILD" --junit "$JUNIT")
read -r -a bounds <<<"$(tr '\n' ' ' <<<"$BOUNDS")"
while read -r artifact; do
    [ -z "$artifact" ] || arguments+=(--artifact "$artifact")
done <<<"$ARTIFACTS"
while read -r device; do
    [ -z "$device" ] || arguments+=(--device "$device")
done <<<"$DEVICES"
echo "junit=$JUNIT" >>"$GITHUB_OUTPUT"
"${COMMAND:-pulseproof}" gate "${arguments[@]}" "${bounds[@]}"
