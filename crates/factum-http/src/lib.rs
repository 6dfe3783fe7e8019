//! factum-http.
