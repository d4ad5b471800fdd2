//! See `spool.rs` of the library.

#![cfg_attr(fuzzing, no_main)]

sedge_fuzz::main!(spool);
