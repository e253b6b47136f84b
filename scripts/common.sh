# Sourced by the gates beside it, which set -euo pipefail: where they work, and how each gets what it needs.
# shellcheck shell=bash

shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
# What the gates build beside the crate: tools, rewritten copies of the tree, logs.
gates=$target/gates
mkdir -p "$gates"

# The versions that the gates were written against. A tool that is installed already is used as it is.
declare -A tool_version=(
    [cargo-deny]=0.20.2
    [cargo-fuzz]=0.13.2
    [cargo-hack]=0.6.46
    [cargo-mutants]=27.1.0
    [cargo-nextest]=0.9.143
    [cargo-semver-checks]=0.51.0
)

note() { printf '    %s\n' "$*"; }
die() {
    printf '    error: %s\n' "$*" >&2
    exit 1
}

as_root() {
    if [[ $EUID -eq 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "needs root or sudo for: $*"
    fi
}

# apt_get ARGUMENT...: apt-get, which waits for ten minutes while another program holds one of the package
# manager's locks, as a fresh virtual machine's own updates do. apt's own option for that,
# DPkg::Lock::Timeout, leaves out the lock of the package lists.
apt_get() {
    local errors status until=$((SECONDS + 600)) said=
    errors=$(mktemp)
    while true; do
        status=0
        as_root env LC_ALL=C DEBIAN_FRONTEND=noninteractive ${APT_CONFIG:+APT_CONFIG="$APT_CONFIG"} \
            apt-get -qq "$@" 2>"$errors" || status=$?
        if ((status == 0)) || ((SECONDS >= until)) || ! grep -qE 'Could not get lock|Unable to (lock|acquire)' "$errors"; then
            cat "$errors" >&2
            rm -f "$errors"
            return "$status"
        fi
        if [[ -z $said ]]; then
            note "another program holds the package manager's lock; waiting for up to ten minutes"
            said=yes
        fi
        sleep 1
    done
}

apt_lists_are_new=
apt_install() {
    command -v apt-get >/dev/null || die "no apt-get here; install these yourself: $*"
    [[ -n $apt_lists_are_new ]] || apt_get update
    apt_lists_are_new=yes
    apt_get install -y --no-install-recommends "$@" >/dev/null
}

# need_command COMMAND PACKAGE...: installs Debian's packages unless the command is there.
need_command() {
    local command=$1
    shift
    if ! command -v "$command" >/dev/null; then
        note "$command is missing; installing $*"
        apt_install "$@"
        command -v "$command" >/dev/null || die "$* did not bring $command"
    fi
}

# need_server COMMAND SERVICE PACKAGE...: the same for a server. Debian's package starts a service where it
# can, which is stopped: the tests start servers of their own, on free ports.
need_server() {
    local command=$1 service=$2
    shift 2
    if ! command -v "$command" >/dev/null; then
        need_command "$command" "$@"
        as_root service "$service" stop >/dev/null 2>&1 || true
    fi
}

# PostgreSQL's programs are not on the PATH; the tests know where Debian puts them.
need_postgresql() {
    if ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
        note 'initdb is missing; installing postgresql'
        apt_install postgresql
        as_root service postgresql stop >/dev/null 2>&1 || true
    fi
}

# need_tool NAME: builds a cargo subcommand into the target directory unless there is one on PATH.
# Without optimization: that halves the build, and each tool runs for seconds here.
need_tool() {
    export PATH=$gates/tools/bin:$PATH
    if ! command -v "$1" >/dev/null; then
        note "$1 is missing; building ${tool_version[$1]}"
        CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR=$gates/tools/$1 \
            cargo install --quiet --locked --debug --root "$gates/tools" \
            "$1@${tool_version[$1]}"
        rm -rf "$gates/tools/$1"
    fi
}

# heavy_tests: what is built from here on includes the unit tests that need a model checker or a property
# tester. Every gate that builds the tests and examples of the whole workspace uses it, so that no
# dependency is built twice.
heavy_tests() {
    [[ ${RUSTFLAGS:-} == *heavy_tests* ]] || export RUSTFLAGS="${RUSTFLAGS:+$RUSTFLAGS }--cfg heavy_tests"
}

# copy_tree NAME: prints the path of a fresh copy of the tree, for gates that rewrite the manifest.
# The path is the same each time, so that what was built of the dependencies is found again.
copy_tree() {
    local copy=$gates/$1
    rm -rf "$copy"
    mkdir -p "$copy"
    git ls-files -z --cached --others --exclude-standard --deduplicate |
        while IFS= read -r -d '' file; do
            [[ ! -e $file ]] || printf '%s\0' "$file"
        done | tar -c --null -T - | tar -x -C "$copy"
    printf '%s\n' "$copy"
}

# rewrite_manifest COPY AWK_PROGRAM
rewrite_manifest() {
    awk "$2" "$1/Cargo.toml" >"$1/Cargo.toml.new" && mv "$1/Cargo.toml.new" "$1/Cargo.toml"
}

# The names of the crate's features, one a line.
features() {
    awk '/^\[/ { inside = /^\[features\]/ } inside && /^[a-z0-9_-]+ *=/ { print $1 }' Cargo.toml
}

# The value of a key of [package].
package() {
    awk -F'"' -v key="$1" '/^\[/ { inside = /^\[package\]/ } inside && $1 ~ "^" key " *= *$" { print $2 }' \
        Cargo.toml
}
