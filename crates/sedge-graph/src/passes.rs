//! Rewrites: each takes a graph and leaves an equal one that is smaller or easier to run.
