#!/bin/sh
# Build an image: docker/build.sh board (for linux/arm64, what a device needs) or docker/build.sh full (for this machine).
set -eu
cd "$(dirname "$0")/.."
target=${1:-board}
case $target in
    board) platform=${PLATFORM:-linux/arm64} ;;
    full) platform=${PLATFORM:-} ;;
    *) echo "docker/build.sh: no image '$target'; there are board and full" >&2; exit 2 ;;
esac
if ! command -v docker >/dev/null; then
    echo "docker/build.sh: docker is not installed here; nothing else in Pulseproof needs it" >&2
    exit 2
fi
set -- docker build --file docker/Dockerfile --target "$target" --tag "pulseproof-$target"
[ -z "$platform" ] || set -- "$@" --platform "$platform"
exec "$@" .
