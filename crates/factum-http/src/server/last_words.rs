//! What a peer is told when it has not managed to send a request: a problem like any other.
//!
//! hyper answers what it cannot read by itself, with a status and an empty body, before anything of ours sees it. Such
//! an answer is recognised where it is written, and a document put into it.

use http::header;

use crate::{
    code::Code,
    problem::{PROBLEM_JSON, Problem},
};

/// The statuses of what hyper says by itself.
pub(super) const STATUSES: [u16; 3] = [400, 414, 431];

/// The most headers of a request, as hyper has it.
const HEADERS_MAX: usize = 100;

/// No answer of hyper's own is longer, in bytes.
const OWN_BYTES_MAX: usize = 200;

/// An answer hyper made by itself, at the end of what it writes.
pub(super) struct Own {
    /// Where it begins.
    pub(super) start: usize,
    /// What is to be written in its place.
    pub(super) text: Vec<u8>,
}

/// Finds it: a status line, and no other header than those hyper needs.
pub(super) fn find(written: &[u8], head_bytes_max: usize) -> Option<Own> {
    // Everything of ours ends with a body: this is all that most answers take.
    if !written.ends_with(b"\r\n\r\n") {
        return None;
    }
    let tail = written.len().saturating_sub(OWN_BYTES_MAX);
    let begin = written[tail..].windows(7).rposition(|window| window == b"HTTP/1.")?;
    let start = tail + begin;
    let mut lines = std::str::from_utf8(&written[start..]).ok()?.split("\r\n");
    let status_line = lines.next()?;
    let status = status_line.get(9..12)?.parse().ok().filter(|status| STATUSES.contains(status))?;
    let (mut date, mut is_empty) = (None, false);
    for line in lines.filter(|line| !line.is_empty()) {
        match line {
            "connection: close" => {}
            "content-length: 0" => is_empty = true,
            _ if line.starts_with("date: ") => date = Some(line),
            _ => return None,
        }
    }
    is_empty.then(|| Own { start, text: text(status_line, date, &problem(status, head_bytes_max)) })
}

/// 408: a request was begun, and not sent to the end of its head in time.
pub(super) fn too_late() -> Vec<u8> {
    let problem = Problem::request_timeout("the head of the request did not arrive in time: send it at once");
    text("HTTP/1.1 408 Request Timeout", None, &problem)
}

fn problem(status: u16, head_bytes_max: usize) -> Problem {
    match status {
        431 => {
            let detail =
                format!("the request's headers are more than {HEADERS_MAX}, or larger than {head_bytes_max} bytes");
            Problem::of(Code::HeadersTooLarge, detail)
        }
        414 => Problem::uri_too_long(head_bytes_max),
        _ => Problem::malformed("this is no request of HTTP/1.1: the method, the path or a header cannot be read"),
    }
}

fn text(status_line: &str, date: Option<&str>, problem: &Problem) -> Vec<u8> {
    let body = problem.to_json();
    let mut head = format!("{status_line}\r\nconnection: close\r\n");
    for (name, value) in [
        (header::CONTENT_TYPE, PROBLEM_JSON),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_LENGTH, &body.len().to_string()),
    ] {
        head += &format!("{name}: {value}\r\n");
    }
    if let Some(date) = date {
        head += &format!("{date}\r\n");
    }
    head += "\r\n";
    [head.into_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "date: Mon, 23 Nov 2026 17:04:33 GMT";

    #[test]
    fn what_hyper_says_by_itself_is_found_behind_an_answer_of_ours() {
        let ours = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n";
        for (version, close) in [("1.1", "connection: close\r\n"), ("1.0", "")] {
            let own = format!("{ours}HTTP/{version} 400 Bad Request\r\n{close}content-length: 0\r\n{DATE}\r\n\r\n");
            let found = find(own.as_bytes(), 1).unwrap();
            assert_eq!(found.start, ours.len());
            let text = String::from_utf8(found.text).unwrap();
            assert!(text.starts_with(&format!("HTTP/{version} 400 Bad Request\r\n")), "{text}");
            assert!(text.contains(DATE) && text.contains(r#""code":"malformed""#), "{text}");
        }
    }

    #[test]
    fn an_answer_of_ours_is_left_alone() {
        for ours in [
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}",
            "HTTP/1.1 400 Bad Request\r\ncache-control: no-store\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            "\r\n\r\n",
        ] {
            assert!(find(ours.as_bytes(), 1).is_none(), "{ours}");
        }
    }
}
