#!/bin/sh
# Compiles the native addon, only what changed. Takes Node's headers from beside node where they are (Debian-style
# packages have them); otherwise node-gyp looks for them itself.
set -eu
cd "$(dirname "$0")/.."
headers=""
prefix=$(node -p 'require("node:path").resolve(process.execPath, "../..")')
if [ -f "$prefix/include/node/node.h" ]; then headers="--nodedir=$prefix"; fi
npx node-gyp configure --directory=native --loglevel=warn $headers
npx node-gyp build --directory=native --loglevel=warn --jobs=max $headers
