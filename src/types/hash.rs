//! The hash that decides placement and order: a fixed function over canonical values, so that it can be kept on disk.
