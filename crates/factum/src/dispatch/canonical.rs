//! One form for all ways to write the same JSON document.

/// How deep a document may be nested; serde_json reads no deeper either.
const DEPTH_MAX: usize = 128;

/// The document is no JSON, or is nested too deeply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// A JSON document without white space, with the fields of each object sorted by name and strings escaped in one way
/// only. Numbers stay as they are written: read as floating point, two different large ones could become the same.
///
/// Meant for documents that a parser has accepted already; of others it refuses what it trips over.
pub(crate) fn canonical(json: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let mut reader = Reader { json, at: 0 };
    let mut out = Vec::with_capacity(json.len());
    reader.value(&mut out, 0)?;
    if reader.next_token().is_none() { Ok(out) } else { Err(Unreadable) }
}

struct Reader<'a> {
    json: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn value(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), Unreadable> {
        match self.next_token().ok_or(Unreadable)? {
            b'{' | b'[' if depth == DEPTH_MAX => Err(Unreadable),
            b'{' => self.object(out, depth),
            b'[' => self.array(out, depth),
            b'"' => self.string(out),
            _ => self.scalar(out),
        }
    }

    fn object(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), Unreadable> {
        let mut fields = Vec::new();
        self.items(b'}', |reader| {
            let (mut name, mut value) = (Vec::new(), Vec::new());
            reader.next_token();
            reader.string(&mut name)?;
            if reader.next_token() != Some(b':') {
                return Err(Unreadable);
            }
            reader.at += 1;
            reader.value(&mut value, depth + 1)?;
            fields.push((name, value));
            Ok(())
        })?;
        // Stable: what is written twice under one name keeps its order.
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        out.push(b'{');
        for (index, (name, value)) in fields.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(name);
            out.push(b':');
            out.extend_from_slice(value);
        }
        out.push(b'}');
        Ok(())
    }

    fn array(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), Unreadable> {
        out.push(b'[');
        let mut first = true;
        self.items(b']', |reader| {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            reader.value(out, depth + 1)
        })?;
        out.push(b']');
        Ok(())
    }

    /// What stands between an opening bracket and `close`, separated by commas.
    fn items(
        &mut self,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), Unreadable>,
    ) -> Result<(), Unreadable> {
        self.at += 1;
        if self.next_token() == Some(close) {
            self.at += 1;
            return Ok(());
        }
        loop {
            item(self)?;
            let token = self.next_token();
            self.at += 1;
            match token {
                Some(b',') => {}
                Some(token) if token == close => return Ok(()),
                _ => return Err(Unreadable),
            }
        }
    }

    fn string(&mut self, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let rest = self.json.get(self.at..).filter(|rest| rest.first() == Some(&b'"')).ok_or(Unreadable)?;
        let mut end = 1;
        loop {
            match rest.get(end).ok_or(Unreadable)? {
                b'"' => break,
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        let quoted = &rest[..=end];
        self.at += quoted.len();
        if quoted.contains(&b'\\') {
            let text: String = serde_json::from_slice(quoted).map_err(|_| Unreadable)?;
            serde_json::to_writer(out, &text).map_err(|_| Unreadable)
        } else {
            out.extend_from_slice(quoted);
            Ok(())
        }
    }

    /// A number, `true`, `false` or `null`.
    fn scalar(&mut self, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let rest = &self.json[self.at..];
        let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b':' | b'"') || byte.is_ascii_whitespace();
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        if length == 0 {
            return Err(Unreadable);
        }
        out.extend_from_slice(&rest[..length]);
        self.at += length;
        Ok(())
    }

    /// The byte at which the next token begins, past white space.
    fn next_token(&mut self) -> Option<u8> {
        let space = self.json[self.at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.at += space;
        self.json.get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> Result<String, Unreadable> {
        canonical(json.as_bytes()).map(|bytes| String::from_utf8(bytes).expect("stays UTF-8"))
    }

    #[test]
    fn layout_order_and_escapes_make_no_difference() {
        let expected = r#"{"a":[1,{"x":null,"y":"é\"\n"},[]],"b":{},"c":-1.50e3}"#;
        for same in [
            expected,
            " {\"c\" : -1.50e3,\n \"b\":{ } ,\t\"a\":[ 1 , {\"y\":\"\\u00e9\\u0022\\n\",\"x\":null},[ ] ] }\r\n",
            r#"{"\u0061":[1,{"x":null,"y":"\u00E9\"\u000a"},[]],"b":{},"c":-1.50e3}"#,
        ] {
            assert_eq!(text(same).as_deref(), Ok(expected), "{same}");
        }
    }

    #[test]
    fn numbers_beyond_floating_point_stay_apart() {
        assert_ne!(text("[100000000000000000000001]"), text("[100000000000000000000002]"));
    }

    #[test]
    fn what_is_no_document_is_refused_without_harm() {
        let deep = "[".repeat(100_000);
        let texts = [
            "",
            " ",
            "{",
            "[1,",
            "{\"a\"",
            "{\"a\":",
            "{\"a\" 1}",
            "{1:2}",
            "\"\\",
            "\"\\ud800\"",
            "[1}",
            "{} {}",
            &deep,
        ];
        for json in texts {
            assert_eq!(text(json), Err(Unreadable), "{:?}", json.get(..20));
        }
        let nested = format!("{}1{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
        assert_eq!(text(&nested).as_deref(), Ok(nested.as_str()));
    }

    #[test]
    fn it_agrees_with_the_parser_on_random_documents() {
        for seed in 0..300 {
            let mut chance = fastrand::Rng::with_seed(seed);
            let value = random_value(&mut chance, 0);
            let pretty = serde_json::to_string_pretty(&value).expect("is JSON");
            let once = text(&pretty).expect("is a document");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&once).ok(), Some(value.clone()), "seed {seed}");
            assert_eq!([text(&once), text(&value.to_string())], [Ok(once.clone()), Ok(once)], "seed {seed}");
        }
    }

    fn random_value(chance: &mut fastrand::Rng, depth: usize) -> serde_json::Value {
        let word = |chance: &mut fastrand::Rng| -> String {
            let letters = ['a', 'b', '"', '\\', '\n', 'é', '{', ']', ',', ':', ' '];
            (0..chance.usize(..5)).filter_map(|_| chance.choice(letters)).collect()
        };
        match chance.u8(..if depth > 4 { 4 } else { 6 }) {
            0 => serde_json::Value::Null,
            1 => chance.bool().into(),
            2 => chance.i64(..).into(),
            3 => word(chance).into(),
            4 => (0..chance.usize(..4)).map(|_| random_value(chance, depth + 1)).collect::<Vec<_>>().into(),
            _ => {
                let fields = (0..chance.usize(..4)).map(|_| (word(chance), random_value(chance, depth + 1)));
                serde_json::Value::Object(fields.collect())
            }
        }
    }
}
