#!/bin/sh
# A step of services/Dockerfile: installs what uv.lock names for $SERVICE into /app, and writes /app/sbom.cdx.json.
# $@: further arguments of `uv sync`. With TORCH_INDEX, torch of the locked version comes from there, and what only
# the CUDA build needs stays out; uv.lock has no hashes for it, so that index is trusted.
set -eu
export UV_PROJECT_ENVIRONMENT=/app
[ -n "${UV_DEFAULT_INDEX:-}" ] || unset UV_DEFAULT_INDEX
locked() { sed -n "/^name = \"$1\"\$/{n;s/^version = \"\(.*\)\"\$/\1/p}" uv.lock; }

set -- --frozen --no-dev --package "reel-$SERVICE" --extra otel "$@"
if [ -n "${TORCH_INDEX:-}" ]; then
    set -- "$@" --inexact # else the second step would take torch away again
    for package in torch torchvision triton $(sed -n 's/^name = "\(nvidia-.*\)"$/\1/p; s/^name = "\(cuda-.*\)"$/\1/p' uv.lock); do
        set -- "$@" --no-install-package "$package"
    done
fi
.uv/uv sync "$@"
if [ -n "${TORCH_INDEX:-}" ] && [ ! -e /app/torch-index ]; then
    .uv/uv pip install --python /app/bin/python --no-deps --index-url "$TORCH_INDEX" \
        "torch==$(locked torch)" "torchvision==$(locked torchvision)"
    echo "$TORCH_INDEX" >/app/torch-index
fi
.uv/uv export --quiet --frozen --no-dev --package "reel-$SERVICE" --extra otel --no-emit-workspace --format cyclonedx1.5 \
    --output-file /app/sbom.cdx.json >/dev/null
