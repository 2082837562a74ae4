#!/bin/sh
# Sets Maze up in .venv beside this checkout; nothing has to be activated, nothing outside is changed.
#
#   sh deploy/venv.sh         the project itself:         .venv/bin/maze run examples/quickstart.py
#   sh deploy/venv.sh test    and all that tests need:    .venv/bin/tox
#
# Takes the newest Python >= 3.11 that runs. Repeating it is harmless and quick. As root on Debian and Ubuntu it installs
# python3-venv if there is no other way to make an environment; otherwise it ends with the one line to type.
set -eu

cd "$(dirname "$0")/.."
extra=
case "${1-}" in
    '') ;;
    test) extra='[dev]' ;;
    *) echo "usage: sh deploy/venv.sh [test]" >&2; exit 2 ;;
esac

say() { printf 'maze: %s\n' "$*"; }
fail() { printf 'maze: %s\n' "$*" >&2; exit 1; }

# Whether $1 is a Python of version $2 (such as 3.12), or of any version that we support if $2 is not given.
# Only running it tells: a pyenv shim is on PATH for versions that are not installed.
works() {
    "$1" -c 'import sys
wanted = sys.argv[1:]
version = ".".join(map(str, sys.version_info[:2]))
sys.exit(version not in wanted if wanted else sys.version_info < (3, 11))' ${2+"$2"} >/dev/null 2>&1
}

# Prints the newest Python on PATH that works, or else the newest that pyenv keeps.
newest_python() {
    for candidate in python3.13 python3.12 python3.11 python3; do
        works "$candidate" && command -v "$candidate" && return 0
    done
    for version in 3.13 3.12 3.11; do
        find_python "$version" && return 0
    done
    return 1
}

# Prints a Python of version $1: on PATH, as plain python3, or among those that pyenv keeps.
find_python() {
    for candidate in "python$1" python3 "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python3; do
        works "$candidate" "$1" && command -v "$candidate" && return 0
    done
    return 1
}

make_venv() {
    rm -rf .venv
    "$python" -m venv .venv >/dev/null 2>&1 && return 0
    # Debian's Python without python3-venv fails half way and leaves a directory behind.
    rm -rf .venv
    if command -v uv >/dev/null 2>&1; then
        uv venv --quiet --seed --python "$python" .venv && return 0
        rm -rf .venv
    fi
    if command -v virtualenv >/dev/null 2>&1; then
        virtualenv --quiet --python "$python" .venv && return 0
        rm -rf .venv
    fi
    return 1
}

install_system_venv() {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    say "installing the system package python$version-venv"
    apt-get -qq update >/dev/null || true
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y "python$version-venv" >/dev/null 2>&1 ||
        DEBIAN_FRONTEND=noninteractive apt-get -qq install -y python3-venv >/dev/null
}

create() {
    python=$(newest_python) || fail "no Python 3.11 or newer on PATH; type: sudo apt-get install -y python3 python3-venv"
    say "making .venv with $("$python" --version)"
    make_venv && return 0
    install_system_venv && make_venv && return 0
    fail "cannot make a virtual environment; type: sudo apt-get install -y python3-venv && sh deploy/venv.sh ${1-}"
}

# tox looks for its interpreters here. Small scripts instead of links: a linked Python would find .venv/pyvenv.cfg in the
# directory above it and take itself for the Python of that environment.
list_pythons() {
    mkdir -p .venv/pythons
    for version in 3.11 3.12 3.13; do
        rm -f ".venv/pythons/python$version"
        found=$(find_python "$version") || continue
        found=$("$found" -c 'import sys; print(getattr(sys, "_base_executable", sys.executable))')
        # shellcheck disable=SC2016
        printf '#!/bin/sh\nexec "%s" "$@"\n' "$found" >".venv/pythons/python$version"
        chmod +x ".venv/pythons/python$version"
    done
}

works .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1 || create "$@"

stamp="$(cksum <pyproject.toml) $PWD $extra"
if [ "$(cat .venv/.installed 2>/dev/null || true)" != "$stamp" ] || ! .venv/bin/maze --version >/dev/null 2>&1; then
    say "installing maze-cluster$extra into .venv"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".$extra"
    printf '%s' "$stamp" >.venv/.installed
fi

if [ -n "$extra" ]; then
    list_pythons
    say "ready for tests on $(cd .venv/pythons && echo python3*); type: .venv/bin/tox"
else
    say "ready; try: .venv/bin/maze run examples/quickstart.py"
fi
