# shellcheck shell=bash
# Programs that are built from source, each version once; sourced by `.ci/run` and `packaging/build`.
#
# They lie outside the checkout, so that the next one finds them.
readonly tools=${SEDGE_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/sedge-tools}
export PATH=$tools/bin:$PATH

# cargo_tool NAME VERSION: afterwards NAME is a program of that version.
cargo_tool() {
    local name=$1 version=$2
    [ "$("$tools/bin/$name" --version 2> /dev/null)" != "$name $version" ] || return 0
    echo "building $name $version into $tools"
    # Speed of the build counts here, not that of the program.
    CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0 CARGO_TARGET_DIR=$tools/build \
        cargo install --quiet --locked --debug --force --no-default-features \
        --root "$tools" "$name@$version"
    rm -rf "$tools/build"
}

# Afterwards `zig_python` is a Python with the package `ziglang` of that version.
zig_tool() {
    local version=$1
    zig_python=$tools/zig-$version/bin/python
    [ "$("$zig_python" -m ziglang version 2> /dev/null)" != "$version" ] || return 0
    echo "installing zig $version into $tools"
    rm -rf "$tools/zig-$version"
    python3 -m venv "$tools/zig-$version"
    "$zig_python" -m pip install --quiet --disable-pip-version-check "ziglang==$version"
}
