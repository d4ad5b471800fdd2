# shellcheck shell=bash
# What `fuzz/run` and `fuzz/keep` share; sourced from the root of the repository.

readonly triple=x86_64-unknown-linux-gnu
# Beside the ordinary build: other flags, another compiler.
readonly built=target/fuzz/$triple/release

build() {
    local target
    for target in "$@"; do
        # Started there for its .cargo/config.toml.
        (cd fuzz && cargo +nightly fuzz build --codegen-units 16 --target-dir ../target/fuzz "$target")
    done
    cargo build --quiet --package sedge-fuzz --bin seeds
}

# sow TARGET DIRECTORY: puts there what fuzzing starts from and what was kept of earlier times.
sow() {
    "${CARGO_TARGET_DIR:-target}/debug/seeds" "$1" "$2"
    [ ! -d "testdata/fuzz/$1" ] || cp -n "testdata/fuzz/$1"/* "$2"
}

# fuzz TARGET ARGUMENT...: runs a target's program with the limits of all of them.
fuzz() {
    local target=$1 longest
    shift
    case $target in
        image) longest=32768 ;;
        manifest) longest=4096 ;;
        sagemaker | oip | group) longest=8192 ;;
        *) longest=16384 ;;
    esac
    "$built/$target" -dict="fuzz/dictionaries/$target.dict" -max_len="$longest" \
        -rss_limit_mb=2048 -timeout=20 -detect_leaks=0 \
        -artifact_prefix="fuzz/artifacts/$target/" "$@"
}

# statistic NAME LOG: one of libFuzzer's final figures.
statistic() {
    sed -n "s/^stat::$1: *//p" "$2" | tail -n 1
}

# coverage EVENT LOG cov|ft: edges or features in the last line of an event.
coverage() {
    sed -nE "s/^#[0-9]+[[:space:]]+$1.*[[:space:]]$3: ([0-9]+).*/\1/p" "$2" | tail -n 1
}

count() {
    find "$1" -type f | wc -l
}

kib() {
    du -sk --apparent-size "$1" | cut -f 1
}
