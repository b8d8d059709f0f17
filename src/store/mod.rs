//! Puts state on disk so that it is either all there or not there.
