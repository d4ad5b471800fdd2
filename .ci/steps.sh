# shellcheck shell=bash
# Steps with a heading, a time and a line in the summary; sourced by `test` and `.ci/run`.
#
# A step is a function run by `step NAME FUNCTION` in a shell of its own. It ends well, fails, or
# calls `skip REASON`. A skip is a failure when CI=true: there every check has to run.

readonly SKIPPED=77

# A script started by another one adds to its list, and leaves the summary to it.
if [ -z "${SEDGE_STEPS:-}" ]; then
    SEDGE_STEPS=$(mktemp)
    export SEDGE_STEPS
    owns_steps=yes
    trap 'rm -f "$SEDGE_STEPS"' EXIT
fi
steps_before=$(wc -l < "$SEDGE_STEPS")

in_ci() {
    [ "${CI:-}" = true ]
}

skip() {
    printf '%s\n' "$*" > "$SEDGE_STEPS.reason"
    exit "$SKIPPED"
}

# One line of the list: state, seconds, name, reason.
record() {
    printf '%s\t%s\t%s\t%s\n' "$@" >> "$SEDGE_STEPS"
}

step() {
    local name=$1 started=$SECONDS status=0
    shift
    printf '\n==> %s (%s)\n' "$name" "$(date +%H:%M:%S)"
    # Not in a condition: bash would ignore `set -e` inside.
    set +e
    (
        set -e
        "$@"
    )
    status=$?
    set -e
    local seconds=$((SECONDS - started))
    case $status in
        0) record ok "$seconds" "$name" "" ;;
        "$SKIPPED") skipped "$name" "$seconds" "$(cat "$SEDGE_STEPS.reason")" ;;
        *) record FAILED "$seconds" "$name" "exit status $status" ;;
    esac
    rm -f "$SEDGE_STEPS.reason"
    printf -- '<== %s: %s s\n' "$name" "$seconds"
}

skipped() {
    local name=$1 seconds=$2 reason=$3
    printf 'skipped: %s\n' "$reason"
    if in_ci; then
        record FAILED "$seconds" "$name" "skipped in CI: $reason"
    else
        record skipped "$seconds" "$name" "$reason"
    fi
}

# True when no step failed since this script began.
steps_passed() {
    ! tail -n "+$((steps_before + 1))" "$SEDGE_STEPS" | grep -q '^FAILED'
}

# The last words of a script: all steps, then counts; the exit status says whether one failed.
finish() {
    if [ "${owns_steps:-}" = yes ]; then
        printf '\n'
        awk -F '\t' '
            { printf "%-8s %5d s  %s%s\n", $1, $2, $3, $4 == "" ? "" : ": " $4; count[$1]++ }
            END {
                printf "\n%d steps passed, %d failed, %d skipped\n",
                    count["ok"], count["FAILED"], count["skipped"]
            }' "$SEDGE_STEPS"
    fi
    steps_passed
}

# True when the named Debian packages are there, or could be installed: as root, with apt-get.
debian_packages() {
    local wanted=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2> /dev/null | grep -q 'ok installed' \
            || wanted+=("$package")
    done
    [ ${#wanted[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null || return 1
    echo "installing ${wanted[*]}"
    export DEBIAN_FRONTEND=noninteractive
    local apt=(apt-get -qq -o Acquire::Retries=3 -o Dpkg::Use-Pty=0)
    "${apt[@]}" update > /dev/null \
        && "${apt[@]}" install -y --no-install-recommends "${wanted[@]}" > /dev/null
}

# Builds `sedge` as the tests do, so that it is built once: a package alone gets other features.
build_program() {
    cargo test --workspace --locked --no-run --quiet
}

# The second engine is a shared library, and the Python package of that name brings it.
export_onnxruntime() {
    local library
    [ -z "${SEDGE_ONNXRUNTIME:-}" ] || return 0
    for library in .venv/lib/python3.*/site-packages/onnxruntime/capi/libonnxruntime.so.*; do
        if [ -f "$library" ]; then
            export SEDGE_ONNXRUNTIME=$PWD/$library
            return
        fi
    done
    skipped "second engine" 0 "no libonnxruntime.so in .venv"
}
