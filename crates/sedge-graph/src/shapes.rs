//! Shape and element type inference.
