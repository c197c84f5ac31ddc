#!/bin/sh
# Installs what the optional contestants of the benchmarks need, and says so:
#   compiler and pkg-config   the C floors (bench/native/Makefile)
#   libdpdk-dev, librte-net-memif23   memif
#   libiceoryx-posh-dev, libacl1-dev  iceoryx
#   bench/node_modules (npm ci)       zeromq.js
# Everything but the compiler may be absent: the benchmark then prints "absent: reason" and makes no row of it.
set -u
here=$(cd "$(dirname "$0")" && pwd)
missing=''

install() {
  echo "installing: $*"
  apt-get install -y -q -o DPkg::Lock::Timeout=300 "$@" >/dev/null 2>&1 || missing="$missing $*"
}

if [ "$(id -u)" -ne 0 ]; then
  echo "not root: Debian packages are left as they are"
else
  apt-get update -q >/dev/null 2>&1 || echo "apt-get update failed: using the lists that are there"
  install gcc g++ make pkg-config
  install libdpdk-dev librte-net-memif23
  install libiceoryx-posh-dev libacl1-dev
fi
echo "installing: npm packages of bench/"
npm ci --prefix "$here" --no-audit --no-fund --loglevel=error || missing="$missing npm:bench"
[ -z "$missing" ] || echo "could not install:$missing"
exit 0
