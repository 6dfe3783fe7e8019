//! What a process hears is recorded once, whatever happens on the way.
